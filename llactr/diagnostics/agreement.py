"""Do the online and the offline path give the same ids and scores of the same test rows?

On both paths values that training never saw are placed, by vectors from the online and from the offline store.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.columns import LABEL
from llactr.ctr import Bundle, TrainingSet, UnseenValues, predict
from llactr.ctr.find import find_bundle
from llactr.ctr.request_ids import request_ids
from llactr.ctr.scoring import score_features
from llactr.ctr.training.join import join
from llactr.ctr.values.unseen_rows import UnseenRows
from llactr.datasets import table_files
from llactr.datasets.cautions import rows_ahead
from llactr.errors import ConsistencyError
from llactr.history import states_of_events
from llactr.manifest import read_manifest
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store import OnlineReader, events_table, find_value_vectors
from llactr.store.history import events_of, history_of_rows, with_newer_items
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash
from llactr.store.training import current_rows
from llactr.workspace import Workspace

__all__ = [
    "TOLERANCE", "CheckSummary", "OfflineScores", "check_online", "chosen_rows", "difference", "offline_scores",
    "placed_note", "placed_offline",
]  # fmt: skip

TOLERANCE = 1e-6


class PlacedValues(BaseModel):
    """How many distinct values that training never saw were placed by their vectors, on each path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    online: int
    offline: int


class CheckSummary(StepResult):
    """Test rows scored through the online store and on the offline path.

    `rows_with_placed_values` hold a value that training never saw and that was placed by its vector; `holds` says that
    all ids are equal and no score differs by more than the tolerance.
    """

    bundle: str
    rows: int
    rows_with_other_ids: int
    max_score_difference: float
    unseen_values_placed: PlacedValues
    rows_with_placed_values: int
    tolerance: float
    holds: bool

    @property
    def sentence(self) -> str:
        """All of it in a sentence, without its full stop."""
        return (
            f"online = offline on {self.rows:,} test rows: {self.rows_with_other_ids} with other ids, "
            f"scores within {self.max_score_difference:.1e} (tolerance {self.tolerance:.0e})"
            f"{placed_note(self.rows_with_placed_values)}"
        )


