"""The served-feature log: what was scored, with which values, into Parquet files of the offline store.

Scoring hands over references and goes on. One thread turns them into files; when it cannot keep up, the queue is full
and rows are dropped and counted. Rows that were accepted are written when the service ends on SIGTERM.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from llactr.atomic import writing_file
from llactr.columns import EVENT_TIMESTAMP, SEMANTICS_VERSION, TIMESTAMP
from llactr.errors import SpecError
from llactr.history import HistoryDefinition
from llactr.sampling import in_share
from llactr.serving.batch import Batch
from llactr.serving.metrics import Metrics
from llactr.serving.scorer import Scored
from llactr.serving.served_history import SERVED_HISTORY, history_columns
from llactr.spec import DatasetSpec
from llactr.transforms import raw_column, raw_type
from llactr.workspace import Workspace

__all__ = ["SERVED", "ServedLog", "served_schema", "served_table_path"]

_LOG = logging.getLogger(__name__)

SERVED = {
    "served_request": pa.string(),
    "served_at": TIMESTAMP,
    "served_bundle": pa.string(),
    "served_score": pa.float32(),
    "served_ids": pa.list_(pa.int32()),
    "shadow_bundle": pa.string(),
    "shadow_score": pa.float32(),
    SEMANTICS_VERSION: pa.string(),
}
"""Columns beside keys, event timestamp and fields. `served_at` is when the oldest of the features was read;
`shadow_bundle` and `shadow_score` are null where no second bundle scored the request beside its answer."""


def served_table_path(workspace: Workspace, dataset: str) -> Path:
    """The log's table in the offline store."""
    return workspace.offline_table(dataset, "served")


def served_schema(spec: DatasetSpec, *, with_history: bool = False) -> pa.Schema:
    """Columns of the log: keys, event timestamp, every field by name in its raw type, and those of `SERVED`.

    Args:
        spec: of the bundle.
        with_history: those of `SERVED_HISTORY` besides, for a bundle that reads history.

    Raises:
        SpecError: a field has the name of one of the log's own columns.
    """
    columns: dict[str, pa.DataType] = {entity.join_key: pa.string() for entity in spec.entities.values()}
    columns[EVENT_TIMESTAMP] = TIMESTAMP
    for field in spec.fields:
        if field.name in SERVED or field.name in SERVED_HISTORY:
            raise SpecError(
                f"field {field.name!r} is also a column of the served-feature log: rename the field, or do not log"
            )
        columns.setdefault(raw_column(field), raw_type(field))
    return pa.schema(columns | SERVED | (SERVED_HISTORY if with_history else {}))


@dataclass(frozen=True)
class _Record:
    spec: DatasetSpec
    bundle: str
    semantics_version: str | None
    request_id: str
    batch: Batch
    scored: Scored
    kept: NDArray[np.bool_]
    history: HistoryDefinition | None
    shadow_bundle: str | None
    shadow_scores: NDArray[np.float32] | None

    @property
    def rows(self) -> int:
        return int(np.count_nonzero(self.kept))


