"""How often monitoring cries wolf, and how soon it cries: `python -m benchmarks.drift_alarms WORKSPACE`.

The stream is the newest events that the bundle did not train on (validation and test). Unchanged: windows drawn from it
with replacement, each compared with the profile. Changed: the same with one thing done to the raw rows, which then go
through the bundle's own transform and model; windows grow by 100 rows until there is an alarm. A model that reads the
past is given each row's own past, as of its moment, whatever was done to the row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import LABEL
from llactr.ctr import Bundle, predict
from llactr.ctr.find import find_bundle
from llactr.history import history_rows
from llactr.lifecycle.monitoring.profile import Profile, build_profile
from llactr.lifecycle.monitoring.window import Finding, Window, compare
from llactr.spec import NumericField
from llactr.store import training_rows
from llactr.store.history import events_of, with_newer_items
from llactr.transforms import chronological_split, raw_column
from llactr.workspace import Workspace

__all__ = ["Stream", "drifts", "main"]

Change = Callable[[pa.Table, np.random.Generator], pa.Table]
STEP, LIMIT = 100, 1000
_PAST = "read of the past"
"""The column of history numbers that goes with each row."""


class Stream:
    """The newest rows of a dataset, a bundle, and its profile of these rows."""

    def __init__(self, workspace: Workspace, dataset: str, bundle: Bundle) -> None:
        rows = training_rows(workspace, bundle.spec, with_release=False)
        split = chronological_split(rows.num_rows, bundle.spec.split)
        if bundle.history is not None:
            past = with_newer_items(workspace, bundle.spec, bundle.history)
            numbers = history_rows(past, events_of(bundle.spec, rows), neighbour_steps=0)  # (N, H)
            flat = pa.array(numbers.astype(np.float32).ravel())
            rows = rows.append_column(_PAST, pa.FixedSizeListArray.from_arrays(flat, numbers.shape[1]))
        self.rows = rows.slice(len(split.train))
        self.bundle = bundle
        whole = self.window(self.rows)
        assert whole.labels is not None
        self.profile: Profile = build_profile(
            bundle.spec, bundle.transform.layout, whole.ids, whole.labels, whole.scores
        )

    def window(self, rows: pa.Table) -> Window:
        """Rows as a window, through the bundle's transform and model."""
        ids, numbers = self.bundle.transform.ids(rows), None
        if _PAST in rows.column_names:
            numbers = rows[_PAST].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, -1)
        scores = predict(self.bundle.model, self.bundle.rows(ids, numbers))
        return Window(ids, scores, rows[LABEL].to_numpy().astype(np.float32))

    def findings(self, window: Window) -> tuple[Finding, ...]:
        """What monitoring says of a window."""
        return compare(self.profile, self.bundle.spec, self.bundle.transform.layout, window)

    def false_alarms(self, windows: int, *, seed: int = 0, size: int = LIMIT) -> int:
        """Unchanged windows, drawn with replacement, that give an alarm."""
        whole, random = self.window(self.rows), np.random.default_rng(seed)
        assert whole.scores is not None
        assert whole.labels is not None
        count = 0
        for _ in range(windows):
            at = random.integers(0, len(whole.ids), size)
            count += self.findings(Window(whole.ids[at], whole.scores[at], whole.labels[at]))[0].is_alarm
        return count

    def rows_until_alarm(self, change: Change, *, seed: int = 0) -> tuple[int | None, str]:
        """After how many changed rows there is an alarm, at most 1,000, and the first one in words."""
        random = np.random.default_rng(seed)
        drawn = self.rows.take(pa.array(random.integers(0, self.rows.num_rows, LIMIT)))
        window = self.window(change(drawn, random))
        assert window.scores is not None
        assert window.labels is not None
        for size in range(2 * STEP, LIMIT + STEP, STEP):
            found = self.findings(Window(window.ids[:size], window.scores[:size], window.labels[:size]))
            if found[0].is_alarm:
                return size, found[0].sentence
        return None, "no alarm"