@dataclass(frozen=True)
class OfflineScores:
    """N test rows as the offline path has them.

    Attributes:
        ids: (N, C) local ids; values that training never saw are OOV.
        scores: (N,) float32.
        placed: how many distinct values that training never saw were scored by their vectors.
        rows_with_placed: rows that hold such a value.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    placed: int
    rows_with_placed: int


def chosen_rows(training_set: TrainingSet, count: int) -> NDArray[np.int64]:
    """At most `count` rows of the test split, evenly spread over it, in rising order."""
    test = training_set.data.split.test
    places = np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(np.int64)
    return test[np.unique(places)]


def offline_scores(
    workspace: Workspace, spec: DatasetSpec, bundle: Bundle, rows: NDArray[np.int64], *, config: Path | None = None
) -> OfflineScores:
    """Scores of events by a bundle, with all that it reads taken from the offline store.

    Users, items and what happened to them are as they are now, as online; ids come of the bundle's transform, whatever
    was ingested since it was trained.

    Args:
        workspace: where.
        spec: the dataset's.
        bundle: what scores.
        rows: (N,) places among the dataset's events.
        config: see `open_store`.

    Raises:
        StoreError: the offline store cannot be read.
    """
    everything = events_table(workspace, spec)
    events = everything.take(pa.array(rows))
    raw = current_rows(workspace, spec, events, moment=datetime.now(UTC), config=config)
    ids = request_ids(bundle.transform, bundle.spec, raw)
    past = None
    if bundle.history is not None:
        definition = with_newer_items(workspace, spec, bundle.history, config=config)
        states = states_of_events(definition, events_of(spec, everything))
        past = history_of_rows(spec, definition, raw, states)
    unseen = bundle.unseen_values()
    if unseen is None:
        return OfflineScores(ids, predict(bundle.model, bundle.rows(ids, past)), 0, 0)
    return placed_offline(workspace, spec, unseen, ids, unseen.find(ids, raw), past)


def placed_offline(
    workspace: Workspace,
    spec: DatasetSpec,
    unseen: UnseenValues,
    ids: NDArray[np.int32],
    held: dict[str, UnseenRows],
    past: NDArray[np.float32] | None = None,
) -> OfflineScores:
    """Scores of rows (N, C) whose unseen values are known, by their vectors in the offline store.

    `past` holds the rows' history numbers (N, H), for a model that reads them.

    Raises:
        StoreError: the offline store cannot be read.
    """
    wanted = {name: one.values for name, one in held.items()}
    found = unseen.rows_of(find_value_vectors(workspace, spec, unseen.projections.version, wanted))
    with_placed = np.zeros(len(ids), np.bool_)
    for name, one in held.items():
        known = np.array([value in found.get(name, {}) for value in one.values], np.bool_)
        with_placed[one.rows[known[one.places]]] = True
    placed = sum(len(some) for some in found.values())
    return OfflineScores(ids, unseen.score(ids, held, found, past), placed, int(with_placed.sum()))


def difference(ids: NDArray[np.int32], scores: NDArray[np.float32], offline: OfflineScores) -> tuple[int, float]:
    """How many of the rows have other ids (N, C) than offline, and the largest gap between two scores (N,)."""
    other = int((ids != offline.ids).any(axis=1).sum())
    return other, float(np.abs(scores - offline.scores).max())


def placed_note(rows: int) -> str:
    """How many of the rows compared hold unseen values that were placed by their vectors; empty for none."""
    return f"; {rows:,} of them hold new values, placed by their texts' vectors" if rows else ""


def check_online(job: Job, dataset: str, *, bundle: str | None, rows: int) -> StepOutcome[CheckSummary]:
    """Scores test rows twice, through the online store and on the offline path, and compares ids and scores.

    Args:
        job: where.
        dataset: which.
        bundle: its name; see `llactr.ctr.find`.
        rows: how many, evenly spread over the test split.

    Raises:
        ConsistencyError: an id differs, or a score by more than `TOLERANCE`.
    """
    folder = find_bundle(job.workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    joined, training_set = join(job, dataset)
    manifest = read_manifest(folder)

    def work(_: Path, advance: Advance) -> CheckSummary:
        made = _compared(job.workspace, dataset, folder.name, loaded, training_set, rows)
        gap = made.max_score_difference
        advance(1, 1, f"{made.rows:,} rows: {made.rows_with_other_ids} with other ids, scores within {gap:.1e}")
        return made

    # Always done anew: the online store can change behind every hash.
    outcome = replace(job, force=True).step(
        Step.CHECK,
        job.workspace.artifact("checks", folder.name),
        dataset=dataset,
        config={"rows": rows, "tolerance": TOLERANCE},
        inputs={
            "bundle": manifest["key"] if manifest else folder.name,
            "training_set": joined.key,
            "dataset": dataset_hash(job.workspace, dataset),
            "releases": release_hash(job.workspace, dataset),
        },
        result=CheckSummary,
        work=work,
    )
    if not outcome.result.holds:
        raise ConsistencyError(f"online and offline disagree: {outcome.result.sentence}: {_mend(job, dataset)}")
    return outcome


def _mend(job: Job, dataset: str) -> str:
    """What to do when both paths disagree: rows that lie after now do not come online by materializing."""
    spec = dataset_spec(job.workspace, dataset)
    owners = spec.entities
    ahead = rows_ahead({owner: table_files(job.workspace.offline_table(dataset, owner)) for owner in owners})
    if not ahead and spec.repository_fields:
        return "run 'llactr materialize', and 'feast materialize' in your own repository, then check again"
    if not ahead:
        return "run 'llactr materialize', then check again"
    late = ", ".join(f"{count:,} {owner} rows" for owner, count in ahead.items())
    return f"{late} lie after now, and come online only then: check the timestamps in the spec and the data"


def _compared(
    workspace: Workspace, dataset: str, name: str, bundle: Bundle, training_set: TrainingSet, rows: int
) -> CheckSummary:
    spec = dataset_spec(workspace, dataset)
    chosen = chosen_rows(training_set, rows)
    requests = events_table(workspace, spec).take(pa.array(chosen)).drop_columns([LABEL])
    reader = OnlineReader(workspace, spec)
    reader.require_whole(history=bundle.history is not None)
    bundle.check_vectors(reader.field_vectors(bundle.version))
    ids, scores, placed = score_features(bundle, reader, reader.features(requests))
    offline = offline_scores(workspace, spec, bundle, chosen)
    other, gap = difference(ids, scores, offline)
    return CheckSummary(
        bundle=name,
        rows=len(chosen),
        rows_with_other_ids=other,
        max_score_difference=gap,
        unseen_values_placed=PlacedValues(online=placed, offline=offline.placed),
        rows_with_placed_values=offline.rows_with_placed,
        tolerance=TOLERANCE,
        holds=other == 0 and gap <= TOLERANCE,
    )
