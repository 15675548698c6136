"""What an evaluation must know of rows beyond their ids: whose they are, and how much of a past these have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.columns import LABEL
from llactr.ctr.training.data import refuse_one_class
from llactr.spec import DatasetSpec
from llactr.store import events_table
from llactr.store.history import events_of
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["median_past", "refuse_one_class_splits", "user_codes"]


def user_codes(workspace: Workspace, spec: DatasetSpec) -> NDArray[np.int64] | None:
    """(N,) codes of the users of all events, in event order, those of a training set; None where there are no users.

    An event without a user is a user of its own, so that it is ranked against nothing.
    """
    if "user" not in spec.entities:
        return None
    keys = events_table(workspace, spec)[spec.entities["user"].join_key].combine_chunks().dictionary_encode()
    codes = keys.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    alone = codes < 0
    codes[alone] = len(keys.dictionary) + np.arange(int(alone.sum()))
    return codes


def refuse_one_class_splits(workspace: Workspace, spec: DatasetSpec) -> None:
    """Says of what was ingested that no model can be trained, chosen or judged on it, before anything is done.

    Raises:
        DataError: the training, validation or test rows have clicks only, or none.
    """
    label = events_table(workspace, spec)[LABEL].to_numpy()
    for name, rows in chronological_split(len(label), spec.split)._asdict().items():
        refuse_one_class(name, label[rows.start : rows.stop])


def median_past(workspace: Workspace, spec: DatasetSpec) -> dict[str, float]:
    """Owner -> median over the validation rows of how many earlier events of their user, or item, count for them.

    Empty for a dataset without users or items, or without a validation row.
    """
    if spec.past is None:
        return {}
    events = events_of(spec, events_table(workspace, spec))
    rows = np.asarray(chronological_split(len(events), spec.split).validation)
    if not len(rows):
        return {}
    found = {}
    for owner, keys in (("user", events.user), ("item", events.item)):
        codes = np.unique(keys, return_inverse=True)[1]
        known = events.time + spec.past.delay_us
        found[owner] = float(np.median(_counts_before(codes.reshape(-1), known, events.time, rows)))
    return found


def _counts_before(
    codes: NDArray[np.int64], known: NDArray[np.int64], time: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many events of a row's key are known strictly before it, for some of the rows."""
    moments = np.unique(known)
    width = len(moments) + 1
    placed = np.sort(codes * width + np.searchsorted(moments, known))  # by key, then by time
    before = codes[rows] * width + np.searchsorted(moments, time[rows])
    return np.searchsorted(placed, before) - np.searchsorted(placed, codes[rows] * width)
