"""Values that training never saw, in requests: found among the ids, their vectors read and kept for a while, scored.

A request without any costs one comparison per text slot. A request with some reads all their vectors in one batch of
the store and is scored by itself, from the model's rows with theirs behind them (see `llactr.ctr.values.unseen`).

Letters: N rows, C id slots, D embedding dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llactr.ctr import UnseenValues
from llactr.ctr.values.unseen_rows import UnseenRows, unseen_words
from llactr.serving.marked import MarkedReader
from llactr.serving.metrics import ScoringMetrics
from llactr.serving.views import Row, ViewRead, value_view
from llactr.spec import DatasetSpec
from llactr.store.feast.messages import Value, vector_of
from llactr.transforms import OOV

__all__ = ["HeldValues", "PlacedCache", "UnseenScorer"]

Texts = Callable[[str, NDArray[np.int64]], Sequence[str | None]]
"""A text field and rows of a batch -> the field's raw values there."""


@dataclass(frozen=True)
class HeldValues:
    """The values of a batch that training never saw.

    Attributes:
        held: field -> its unseen values and the rows that hold them.
        rows: field -> value -> (D + 1,), of those that have a vector.
    """

    held: Mapping[str, UnseenRows]
    rows: Mapping[str, Mapping[str, NDArray[np.float32]]]

    def counts(self) -> dict[str, dict[str, int]]:
        """`placed` and `cold` -> field -> distinct values."""
        counts: dict[str, dict[str, int]] = {"placed": {}, "cold": {}}
        for name, one in self.held.items():
            placed = len(self.rows.get(name, ()))
            for outcome, number in (("placed", placed), ("cold", len(one.values) - placed)):
                if number:
                    counts[outcome][name] = number
        return counts

    def placed_fields(self, count: int) -> list[list[str]]:
        """For each of N rows the fields whose value was placed."""
        fields: list[list[str]] = [[] for _ in range(count)]
        for name, one in self.held.items():
            known = self.rows.get(name, {})
            for row, place in zip(one.rows.tolist(), one.places.tolist(), strict=True):
                if one.values[place] in known:
                    fields[row].append(name)
        return fields


class PlacedCache:
    """(field, value) -> its row of the table, for `ttl_s` seconds after its vector was read; the oldest makes room.

    Only values that the store knows are kept: one that is materialized now is seen by the next request.

    Args:
        capacity: values at most. Memory: capacity x (4 (D + 1) bytes + about 300).
        ttl_s: after how long a vector is read again; 0 keeps nothing.
    """

    def __init__(self, *, capacity: int, ttl_s: float) -> None:
        self._capacity = capacity if ttl_s else 0
        self._ttl_s = ttl_s
        self._kept: dict[tuple[str, str], tuple[float, NDArray[np.float32]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, field: str, value: str, *, now_s: float) -> NDArray[np.float32] | None:
        """The row of a value; None where there is none, or it is too old."""
        found = self._kept.get((field, value))
        return None if found is None or now_s - found[0] > self._ttl_s else found[1]

    def clear(self) -> None:
        """Forgets all entries."""
        self._kept = {}

    def put(self, field: str, value: str, row: NDArray[np.float32], *, read_at_s: float) -> None:
        """Keeps the row of a value."""
        if not self._capacity:
            return
        self._kept.pop((field, value), None)
        if len(self._kept) >= self._capacity:
            del self._kept[next(iter(self._kept))]
        self._kept[field, value] = (read_at_s, row)


def parse_vector(stored: bytes, dim: int) -> NDArray[np.float32] | None:
    """A value's vector (L,) float32 as stored; None for what is no vector of `dim` finite numbers."""
    try:
        vector = vector_of(Value.FromString(stored))
    except DecodeError:
        return None
    return vector if vector is not None and vector.shape == (dim,) and np.isfinite(vector).all() else None


class UnseenScorer:
    """Scores batches that hold unseen values. Runs in the event loop; awaits the store only.

    Args:
        spec: the bundle's spec.
        unseen: of the bundle.
        reader: the online store.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        unseen: UnseenValues,
        *,
        reader: MarkedReader,
        metrics: ScoringMetrics,
        cache_ttl_s: float,
        cache_values: int,
    ) -> None:
        self.cache = PlacedCache(capacity=cache_values, ttl_s=cache_ttl_s)
        self._unseen = unseen
        self._reader = reader
        self._metrics = metrics
        layout = unseen.transform.layout
        places = {name: layout.names.index(name) for name in unseen.fields}
        self._slots = {
            name: slice(int(layout.slot_starts[place]), int(layout.slot_starts[place]) + layout.slots[place])
            for name, place in places.items()
        }
        self._columns = np.concatenate([np.arange(one.start, one.stop) for one in self._slots.values()])
        version = unseen.projections.version
        self._views = {name: value_view(spec, name, version) for name in unseen.fields}

    def among(self, ids: NDArray[np.int32]) -> bool:
        """Whether rows (N, C) hold a value of a text field that is out of vocabulary."""
        return bool((ids[:, self._columns] == OOV).any())

    async def find(self, ids: NDArray[np.int32], texts: Texts, *, now_s: float) -> HeldValues:
        """The unseen values of rows (N, C), their vectors from cache and store.

        Raises:
            StoreAwayError: the store does not answer.
        """
        with self._metrics.stage("transform"):
            held: dict[str, UnseenRows] = {}
            rows: dict[str, dict[str, NDArray[np.float32]]] = {}
            wanted: list[tuple[str, list[str]]] = []
            for name, slots in self._slots.items():
                at = np.flatnonzero((ids[:, slots] == OOV).any(axis=1))
                if not len(at):
                    continue
                one = held[name] = UnseenRows.of(at, unseen_words(self._unseen.transform, name, texts(name, at)))
                kept = {value: self.cache.get(name, value, now_s=now_s) for value in one.values}
                rows[name] = {value: row for value, row in kept.items() if row is not None}
                missing = [value for value, row in kept.items() if row is None]
                if missing:
                    wanted.append((name, missing))
        if wanted:
            asked: list[tuple[ViewRead, Sequence[str]]] = [(self._views[name], values) for name, values in wanted]
            found = await self._reader.read(asked)
            with self._metrics.stage("transform"):
                for (name, values), stored in zip(wanted, found, strict=True):
                    rows[name] |= self._keep(name, values, stored, now_s)
        result = HeldValues(held, rows)
        for outcome, fields in result.counts().items():
            for name, number in fields.items():
                self._metrics.unseen.labels(name, outcome).inc(number)
        return result

    def score(
        self, ids: NDArray[np.int32], found: HeldValues, history: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """(N,) probabilities of (N, C) local ids, and of (N, H) history numbers where the model reads them."""
        with self._metrics.stage("model"):
            scores = self._unseen.score(ids, found.held, found.rows, history)
        self._metrics.batch_requests.observe(1)
        return scores

    def _keep(
        self, name: str, values: Sequence[str], stored: Sequence[Row], now_s: float
    ) -> dict[str, NDArray[np.float32]]:
        """Rows of those values that the store knows; kept from now on."""
        vectors = {}
        for value, row in zip(values, stored, strict=True):
            if row is None or not row[0]:
                continue
            vector = parse_vector(row[0], self._unseen.dim(name))
            if vector is None:  # scored as cold, rather than by something that is no vector
                self._metrics.damaged.labels(name).inc()
                continue
            vectors[value] = vector
        rows = self._unseen.rows_of({name: vectors}).get(name, {})
        for value, placed in rows.items():
            self.cache.put(name, value, placed, read_at_s=now_s)
        return rows
