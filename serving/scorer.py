"""From keys and context to scores: features from cache and store, ids from the transform, one pass of the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llactr.ctr import UnseenValues
from llactr.ctr.history import with_history
from llactr.serving.batch import Batch
from llactr.serving.batching import MicroBatcher
from llactr.serving.cache import ItemCache
from llactr.serving.codec import OwnerCodec, floor_hour
from llactr.serving.marked import Fill, MarkedReader
from llactr.serving.metrics import ScoringMetrics
from llactr.serving.past import Past, PastStates
from llactr.serving.readers.base import LostRowsError
from llactr.serving.repository import Found, RepositoryFields
from llactr.serving.unseen import HeldValues, UnseenScorer
from llactr.serving.views import Row, ViewRead, entity_views
from llactr.spec import DatasetSpec, TimestampPartField
from llactr.spec import Field as SpecField
from llactr.transforms import OOV, Transform, scalar_text

__all__ = ["Scored", "Scorer"]

Altered = Callable[
    [NDArray[np.int32], NDArray[np.float32] | None], tuple[NDArray[np.int32], NDArray[np.float32] | None]
]
"""(N, C) ids and (N, H) history numbers -> those that are scored instead."""


@dataclass(frozen=True)
class Scored:
    """What came of a batch.

    Attributes:
        ids: (N, C) local ids.
        scores: (N,) click probabilities.
        cold: owner -> distinct keys that the store does not know.
        unseen: values of text fields that training never saw; None where there are none.
        features: owner or "context" -> field -> raw values, one per key or context, and "repository" -> field -> raw
            values, one per row; None unless asked for.
        read_s: wall clock (Unix seconds) at which the oldest of the features was read.
        fill: of which materialization they are; None where nothing of the store was needed yet.
        history: (N, H) history numbers; None for a bundle without history.
        past: the states that they were made of.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    cold: dict[str, int]
    features: dict[str, dict[str, list[Any]]] | None
    read_s: float
    unseen: HeldValues | None = None
    fill: Fill | None = None
    history: NDArray[np.float32] | None = None
    past: PastStates | None = None


