"""What needs no model, in every table: a constant, and how popular an item is.

Legend: N test rows, I item ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llactr.ctr import TrainingSet
from llactr.evaluation.comparison import Baseline
from llactr.evaluation.evidence import Metric
from llactr.spec import DatasetSpec

__all__ = ["baseline_scores", "baselines_of"]

_PRIOR_ROWS = 20
"""Rows of the mean click rate that are added to an item's own."""


def baseline_scores(spec: DatasetSpec, training_set: TrainingSet) -> dict[str, NDArray[np.float32]]:
    """Name -> click probabilities (N,) of the test rows.

    - `constant`: the click rate of the training rows.
    - `popularity`: that of the item's training rows, 20 rows of the mean rate added; where the item's key is a field.
    """
    data = training_set.data
    train, test = data.split.train, data.split.test
    label = data.label[train].astype(np.float64)
    rate = float(label.mean())
    found = {"constant": np.full(len(test), rate, np.float32)}
    slot = _item_slot(spec, training_set)
    if slot is not None:
        items = data.ids[:, slot]
        size = int(items.max()) + 1
        clicks, rows = np.bincount(items[train], label, size), np.bincount(items[train], minlength=size)  # (I,)
        popular = (clicks + _PRIOR_ROWS * rate) / (rows + _PRIOR_ROWS)
        found["popularity"] = popular[items[test]].astype(np.float32)
    return found


def baselines_of(
    draws: Sequence[Mapping[str, Mapping[str, Mapping[Metric, float | None]]]],
) -> tuple[Baseline, ...]:
    """Means over draws of metrics, given per draw as name -> slice -> metric -> value."""
    found = []
    for name in draws[0] if draws else ():
        parts: dict[str, dict[Metric, float | None]] = {}
        for part, metrics in draws[0][name].items():
            parts[part] = {}
            for metric in metrics:
                values = [draw[name].get(part, {}).get(metric) for draw in draws]
                known = [value for value in values if value is not None]
                parts[part][metric] = sum(known) / len(known) if len(known) == len(values) else None
        found.append(Baseline(name=name, metrics=parts))
    return tuple(found)


def _item_slot(spec: DatasetSpec, training_set: TrainingSet) -> int | None:
    """The column of ids that holds the item's key; None where there is none."""
    item = spec.entities.get("item")
    for number, field in enumerate(spec.fields):
        if item is not None and field.owner == "item" and field.column == item.join_key and field.kind == "categorical":
            return int(training_set.transform.layout.slot_starts[number])
    return None
