"""What came in, in windows: from the log of the service, or from the newest events; and how fresh the store is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.ctr import Bundle, predict
from llactr.datasets import table_files
from llactr.errors import DataError, NotReadyError
from llactr.history import history_rows
from llactr.lifecycle.monitoring.profile import Profile, field_counts, read_profile, write_profile
from llactr.lifecycle.monitoring.shadowed import Shadowed, shadowed
from llactr.lifecycle.monitoring.window import DEFAULTS, Finding, Thresholds, Window, compare
from llactr.store import training_rows
from llactr.store.history import events_of, with_newer_items
from llactr.workspace import Workspace

__all__ = ["Counted", "Freshness", "MonitoredWindow", "Monitoring", "freshness", "monitor"]

Source = Literal["served", "events"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MonitoredWindow(_Model):
    """One window: its place among the rows, its rows, and what was found, alarms first."""

    first: datetime
    last: datetime
    rows: int
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """What is past its limit."""
        return tuple(one for one in self.findings if one.is_alarm)


class Counted(_Model):
    """How often a field's values came: among the profile's rows, and in the newest window.

    Attributes:
        name: of the field; empty for the scores.
        owner: user, item or context; empty for the scores.
        was, now: of the same bins; see `FieldProfile`. Of users and context each request of a window counts once.
    """

    name: str
    owner: str
    was: tuple[int, ...]
    now: tuple[int, ...]


class Freshness(_Model):
    """An offline table: its newest row's event time, and the longest time that it stood still while it was filled.

    `is_stale` says that it has stood still for longer than twice that, and a day.
    """

    table: str
    newest: datetime
    age_s: float
    longest_gap_s: float
    is_stale: bool


class Monitoring(_Model):
    """What monitoring found.

    Attributes:
        counted: fields, then the scores, of the newest window.
        shadows: of bundles that scored beside the answers of this one, if any did.
    """

    dataset: str
    bundle: str
    source: Source
    profile_rows: int
    windows: tuple[MonitoredWindow, ...]
    freshness: tuple[Freshness, ...]
    counted: tuple[Counted, ...] = ()
    shadows: tuple[Shadowed, ...] = ()

    @property
    def quiet(self) -> bool:
        """Whether no window gave an alarm and no table is stale."""
        return not any(one.alarms for one in self.windows) and not any(one.is_stale for one in self.freshness)


def monitor(
    workspace: Workspace,
    folder: Path,
    *,
    source: Source | None = None,
    since: datetime | None = None,
    rows: int = 1000,
    windows: int = 20,
    thresholds: Thresholds = DEFAULTS,
    now: datetime | None = None,
) -> Monitoring:
    """Compares the newest rows with a bundle's profile, window by window.

    Args:
        workspace: where.
        folder: the bundle; one without a profile, or with one that lacks scores, gets one, of the training set that it
            was made from.
        source: the log of the service, or events with their outcomes; by default the log where it holds rows of the
            bundle, else the events.
        since: only rows from then on.
        rows: of a window.
        windows: at most, the newest ones.
        thresholds: when a difference is an alarm.
        now: what freshness is measured at; of events the newest one's moment by default, of the log the clock.

    Raises:
        NotReadyError: there is nothing to compare.
        BundleError: the bundle or its profile is damaged.
        DataError: a file cannot be read.
    """
    bundle = Bundle.load(folder)
    profile = read_profile(folder)
    if profile is None or (profile.scores is None and bundle.history is not None):
        profile = write_profile(workspace, folder)
    served = None if source == "events" else _served(workspace, bundle, folder.name, since)
    if served is None and source == "served":
        raise NotReadyError(
            f"nothing has been logged of the bundle {folder.name}: run 'llactr serve --log-rate 1', or monitor events"
        )
    window, times = served if served is not None else _events(workspace, bundle, since)
    found = tuple(_windows(profile, bundle, window, times, rows, windows, thresholds))
    moment = now or (datetime.now(UTC) if served is not None else _moment(times[-1]))
    return Monitoring(
        dataset=bundle.spec.name,
        bundle=folder.name,
        source="served" if served is not None else "events",
        profile_rows=profile.rows,
        windows=found,
        freshness=freshness(workspace, bundle.spec.name, moment),
        counted=_counted(profile, bundle, _part(window, slice(max(0, len(times) - rows), len(times)))),
        shadows=shadowed(workspace, bundle.spec, folder.name),
    )


def freshness(workspace: Workspace, dataset: str, now: datetime) -> tuple[Freshness, ...]:
    """How long each offline table has stood still; one whose rows have all one time says nothing, and is left out."""
    found = []
    for table in ("events", "user", "item"):
        times = [_read(path, [EVENT_TIMESTAMP]) for path in table_files(workspace.offline_table(dataset, table))]
        if not times:
            continue
        micros = np.unique(pa.concat_tables(times)[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy())
        if len(micros) < 2:
            continue
        age, gap = now.timestamp() - micros[-1] / 1e6, float(np.diff(micros).max()) / 1e6
        stale = age > max(2 * gap, 86_400.0)
        found.append(Freshness(table=table, newest=_moment(micros[-1]), age_s=age, longest_gap_s=gap, is_stale=stale))
    return tuple(found)


def _windows(
    profile: Profile,
    bundle: Bundle,
    window: Window,
    times: np.ndarray,
    rows: int,
    most: int,
    thresholds: Thresholds,
) -> Iterator[MonitoredWindow]:
    """Whole windows, the last one ending with the newest row; fewer rows than one make one."""
    ends = list(range(len(times), 0, -rows))[:most]
    starts = [max(0, end - rows) for end in ends]
    if len(ends) > 1 and ends[-1] < rows:
        ends, starts = ends[:-1], starts[:-1]
    for start, end in zip(reversed(starts), reversed(ends), strict=True):
        piece = _part(window, slice(start, end))
        findings = compare(profile, bundle.spec, bundle.transform.layout, piece, thresholds)
        yield MonitoredWindow(
            first=_moment(times[start]), last=_moment(times[end - 1]), rows=end - start, findings=findings
        )


def _part(window: Window, part: slice) -> Window:
    """Some rows of a window."""
    return Window(
        ids=window.ids[part],
        scores=None if window.scores is None else window.scores[part],
        labels=None if window.labels is None else window.labels[part],
        requests=None if window.requests is None else window.requests[part],
    )


def _counted(profile: Profile, bundle: Bundle, window: Window) -> tuple[Counted, ...]:
    once, found = window.first_rows(), []
    for place, field in enumerate(profile.fields):
        rows = window.ids if field.owner == "item" else window.ids[once]
        now = field_counts(field, bundle.transform.layout, place, rows)
        found.append(Counted(name=field.name, owner=field.owner, was=field.counts, now=tuple(now.tolist())))
    if profile.scores is not None and window.scores is not None:
        now = np.bincount(
            np.searchsorted(np.array(profile.scores.edges), window.scores, side="right"),
            minlength=len(profile.scores.counts),
        )
        found.append(Counted(name="", owner="", was=profile.scores.counts, now=tuple(now.tolist())))
    return tuple(found)


def _served(
    workspace: Workspace, bundle: Bundle, name: str, since: datetime | None
) -> tuple[Window, np.ndarray] | None:
    columns = ["served_request", "served_at", "served_bundle", "served_score", "served_ids"]
    paths = sorted(workspace.offline_table(bundle.spec.name, "served").glob("[!.]*.parquet"))
    if not paths:
        return None
    table = pa.concat_tables([_read(path, columns) for path in paths]).sort_by("served_at")
    times = table["served_at"].cast(pa.int64()).to_numpy()
    chosen = np.array(table["served_bundle"].to_pylist()) == name
    if since is not None:
        chosen &= times >= since.timestamp() * 1e6
    table, times = table.filter(pa.array(chosen)), times[chosen]
    if not table.num_rows:
        return None
    ids = table["served_ids"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, -1)
    requests = table["served_request"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    slots = bundle.transform.layout.slot_count
    window = Window(
        ids=ids[:, :slots].astype(np.int32), scores=table["served_score"].to_numpy(), requests=requests.astype(np.int64)
    )
    return window, times


def _events(workspace: Workspace, bundle: Bundle, since: datetime | None) -> tuple[Window, np.ndarray]:
    """The events, joined point in time: in the order of their times, with outcomes."""
    rows = training_rows(workspace, bundle.spec, with_release=False)
    times = rows[EVENT_TIMESTAMP].cast(pa.int64()).to_numpy()
    numbers = None
    if bundle.history is not None:
        past = with_newer_items(workspace, bundle.spec, bundle.history)
        numbers = history_rows(past, events_of(bundle.spec, rows), neighbour_steps=0)
    if since is not None:
        chosen = times >= since.timestamp() * 1e6
        rows, times = rows.filter(pa.array(chosen)), times[chosen]
        numbers = None if numbers is None else numbers[chosen]
    if not rows.num_rows:
        raise NotReadyError(
            f"no event of {bundle.spec.name!r} lies after {since}: append some, or give an earlier --since"
        )
    ids = bundle.transform.ids(rows)
    scores = predict(bundle.model, bundle.rows(ids, numbers))
    return Window(ids=ids, scores=scores, labels=rows[LABEL].to_numpy().astype(np.float32)), times


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError, KeyError) as error:
        said = " ".join(str(error).split())[:200]
        raise DataError(f"the file {path} cannot be read ({said}): remove it, or restore it from a copy") from None


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(int(micros) / 1e6, UTC)
