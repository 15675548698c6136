"""History numbers of raw rows, from states: what the online store and its check share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.history import HistoryDefinition, ReadStates, request_history
from llactr.spec import DatasetSpec

__all__ = ["history_of_rows"]


def history_of_rows(
    spec: DatasetSpec, definition: HistoryDefinition, rows: pa.Table, read: ReadStates
) -> NDArray[np.float32]:
    """(N, H) float32 numbers of raw rows, as of their moments; see `llactr.history.request_history`.

    Args:
        spec: names the join keys.
        definition: of the bundle.
        rows: N, with the join keys and `event_timestamp`.
        read: states of the definition's version.
    """
    keys = {owner: rows[entity.join_key].to_pylist() for owner, entity in spec.entities.items()}
    now = rows[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return request_history(definition, read, users=keys["user"], items=keys["item"], now=now)
