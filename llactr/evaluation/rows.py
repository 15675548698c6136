"""What an evaluation must know of rows beyond their ids: whose they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.spec import DatasetSpec
from llactr.store import events_table
from llactr.workspace import Workspace

__all__ = ["user_codes"]


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