class ServedLog:
    """A bounded queue and the thread that empties it.

    Args:
        workspace: whose offline store is written to.
        rate: share of the users whose rows are kept, drawn by the hash of their key, so that all requests of a user
            are in the log or none; where a dataset has no users, share of the requests.
        shadowed: requests that a second bundle scores beside the answers are kept too, whatever the rate.
        queue_rows: rows that wait at most.
        flush_s: seconds after which waiting rows are written.
        file_rows: rows after which they are written at once.
    """

    def __init__(
        self,
        workspace: Workspace,
        *,
        rate: float,
        queue_rows: int,
        flush_s: float,
        file_rows: int,
        metrics: Metrics,
        shadowed: bool = False,
    ) -> None:
        self.rate = rate
        self._writes = rate > 0 or shadowed
        self._workspace = workspace
        self._queue_rows = queue_rows
        self._flush_s = flush_s
        self._file_rows = min(file_rows, queue_rows)
        self._metrics = metrics
        self._waiting: list[_Record] = []
        self._rows = 0
        self._changed = threading.Condition()
        self._ending = False
        self._asked = False
        self._accepted = self._done = 0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the writing thread, where anything is to be logged."""
        if self._writes and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="served-log", daemon=True)
            self._thread.start()

    def sampled(self, batch: Batch) -> NDArray[np.bool_] | None:
        """(N,) which rows of a batch are to be kept; None for none."""
        if self.rate <= 0:
            return None
        if self.rate >= 1:
            return np.ones(batch.rows, bool)
        if "user" not in batch.keys:
            return np.ones(batch.rows, bool) if random.random() < self.rate else None
        kept = in_share(batch.keys["user"], self.rate)
        if not kept.any():
            return None
        places = batch.places.get("user")
        return kept[places] if places is not None else np.broadcast_to(kept, (batch.rows,))

    def offer(
        self,
        spec: DatasetSpec,
        batch: Batch,
        scored: Scored,
        *,
        bundle: str,
        semantics_version: str | None,
        request_id: str,
        kept: NDArray[np.bool_] | None = None,
        history: HistoryDefinition | None = None,
        shadow_bundle: str | None = None,
        shadow_scores: NDArray[np.float32] | None = None,
    ) -> bool:
        """Takes a scored batch (with its features) into the queue, or drops it; never waits for the disk.

        Args:
            spec: of the bundle.
            batch: what was scored, N rows.
            scored: what came of it.
            bundle: which.
            semantics_version: of its field vectors.
            request_id: of the request.
            kept: (N,) which rows are written, as `sampled` said; all by default.
            history: of the bundle, where it reads one.
            shadow_bundle: what scored the rows beside the answer.
            shadow_scores: (N,) its scores.
        """
        kept = np.ones(batch.rows, bool) if kept is None else kept
        record = _Record(
            spec, bundle, semantics_version, request_id, batch, scored, kept, history, shadow_bundle, shadow_scores
        )
        count = record.rows
        with self._changed:
            accepted = not self._ending and self._rows + count <= self._queue_rows
            if accepted:
                self._waiting.append(record)
                self._rows += count
                self._accepted += count
                if self._rows >= self._file_rows:
                    self._changed.notify()
        (self._metrics.log_rows if accepted else self._metrics.log_dropped).inc(count)
        return accepted

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Has what was accepted until now written; whether it was within the time."""
        with self._changed:
            until, self._asked = self._accepted, True
            self._changed.notify_all()
            return self._thread is None or self._changed.wait_for(lambda: self._done >= until, timeout_s)

    def close(self) -> None:
        """Writes what was accepted, then ends the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                deadline = time.monotonic() + self._flush_s
                while (
                    not (self._ending or self._asked)
                    and self._rows < self._file_rows
                    and (left := deadline - time.monotonic()) > 0
                ):
                    self._changed.wait(left)
                records, self._waiting = self._waiting, []
                ending, self._asked = self._ending, False
            if records:
                self._write(records)
                with self._changed:  # room only now: what is being written is still in memory
                    count = sum(record.rows for record in records)
                    self._rows -= count
                    self._done += count
                    self._changed.notify_all()
            elif ending:
                return

    def _write(self, records: list[_Record]) -> None:
        by_spec: dict[int, list[_Record]] = {}
        for record in records:
            by_spec.setdefault(id(record.spec), []).append(record)
        for group in by_spec.values():
            spec = group[0].spec
            try:
                folder = served_table_path(self._workspace, spec.name)
                table = pa.concat_tables([_table(record) for record in group])
                name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}.parquet"
                with writing_file(folder / name) as draft:
                    pq.write_table(table, draft, compression="zstd")
            except Exception:  # a full disk must not end the thread, nor scoring
                _LOG.exception("the served-feature log of %r could not be written", spec.name)
                self._metrics.log_dropped.inc(sum(record.rows for record in group))
                self._metrics.log_failures.inc()


def _table(record: _Record) -> pa.Table:
    """One request's rows."""
    spec, batch, scored = record.spec, record.batch, record.scored
    assert scored.features is not None
    count = batch.rows
    schema = served_schema(spec, with_history=record.history is not None)
    columns: dict[str, Any] = {}
    for owner, entity in spec.entities.items():
        columns[entity.join_key] = _spread(batch.keys[owner], batch.places.get(owner), count)
        for name, values in scored.features[owner].items():
            columns.setdefault(name, _spread(values, batch.places.get(owner), count))
    columns[EVENT_TIMESTAMP] = _spread(batch.moments, None, count)
    for name, values in scored.features["context"].items():
        columns.setdefault(name, _spread(values, None, count))
    for name, values in scored.features.get("repository", {}).items():
        columns.setdefault(name, values)
    columns["served_request"] = [record.request_id] * count
    columns["served_at"] = [datetime.fromtimestamp(scored.read_s, UTC)] * count
    columns["served_bundle"] = [record.bundle] * count
    columns["served_score"] = pa.array(scored.scores, pa.float32())
    width = scored.ids.shape[1]
    offsets = np.arange(count + 1, dtype=np.int32) * width
    columns["served_ids"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(scored.ids.ravel(), pa.int32()))
    columns["shadow_bundle"] = [record.shadow_bundle] * count
    columns["shadow_score"] = [None] * count if record.shadow_scores is None else record.shadow_scores
    columns[SEMANTICS_VERSION] = [record.semantics_version] * count
    if record.history is not None:
        assert scored.history is not None
        assert scored.past is not None
        columns |= history_columns(record.history, batch, scored.history, scored.past)
    arrays = {name: pa.array(columns[name], schema.field(name).type) for name in schema.names}
    return pa.table(arrays, schema=schema).filter(pa.array(record.kept))


def _spread(values: Sequence[Any], places: NDArray[np.int64] | None, count: int) -> list[Any]:
    if places is not None:
        return [values[place] for place in places.tolist()]
    return list(values) if len(values) == count else list(values) * count
