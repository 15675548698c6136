"""Fields that are features of the user's own Feast repository: read beside the service's own views, row by row.

Their views are materialized or pushed to by the user, at any moment and without marks, so nothing of them is kept from
one request to the next. Each view is read once for the distinct keys of a batch, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import StoreError
from llactr.serving.batch import Batch
from llactr.serving.readers.base import StoreAwayError
from llactr.spec import DatasetSpec, TimestampPartField
from llactr.store.repository.features import RepositoryFeatures
from llactr.transforms import Transform, raw_column, raw_type, scalar_text

__all__ = ["Found", "RepositoryFields"]

_THREADS = 4
Found = Mapping[str, pa.ChunkedArray]
"""Field name -> (N,) raw values."""


class RepositoryFields:
    """Reads and encodes the fields of a bundle that are features of the repository.

    Args:
        spec: the bundle's spec.
        transform: the bundle's transform.
        features: reads the repository.
        spent: told the CPU seconds of reads.

    Attributes:
        columns: (C',) places of their slots in a row of ids.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        transform: Transform,
        features: RepositoryFeatures,
        *,
        spent: Callable[[float], None] = lambda _: None,
    ) -> None:
        layout = transform.layout
        self._spec, self._features, self._spent = spec, features, spent
        self._fields = [(field.name, layout.names.index(field.name)) for field in spec.repository_fields]
        self._vocabularies = transform.vocabularies
        self.columns: NDArray[np.int64] = np.concatenate(
            [np.arange(layout.slot_starts[p], layout.slot_starts[p] + layout.slots[p]) for _, p in self._fields]
        )
        taken = {column for demand in features.plan.demands for column, _ in demand.request.values()}
        self._context = [field for field in spec.owned_by("context") if raw_column(field) in taken - {EVENT_TIMESTAMP}]
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="repository")

    async def read(self, batch: Batch) -> tuple[Found, dict[str, int]]:
        """The raw values of a batch's rows, and by entity how many of its distinct keys have no row.

        Raises:
            StoreAwayError: the repository's online store does not answer, or an on-demand view fails.
        """
        rows = self._rows(batch)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, rows)

    def ids(self, found: Found) -> NDArray[np.int32]:
        """(N, C') local ids of raw values."""
        return np.concatenate([self._vocabularies[place].ids(found[name]) for name, place in self._fields], axis=1)

    def _read(self, rows: pa.Table) -> tuple[Found, dict[str, int]]:
        began, cold = time.thread_time(), dict[str, int]()
        try:
            return self._features.current(rows, cold=cold), cold
        except StoreError as error:
            raise StoreAwayError(str(error)) from None
        finally:
            self._spent(time.thread_time() - began)

    def _rows(self, batch: Batch) -> pa.Table:
        """Join keys, moments, and what on-demand views take of the request, one row for each of the batch."""
        count = batch.rows
        columns: dict[str, pa.Array] = {}
        for owner, entity in self._spec.entities.items():
            keys, places = pa.array(batch.keys[owner], pa.string()), batch.places.get(owner)
            if places is None:
                places = np.zeros(count, np.int64) if len(keys) == 1 else np.arange(count)
            columns[entity.join_key] = keys.take(pa.array(places))
        columns[EVENT_TIMESTAMP] = pa.array(_repeated(batch.moments, count), TIMESTAMP)
        contexts = _repeated(batch.contexts, count)
        for field in self._context:
            values = [context.get(field.name) for context in contexts]
            if field.kind != "numeric" and not isinstance(field, TimestampPartField):
                values = [None if value is None else scalar_text(value) for value in values]
            columns[raw_column(field)] = pa.array(values, raw_type(field))
        return pa.table(columns)


def _repeated(values: Any, count: int) -> list[Any]:
    return list(values) if len(values) == count else list(values) * count
