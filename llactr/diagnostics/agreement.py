"""What online scores are compared with: the same test rows on the offline path, unseen values placed from offline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.ctr import Bundle, TrainingSet, UnseenValues, predict
from llactr.ctr.values.unseen_rows import UnseenRows
from llactr.spec import DatasetSpec
from llactr.store import find_value_vectors
from llactr.workspace import Workspace

__all__ = ["TOLERANCE", "OfflineScores", "chosen_rows", "offline_scores", "placed_offline"]

TOLERANCE = 1e-6


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
    workspace: Workspace, spec: DatasetSpec, bundle: Bundle, training_set: TrainingSet, rows: NDArray[np.int64]
) -> OfflineScores:
    """Scores of rows of a training set by a bundle; value vectors come from the offline store."""
    ids = training_set.data.ids[rows]
    unseen = bundle.unseen_values()
    if unseen is None:
        return OfflineScores(ids, predict(bundle.model, ids), 0, 0)
    held = {name: one.at(rows) for name, one in training_set.unseen.items() if name in unseen.fields}
    return placed_offline(workspace, spec, unseen, ids, held)


def placed_offline(
    workspace: Workspace,
    spec: DatasetSpec,
    unseen: UnseenValues,
    ids: NDArray[np.int32],
    held: dict[str, UnseenRows],
) -> OfflineScores:
    """Scores of rows (N, C) whose unseen values are known, by their vectors in the offline store.

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
    return OfflineScores(ids, unseen.score(ids, held, found), placed, int(with_placed.sum()))
