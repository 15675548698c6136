"""History of a batch: which states are read with the other features, and the numbers that the model reads of them.

A user's state is read for every request. Items' states are kept, decoded, while the row of changes that every batch
reads before them says that they are as they were (`llactr.store.events.changes`). On a store without such a row they
are kept for `freshness_s`.

Letters: N rows, H history fields, K items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llactr.errors import StoreError
from llactr.history import NEWER_ITEMS, HistoryDefinition, KeyStates, NewerItems, features, key_hashes
from llactr.history.encoding import decode
from llactr.history.fingerprints import event_totals
from llactr.serving.batch import Batch
from llactr.serving.kept_states import KeptStates, States
from llactr.serving.metrics import ScoringMetrics
from llactr.serving.readers.base import LostRowsError
from llactr.serving.recent import ItemNames, recent_events
from llactr.serving.views import Row, ViewRead, history_views, mark_view
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.events.changes import Changes, changes_key
from llactr.store.feast.messages import Value

__all__ = ["Past", "PastStates"]

_OWNERS: tuple[EntityOwner, ...] = ("user", "item")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HASHES = 200_000
"""Of items' keys, at most so many are kept."""


class PastStates:
    """The states of one batch, as far as they are known.

    Attributes:
        users: one per user of the batch; None for one without events.
        items: of the batch's items.
        wanted: owner -> places of the keys that are to be read.
        age_s: of the oldest that was kept, where the store does not say what has changed.
        known: what the store had said of changes to those that were kept.
        of_rows: the items' states that the rows' numbers were made of, once they are.
    """

    def __init__(self, batch: Batch, items: States, missing: list[int], age_s: float, known: Changes | None) -> None:
        self.users: list[bytes | None] = [None] * len(batch.keys["user"])
        self.items = items
        self.wanted: dict[EntityOwner, list[int]] = {"user": list(range(len(self.users))), "item": missing}
        self.age_s = age_s
        self.known = known
        self.of_rows: KeyStates | None = None

    @property
    def item_totals(self) -> NDArray[np.float64] | None:
        """(N, 2) events and clicks of each row's item, once its numbers are made."""
        return None if self.of_rows is None else event_totals(self.of_rows)

    @property
    def cached(self) -> bool:
        """Whether some of it was kept."""
        return len(self.wanted["item"]) < len(self.items.after)


