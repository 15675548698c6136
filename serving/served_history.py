"""What the served-feature log keeps of the past that was read: enough to tell which events were in it, in little space.

A row has the history numbers (4 bytes a field) and how many events, and clicks, of its user and its item counted. The
user's last events (17 bytes each, as many as the definition keeps) stand in the first row of a request's user and
moment, and are null in the others: a ranking of 200 candidates read one list.

Letters: N rows, H history fields.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.history import HistoryDefinition
from llactr.history.encoding import decode
from llactr.history.fingerprints import LAST_EVENTS, fingerprints
from llactr.serving.batch import Batch
from llactr.serving.past import PastStates

__all__ = ["SERVED_HISTORY", "history_columns"]

SERVED_HISTORY = {
    "served_history": pa.list_(pa.float32()),
    "served_user_events": pa.int64(),
    "served_user_clicks": pa.float32(),
    "served_item_events": pa.int64(),
    "served_item_clicks": pa.float32(),
    "served_past": LAST_EVENTS,
}
"""Columns of the log that only a bundle with history fills. `served_history` is in the order of the definition's
fields, NaN where there is nothing to say."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def history_columns(
    definition: HistoryDefinition, batch: Batch, numbers: NDArray[np.float32], past: PastStates
) -> dict[str, Any]:
    """The log's columns of history of a scored batch.

    Args:
        definition: of the bundle.
        batch: what was scored, N rows.
        numbers: (N, H) that the model read.
        past: the states that they were made of.
    """
    assert past.item_totals is not None
    moments = np.array([(moment - _EPOCH) // _MICROSECOND for moment in batch.moments], np.int64)
    given, each = batch.places.get("user"), len(batch.keys["user"]) == batch.rows
    places = given if given is not None else np.arange(batch.rows) if each else np.zeros(batch.rows, np.int64)
    pairs = np.stack([places, np.broadcast_to(moments, (batch.rows,))], 1)
    pairs, at, of_row = np.unique(pairs, axis=0, return_index=True, return_inverse=True)  # distinct (user, moment)
    of_row = of_row.reshape(-1)
    layout, (of_pair, now) = definition.user, np.ascontiguousarray(pairs.T)
    users = fingerprints(layout, decode(definition, layout, past.users).as_of(definition, layout, of_pair, now))
    later = np.ones(batch.rows, bool)
    later[at] = False
    width = numbers.shape[1]
    offsets = np.arange(batch.rows + 1, dtype=np.int32) * width
    return {
        "served_history": pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbers.ravel(), pa.float32())),
        "served_user_events": users.totals[of_row, 0].astype(np.int64),
        "served_user_clicks": users.totals[of_row, 1].astype(np.float32),
        "served_item_events": past.item_totals[:, 0].astype(np.int64),
        "served_item_clicks": past.item_totals[:, 1].astype(np.float32),
        "served_past": users.last.take(pa.array(of_row, mask=later)),
    }
