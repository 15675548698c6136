"""A field that arrives at an FwFM which was trained without it, and is trained on a few new rows.

Letters: N rows, C id slots, F fields.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.ctr import CTRData, CTRModel, ModelConfig, TrainConfig, measure, predict, train
from llactr.ctr.training.batches import MemoryRows
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.transforms import FieldLayout
from research.field_prior import Vectors, donor_row, mean_row, pair_weights, set_pair_weights, take_over

__all__ = ["BATCH_ROWS", "CONFIG", "NEW_STEPS", "NewField", "judged", "trained"]

NEW_STEPS = (10, 30, 100)  # when to judge
BATCH_ROWS = 256  # few rows need small batches
CONFIG = ModelConfig.model_validate({"backbone": "fwfm"})


class NewField:
    """A field arrives at a model that was trained without it.

    Args:
        field: its position in the layout.
        nearest: position of the nearest of the other fields, among these; `placebo` that of another.
        data: all fields' ids, the rows of the old model's training, to stop on, and to judge by.
    """

    def __init__(self, field: int, seed: int, layout: FieldLayout, data: CTRData, nearest: int, placebo: int) -> None:
        self.field, self.seed, self.layout, self.data = field, seed, layout, data
        self.smaller, self.rest = without(field, layout, data)
        self.old = trained(CTRModel(CONFIG, self.smaller, seed=seed), self.rest, seed)
        whole = trained(self._grown(None), data, seed)
        known = pair_weights(self.old)
        self.rows = {
            "fresh": None,
            "mean": mean_row(known),
            "nearest": donor_row(known, nearest),
            "permuted": donor_row(known, placebo),
            "learned": np.delete(pair_weights(whole)[field], field),
        }
        self.facts = {"auc_before": judged(self.old, self.rest), "auc_all_rows": judged(whole, data)}

    def run(self, arm: str, way: str, more: NDArray[np.int64]) -> dict[int, float]:
        """Steps -> AUC of the model that was trained on `more` rows."""
        if arm == "without":
            model, data = CTRModel(CONFIG, self.smaller, seed=self.seed), self.rest
            model.load_state_dict(self.old.state_dict())
        else:
            model, data = self._grown(self.rows[arm]), self.data
        data = dataclasses.replace(data, split=dataclasses.replace(data.split, train=more))
        found = {}
        for steps in further(model, data, self.seed):
            if way == "own":
                take_over(self.old, self.layout, new_field=self.field, into=model)  # undoes what the step did to it
            if steps in NEW_STEPS:
                found[steps] = judged(model, data)
        return found

    def _grown(self, row: Vectors | None) -> CTRModel:
        """The old model and the field, whose pair weights (F - 1,) may be given."""
        model = CTRModel(CONFIG, self.layout, seed=self.seed)
        take_over(self.old, self.layout, new_field=self.field, into=model)
        if row is not None:
            weights = pair_weights(model)
            others = np.arange(self.layout.field_count) != self.field
            weights[self.field, others] = weights[others, self.field] = row
            set_pair_weights(model, weights)
        return model


def judged(model: CTRModel, data: CTRData) -> float:
    """AUC on the rows that judge, six digits."""
    rows = data.split.test
    return round(float(measure(data.label[rows], predict(model, data.ids[rows])).auc or 0), 6)


def trained(model: CTRModel, data: CTRData, seed: int, **changes: Any) -> CTRModel:
    """The model with the weights of its best epoch on the rows to stop on."""
    train(model, data, TrainConfig.of("fwfm", seed=seed, **changes))
    return model


def further(model: CTRModel, data: CTRData, seed: int) -> Iterator[int]:
    """Trains on some more rows without any to stop on, step by step."""
    rows = MemoryRows(data)
    step = TrainingStep(model, TrainConfig.of("fwfm", seed=seed, batch_size=BATCH_ROWS), Processes())
    steps = 0
    for epoch in itertools.count(1):
        for batch in rows.batches(seed=seed, epoch=epoch, batch_size=BATCH_ROWS):
            model.train()
            step(batch)
            yield (steps := steps + 1)
            if steps == max(NEW_STEPS):
                return


def without(field: int, layout: FieldLayout, data: CTRData) -> tuple[FieldLayout, CTRData]:
    """The same rows, one field less."""
    kept = [k for k in range(layout.field_count) if k != field]
    smaller = FieldLayout(
        *(tuple(of[k] for k in kept) for of in (layout.names, layout.vocab_sizes, layout.slots))  # type: ignore[arg-type]
    )
    ids = np.ascontiguousarray(data.ids[:, layout.slot_fields != field])
    return smaller, dataclasses.replace(data, ids=ids)