class Past:
    """Reads states and gives history numbers. Runs in the event loop, and awaits nothing.

    Args:
        spec: of the bundle.
        definition: of the bundle's history.
        metrics: counts.
        freshness_s: how long items' states are kept on a store that does not say what has changed.
        capacity: items' states kept at most.
        names: of items, for `recent`.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        definition: HistoryDefinition,
        *,
        metrics: ScoringMetrics,
        freshness_s: float,
        capacity: int,
        names: ItemNames,
    ) -> None:
        self.definition = definition
        record_bytes = definition.item.record.itemsize
        self.kept = KeptStates(capacity=capacity, record_bytes=record_bytes, ttl_s=freshness_s)
        self.views = history_views(spec, definition.version)
        self._changes = mark_view("keys"), [changes_key(spec, definition.version)]
        self._said: tuple[bytes | None, Changes | None] = (None, None)
        self.newer = None if definition.form is None else (self.views["item"], [NEWER_ITEMS])
        """What to read for `take_newer` whenever the store was materialized."""
        self._metrics = metrics
        self._names = names
        self._hashes: dict[str, int] = {}

    def take_newer(self, row: Row) -> None:
        """From now on items that came after training are known by what was materialized of them.

        Raises:
            LostRowsError: the row is damaged.
        """
        try:
            self.definition = self.definition.with_newer(NewerItems.from_bytes(_content(row, "item")))
        except StoreError as error:
            raise _lost(error) from None

    def begin(self, batch: Batch, *, now_s: float, anew: bool = False) -> PastStates:
        """What is kept of a batch's states, nothing if `anew`, and which are to be read."""
        keys = batch.keys["item"]
        if anew:
            items = States(len(keys), self.definition.item.record.itemsize)
            return PastStates(batch, items, list(range(len(keys))), 0.0, None)
        return PastStates(batch, *self.kept.get(keys, now_s=now_s), self.kept.changes)

    def asked(self, batch: Batch, past: PastStates) -> list[tuple[ViewRead, Sequence[str]]]:
        """The views and keys to read, for `filled`; what has changed is read before the states."""
        return [
            self._changes,
            *(
                (self.views[owner], [batch.keys[owner][place] for place in places])
                for owner, places in past.wanted.items()
                if places
            ),
        ]

    def filled(self, batch: Batch, past: PastStates, found: Sequence[Sequence[Row]], *, now_s: float) -> bool:
        """Takes what was read, in the order of `asked`; returns whether all that was kept is as it was.

        Raises:
            LostRowsError: a state cannot be read.
        """
        changes = self._parsed(found[0][0])
        keep = self.kept.saw(changes)
        owners = [owner for owner, places in past.wanted.items() if places]
        for owner, rows in zip(owners, found[1:], strict=True):
            contents = [_content(row, owner) for row in rows]
            if owner == "user":
                past.users = contents
                continue
            places, keys = past.wanted["item"], batch.keys["item"]
            self._decode(past.items, places, [keys[place] for place in places], contents)
            if keep:
                self.kept.put(keys, past.items, places, read_at_s=now_s)
        if past.cached and not self._stand(past, changes):
            return False
        self._metrics.history_states.labels("read").inc(sum(map(len, past.wanted.values())))
        kept = len(past.items.after) - len(past.wanted["item"])
        if kept:
            self._metrics.history_states.labels("cached").inc(kept)
        self._metrics.history_age.observe(past.age_s)
        return True

    def numbers(self, batch: Batch, past: PastStates) -> NDArray[np.float32]:
        """(N, H) history numbers, NaN where there is nothing to say.

        Raises:
            LostRowsError: a state is damaged, or of another definition.
        """
        definition, moments = self.definition, _microseconds(batch.moments)
        one = len(batch.moments) == 1 and not batch.places.get("user") and len(batch.keys["user"]) == 1
        try:
            users = decode(definition, definition.user, past.users)
            places = {owner: _places(batch, owner) for owner in _OWNERS}
            if one:  # user for all rows
                users_of = users.as_of(definition, definition.user, np.zeros(1, np.int64), moments)
            else:
                moments = np.ascontiguousarray(np.broadcast_to(moments, (batch.rows,)))
                users_of = users.as_of(definition, definition.user, places["user"], moments)
            past.of_rows = items = self._items_as_of(past.items, places["item"], moments)
            return features(definition, users_of, items, past.items.hashes[places["item"]], moments)
        except StoreError as error:
            raise _lost(error) from None

    def recent(self, past: PastStates, moment: datetime) -> list[dict[str, Any]]:
        """The last events of the one user of a batch whose numbers were made, as `recent_events` has them."""
        content, now = past.users[0], int(_microseconds([moment])[0])
        return recent_events(self.definition, content, now, lambda hashes: self._names.of(hashes, self._hashes))

    def _items_as_of(self, items: States, places: NDArray[np.int64], now: NDArray[np.int64]) -> KeyStates:
        """States of R rows, of the items at these places, as of their moments (R,) or one for all."""
        layout = self.definition.item
        records = items.records[places]
        early = np.flatnonzero(items.after[places] >= now)
        if len(early):  # a moment before some of what is pending counts
            moments = np.ascontiguousarray(np.broadcast_to(now, places.shape))[early]
            decoded = decode(self.definition, layout, items.contents[places[early]].tolist())
            states = decoded.as_of(self.definition, layout, np.arange(len(early)), moments)
            records[early] = states.bytes
        return KeyStates(records.reshape(-1).view(layout.record))

    def _decode(self, items: States, at: list[int], keys: Sequence[str], contents: list[bytes | None]) -> None:
        """Fills in the states that were read."""
        try:
            decoded = decode(self.definition, self.definition.item, contents)
        except StoreError as error:
            raise _lost(error) from None
        states, after = decoded.settled(self.definition, self.definition.item)
        items.records[at], items.after[at], items.hashes[at] = states.bytes, after, self._hashed(keys)
        items.contents[at] = np.array([*contents, None], object)[:-1]

    def _parsed(self, row: Row) -> Changes | None:
        """What a stored row says of changes."""
        value = None if row is None else row[0]
        if value is None:
            return None
        if value != self._said[0]:
            try:
                self._said = value, Changes.parse(Value.FromString(value).bytes_val)
            except DecodeError:
                self._said = value, None
        return self._said[1]

    @staticmethod
    def _stand(past: PastStates, changes: Changes | None) -> bool:
        """Whether the states that a batch has out of what was kept are those of now."""
        if past.known is None or changes is None:
            return past.known is changes  # kept for a time, whatever happened
        items = changes.since(past.known)
        if items is None:
            return False
        if not items:
            return True
        mine = np.ones(len(past.items.hashes), bool)
        mine[past.wanted["item"]] = False
        return not np.isin(past.items.hashes[mine], np.array(items, np.uint64)).any()

    def _hashed(self, keys: Sequence[str]) -> NDArray[np.uint64]:
        """Hashes of keys, each made once."""
        known = self._hashes
        try:
            return np.array([known[key] for key in keys], np.uint64)
        except KeyError:
            new = [key for key in dict.fromkeys(keys) if key not in known]
            if len(known) + len(new) > _HASHES:
                known.clear()
                new = list(dict.fromkeys(keys))
            known.update(zip(new, key_hashes(new).tolist(), strict=True))
        return np.array([known[key] for key in keys], np.uint64)

    def pushed(self, items: Iterable[str]) -> None:
        """An event of this process changed the states of some items."""
        if self.kept.changes is None:
            self.kept.forget(items)


def _content(row: Row, owner: EntityOwner) -> bytes | None:
    """The state that a stored row holds."""
    if row is None or row[0] is None:
        return None
    try:
        content: bytes = Value.FromString(row[0]).bytes_val
    except DecodeError:
        content = b""
    if not content:
        raise LostRowsError(
            f"a state of the {owner}s' history in the online store is damaged: run 'llactr materialize --force'",
            owner="history",
            rows=1,
        )
    return content


def _places(batch: Batch, owner: EntityOwner) -> NDArray[np.int64]:
    """(N,) which of an owner's keys each row has."""
    given = batch.places.get(owner)
    if given is not None:
        return given
    each = len(batch.keys[owner]) == batch.rows
    return np.arange(batch.rows) if each else np.zeros(batch.rows, np.int64)


def _lost(error: StoreError) -> LostRowsError:
    return LostRowsError(str(error), owner="history", rows=1)


def _microseconds(moments: Sequence[datetime]) -> NDArray[np.int64]:
    """Exact: a float of seconds is not."""
    return np.array([(moment - _EPOCH) // _MICROSECOND for moment in moments], np.int64)