class Scorer:
    """Scores batches with one bundle. Runs in the event loop; awaits the store only.

    Args:
        spec: the bundle's spec.
        transform: the bundle's transform.
        score: (N, C) local ids to (N,) probabilities.
        reader: the online store.
        unseen: what scores values that training never saw; None for a bundle without value vectors.
        past: what reads the history of users and items; None for a bundle without history.
        repository: what reads features of the user's own repository; None for a bundle without any.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        transform: Transform,
        *,
        score: Callable[[NDArray[np.int32]], NDArray[np.float32]],
        reader: MarkedReader,
        metrics: ScoringMetrics,
        cache_ttl_s: float,
        cache_items: int,
        micro_batching: bool,
        unseen: UnseenValues | None = None,
        past: Past | None = None,
        repository: RepositoryFields | None = None,
    ) -> None:
        self.spec = spec
        self.past = past
        self.repository = repository
        self._views = entity_views(spec)
        self._codecs = {
            owner: OwnerCodec(spec, transform, owner, view=self._views.get(owner)) for owner in spec.entities
        }
        self._context = OwnerCodec(spec, transform, "context")
        self._width = transform.layout.slot_count
        self._reader = reader
        self._metrics = metrics
        self._batcher = MicroBatcher(score, together=micro_batching, metrics=metrics)
        self._unseen = (
            None
            if unseen is None
            else UnseenScorer(
                spec, unseen, reader=reader, metrics=metrics, cache_ttl_s=cache_ttl_s, cache_values=cache_items
            )
        )
        self._fill: Fill | None = None
        item_width = self._codecs["item"].width if "item" in self._codecs else 0
        self.cache = ItemCache(
            capacity=cache_items, ttl_s=cache_ttl_s if "item" in self._views else 0, width=item_width
        )

    async def score(
        self, batch: Batch, *, with_features: bool = False, altered: Altered | None = None, tried: int = 0
    ) -> Scored:
        """Scores a batch.

        Args:
            batch: what to score.
            with_features: also give the raw values.
            altered: changes ids and history numbers before they are scored.
            tried: how often it was tried before events to its items came between; from the second time on all is read.

        Raises:
            StoreAwayError: the store does not answer, or is not whole.
            LostRowsError: a row that was materialized is gone.
        """
        began, now_s = time.thread_time(), time.monotonic()
        wall_s = time.time()
        rows, item_ids, misses, age_s = self._from_cache(batch, now_s)
        wanted = self._wanted(batch, misses)
        before = None if self.past is None else self.past.begin(batch, now_s=now_s, anew=tried > 1)
        states = [] if self.past is None or before is None else self.past.asked(batch, before)
        spent = time.thread_time() - began
        self._metrics.spent("transform", spent)
        fill = begun = self._fill
        found: list[list[Row]] = []
        if wanted or states:
            reading = await self._reader.reading([*wanted, *states])
            found, fill = reading.rows, reading.fill
            if fill != self._fill:
                if self.past is not None and self.past.newer is not None:
                    self.past.take_newer((await self._reader.read([self.past.newer]))[0][0])
                self._start_fill(fill)
            if fill != begun:  # another request may have seen it first
                kept = misses is not None and len(misses) < len(rows["item"])
                if kept or (before is not None and before.cached):
                    return await self.score(
                        batch, with_features=with_features, altered=altered, tried=tried
                    )  # those cached are of another one
            for (view, _), read in zip(wanted, found[: len(wanted)], strict=True):
                if view.owner == "item" and misses is not None:
                    for position, row in zip(misses, read, strict=True):
                        rows["item"][position] = row
                else:
                    rows[view.owner] = read
        numbers = None
        if self.past is not None and before is not None:
            with self._metrics.stage("history"):
                stands = self.past.filled(batch, before, found[len(wanted) :], now_s=now_s)
                numbers = self.past.numbers(batch, before) if stands else None
            if not stands:  # events came meanwhile to items whose states were kept
                return await self.score(batch, with_features=with_features, altered=altered, tried=tried + 1)
        theirs, away = ({}, {}) if self.repository is None else await self.repository.read(batch)
        began = time.thread_time()
        try:
            ids = self._ids(batch, rows, item_ids, misses, now_s)
            if self.repository is not None:
                ids[:, self.repository.columns] = self.repository.ids(theirs)
        except DecodeError as error:
            raise LostRowsError(
                f"a row of the online store is damaged ({error}): run 'llactr materialize --force'", owner="any", rows=1
            ) from None
        cold = self._count_cold(batch, rows, ids, away)
        if altered is not None:
            ids, numbers = altered(ids, numbers)
        unseen = self._unseen if self._unseen is not None and self._unseen.among(ids) else None
        self._metrics.spent("transform", time.thread_time() - began)
        held = None
        if unseen is None:
            scores = await self._batcher.score(ids if numbers is None else with_history(ids, numbers))
        else:
            held = await unseen.find(ids, lambda name, at: self._texts(name, at, batch, rows, theirs), now_s=now_s)
            scores = unseen.score(ids, held, numbers)
        self._metrics.scored.inc(len(scores))
        features = self._features(batch, rows, theirs) if with_features else None
        read_s = wall_s - age_s
        return Scored(
            ids=ids,
            scores=scores,
            cold=cold,
            features=features,
            read_s=read_s,
            unseen=held,
            fill=fill,
            history=numbers,
            past=before,
        )

    def _start_fill(self, fill: Fill) -> None:
        """From now on rows are of another materialization: what is cached is not used beside them."""
        self._fill = fill
        self.cache.clear()
        if self.past is not None:
            self.past.kept.clear()
        if self._unseen is not None:
            self._unseen.cache.clear()

    @property
    def places_unseen(self) -> bool:
        """Whether values that training never saw are scored by their vectors."""
        return self._unseen is not None

    def warm(self, other: Scorer) -> int:
        """Takes over what another scorer has cached, through this one's transform; returns how many items."""
        if "item" not in self._views or other._views.get("item") != self._views["item"] or not len(other.cache):
            return 0
        if self._fill is not None and self._fill != other._fill:
            return 0
        self._fill = other._fill
        keys, rows, read_at = other.cache.entries()
        ids = self._codecs["item"].entity_ids(keys, rows)
        for position, key in enumerate(keys):  # each with its own age
            self.cache.put([key], [rows[position]], ids[position : position + 1], read_at_s=float(read_at[position]))
        return len(keys)

    def _from_cache(
        self, batch: Batch, now_s: float
    ) -> tuple[dict[str, list[Row]], NDArray[np.int32] | None, list[int] | None, float]:
        """Stored rows by owner (None where not known yet), the items' ids, and which items are still to be read."""
        rows: dict[str, list[Row]] = {owner: [None] * len(keys) for owner, keys in batch.keys.items()}
        items = batch.keys.get("item")
        if items is None or "item" not in self._views:
            return rows, None, None, 0.0
        item_ids, hits, rows["item"], age_s = self.cache.lookup(items, now_s=now_s)
        misses = np.flatnonzero(~hits).tolist()
        for position in misses:
            rows["item"][position] = None
        self._metrics.cache_hits.inc(len(items) - len(misses))
        self._metrics.cache_misses.inc(len(misses))
        if age_s:
            self._metrics.cache_age.observe(age_s)
        return rows, item_ids, misses, age_s

    def _wanted(self, batch: Batch, misses: list[int] | None) -> list[tuple[ViewRead, Sequence[str]]]:
        wanted: list[tuple[ViewRead, Sequence[str]]] = []
        for owner, view in self._views.items():
            keys = batch.keys[owner]
            if owner == "item" and misses is not None and len(misses) < len(keys):
                keys = [keys[position] for position in misses]
            if keys:
                wanted.append((view, keys))
        return wanted

    def _ids(
        self,
        batch: Batch,
        rows: dict[str, list[Row]],
        item_ids: NDArray[np.int32] | None,
        misses: list[int] | None,
        now_s: float,
    ) -> NDArray[np.int32]:
        ids = np.empty((batch.rows, self._width), np.int32)  # N x C
        for owner, codec in self._codecs.items():
            keys = batch.keys[owner]
            if owner == "item" and item_ids is not None and misses is not None:
                if misses:
                    new_keys, new_rows = [keys[i] for i in misses], [rows[owner][i] for i in misses]
                    new_ids = codec.entity_ids(new_keys, new_rows)
                    self.cache.put(new_keys, new_rows, new_ids, read_at_s=now_s)
                    self._metrics.cache_items.set(len(self.cache))
                    item_ids[misses] = new_ids
                part = item_ids
            else:
                part = codec.entity_ids(keys, rows[owner])
            ids[:, codec.columns] = batch.spread(owner, part)
        if self._context.width:
            ids[:, self._context.columns] = self._context.value_ids(self._context_columns(batch))
        return ids

    def _texts(
        self, name: str, at: NDArray[np.int64], batch: Batch, rows: dict[str, list[Row]], theirs: Found
    ) -> Sequence[str | None]:
        """Raw values of a text field in some rows of a batch."""
        field = self.spec.field(name)
        if field.feature is not None:
            values: list[str | None] = theirs[name].take(pa.array(at)).to_pylist()
            return values
        codec = next((one for one in self._codecs.values() if field in one.fields), None)
        if codec is None:
            given = self._moments(batch)
            return [_context_value(field, *given[row if len(given) > 1 else 0]) for row in at.tolist()]
        owner = str(field.owner)
        keys, stored, places = batch.keys[owner], rows[owner], batch.places.get(owner)
        if places is not None:
            at = places[at]
        chosen = [0] * len(at) if len(keys) == 1 else at.tolist()
        return codec.field_raw(name, [keys[i] for i in chosen], [stored[i] for i in chosen])

    def _context_columns(self, batch: Batch) -> list[list[Any]]:
        return [[_context_value(f, m, c) for m, c in self._moments(batch)] for f in self._context.fields]

    def _moments(self, batch: Batch) -> list[tuple[datetime, Mapping[str, Any]]]:
        count = max(len(batch.moments), len(batch.contexts))
        moments = batch.moments if len(batch.moments) == count else list(batch.moments) * count
        contexts = batch.contexts if len(batch.contexts) == count else list(batch.contexts) * count
        return list(zip(moments, contexts, strict=True))

    def _count_cold(
        self, batch: Batch, rows: dict[str, list[Row]], ids: NDArray[np.int32], away: Mapping[str, int]
    ) -> dict[str, int]:
        cold: dict[str, int] = {}
        for owner, codec in self._codecs.items():
            unknown = sum(row is None for row in rows[owner]) if owner in self._views else away.get(owner, 0)
            cold[owner] = unknown
            if unknown:
                self._metrics.cold.labels(owner, "store").inc(unknown)
            if codec.key_slot is not None:
                column = ids[:, codec.columns[codec.key_slot]]
                if len(batch.keys[owner]) == 1:
                    column = column[:1]
                unseen = int(np.count_nonzero(column == OOV))
                if unseen:
                    self._metrics.cold.labels(owner, "vocabulary").inc(unseen)
        return cold

    def _features(self, batch: Batch, rows: dict[str, list[Row]], theirs: Found) -> dict[str, dict[str, list[Any]]]:
        features: dict[str, dict[str, list[Any]]] = {
            owner: codec.entity_raw(batch.keys[owner], rows[owner]) for owner, codec in self._codecs.items()
        }
        features["context"] = {
            field.name: [_context_raw(field, moment, context) for moment, context in self._moments(batch)]
            for field in self._context.fields
        }
        features["repository"] = {name: values.to_pylist() for name, values in theirs.items()}
        return features


def _context_value(field: SpecField, moment: datetime, context: Mapping[str, Any]) -> Any:
    """What the context's codec looks up: text, a number, or microseconds of the full hour."""
    value = _context_raw(field, moment, context)
    return floor_hour(value) if isinstance(value, datetime) else value


def _context_raw(field: SpecField, moment: datetime, context: Mapping[str, Any]) -> Any:
    if isinstance(field, TimestampPartField):
        return moment if field.source_column is None else context.get(field.name)
    value = context.get(field.name)
    return value if field.kind == "numeric" or value is None else scalar_text(value)