def drifts(stream: Stream) -> dict[str, Change]:
    """The seven changes, of fields that the dataset has."""
    spec = stream.bundle.spec
    stored = [one for one in spec.fields if one.owner != "context" and one.column != spec.entities[one.owner].join_key]
    text = [one for one in stored if one.kind == "categorical"]
    numbers = [one for one in spec.fields if isinstance(one, NumericField)]
    numbers = numbers or [one for one in text if _numbers(stream.rows[one.name]) is not None]
    items = [one for one in spec.fields if one.owner == "item"]
    key = spec.entities["user"].join_key
    number = numbers[0].name
    first = next(one.name for one in text if one.name != number)
    other = next(one.name for one in spec.fields if one.kind == "categorical" and one.name not in (first, key))

    def stopped(rows: pa.Table, random: np.random.Generator) -> pa.Table:
        new = random.random(rows.num_rows) < 0.2
        for one in items:
            name = raw_column(one)
            values = (
                pa.array(["an item that came since"] * rows.num_rows)
                if one.column == spec.entities["item"].join_key
                else None
            )
            if values is None:
                values = pa.nulls(rows.num_rows, rows.schema.field(name).type)
            rows = _set(rows, name, _where(new, values, rows[name]))
        return rows

    def halved(rows: pa.Table, random: np.random.Generator) -> pa.Table:
        label = rows[LABEL].to_numpy().astype(np.float32).copy()
        label[random.random(len(label)) < 0.5] = 0
        return _set(rows, LABEL, pa.array(label))

    def one_value(rows: pa.Table, random: np.random.Generator) -> pa.Table:
        same = random.random(rows.num_rows) < 0.5
        value = rows[first].combine_chunks()[0].as_py()
        return _set(rows, first, _where(same, pa.array([value] * rows.num_rows, rows[first].type), rows[first]))

    def numeric(name: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Change:
        def changed(rows: pa.Table, _: np.random.Generator) -> pa.Table:
            values = _numbers(rows[name])
            assert values is not None
            made = pa.array(np.round(change(values)), from_pandas=True)
            return _set(
                rows, name, made if pa.types.is_floating(rows[name].type) else made.cast(pa.int64()).cast(pa.string())
            )

        return changed

    values = _numbers(stream.rows[number])
    assert values is not None
    spread = float(np.nanstd(values))
    return {
        f"a column null ({first})": lambda rows, _: _set(rows, first, pa.nulls(rows.num_rows, rows[first].type)),
        f"a column shifted by a standard deviation ({number})": numeric(number, lambda values: values + spread),
        f"two columns swapped ({first}, {other})": lambda rows, _: _set(
            _set(rows, first, rows[other]), other, rows[first]
        ),
        f"units changed, times 12 ({number})": numeric(number, lambda values: values * 12),
        "the item feed stopped (a fifth of requests for items since)": stopped,
        "label rate halved": halved,
        f"one value taking over half of the rows ({first})": one_value,
    }


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """A column as numbers; None for words."""
    try:
        found: NDArray[np.float64] = column.cast(pa.float64()).to_numpy().astype(np.float64)
    except pa.ArrowInvalid:
        return None
    return found


def _set(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


def _where(chosen: NDArray[np.bool_], values: pa.Array, others: pa.ChunkedArray) -> pa.Array:
    import pyarrow.compute as pc

    return pc.if_else(pa.array(chosen), values.cast(others.type), others.combine_chunks())


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--bundle", help="id of a bundle; by default what is served")
    parser.add_argument("--windows", type=int, default=5000)
    arguments = parser.parse_args()
    workspace = Workspace.at(arguments.workspace)
    (dataset,) = workspace.datasets()
    stream = Stream(workspace, dataset, Bundle.load(find_bundle(workspace, dataset, arguments.bundle)))
    alarms = stream.false_alarms(arguments.windows)
    print(f"{dataset}: {stream.rows.num_rows:,} rows, {len(stream.profile.fields)} fields")
    print(f"unchanged: {alarms} alarms in {arguments.windows:,} windows of {LIMIT:,} rows")
    print("| what changed | rows until an alarm (5 streams) | the first alarm |\n|---|---|---|")
    for name, change in drifts(stream).items():
        found = [stream.rows_until_alarm(change, seed=seed) for seed in range(5)]
        sizes = ", ".join("none" if size is None else str(size) for size, _ in found)
        print(f"| {name} | {sizes} | {found[0][1]} |")


if __name__ == "__main__":
    main()
