"""A reader that answers only from a store that is whole: every batch asks for the marks of what it reads.

See `llactr.store.marks`. The marks come with the rows: on a store that reads one state before them, on others before
and after them, so that a materialization in between is noticed. A key that is not there is looked up among the
fingerprints of the keys that were materialized: one that should be there is an error, not a cold start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray

from llactr.serving.readers.base import READERS, LostRowsError, StoreAwayError, StoreReader
from llactr.serving.views import Row, ViewRead, entity_views, history_views, mark_view, presence_view
from llactr.spec import DatasetSpec
from llactr.store.feast.open import open_store
from llactr.store.keysets import fingerprints
from llactr.store.marks import Mark, parse_prints, part_key, parts_digest
from llactr.store.tables import FIELD_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["Fill", "MarkedReader", "Reading", "open_reader"]

_LOG = logging.getLogger(__name__)
_CONTENT, _KEYS, _PRINTS = mark_view("content"), mark_view("keys"), mark_view("prints")
_SAMPLE_EVERY_S = 2.0
MAX_LOST_SHARE = 0.01
"""Of the sampled rows of a view; past it the store is not ready."""


@dataclass(frozen=True)
class Fill:
    """Of which materialization some rows are.

    Attributes:
        run: the run that ended last; several, joined by "+", where views were materialized one by one.
        mixed: whether another one was under way, so that rows may be of either.
    """

    run: str
    mixed: bool


@dataclass(frozen=True)
class Reading:
    """Rows, one list per view asked for, and of which materialization they are."""

    rows: list[list[Row]]
    fill: Fill


class MarkedReader:
    """Reads rows of views that are whole. One reader serves one event loop.

    Memory: 8 bytes per materialized key of a view, from the first key on that is not found.

    Args:
        raw: reads the store.
        spec: of the bundle; all its views must be whole.
        semantics_version: of the bundle; its field vectors must be online.
        history_version: of the bundle's history; its states must be online, too.
    """

    def __init__(
        self,
        raw: StoreReader,
        spec: DatasetSpec,
        *,
        semantics_version: str | None,
        history_version: str | None = None,
    ) -> None:
        self.raw = raw
        past = [] if history_version is None else list(history_views(spec, history_version).values())
        self._sampled = [*entity_views(spec).values(), *past]
        self._names = [*(view.view for view in self._sampled), FIELD_SEMANTICS]
        self._presence = presence_view(spec, semantics_version)
        self._parsed: dict[str, tuple[bytes, Mark]] = {}
        self._prints: dict[str, tuple[str, NDArray[np.uint64] | None]] = {}
        self._loading = asyncio.Lock()
        self._sampled_at = -_SAMPLE_EVERY_S

    async def connect(self) -> None:
        """Connects, and checks that the store holds all that the bundle needs.

        Raises:
            StoreAwayError: it does not answer, was emptied, or is being filled.
        """
        await self.raw.connect()
        if self.raw.drops:
            _LOG.warning("%s", self.raw.drops)
        await self.probe()

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """The rows of a `reading`."""
        return (await self.reading(wanted)).rows

    async def reading(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> Reading:
        """One batch: for each (view, keys) the rows, in the order of the keys; None for a key that never was online.

        Raises:
            StoreAwayError: the store does not answer, or is not whole.
            LostRowsError: a row that was materialized is not there any more.
        """
        names = self._names_for(wanted)
        asked = self._asked(names, wanted)
        found = await self.raw.read(asked)
        fill, marks = self._checked(names, found)
        rows = found[2 : 2 + len(wanted)]
        for (view, keys), read in zip(wanted, rows, strict=True):
            missing = [key for key, row in zip(keys, read, strict=True) if row is None]
            if missing and view.owner != "store":
                await self._refuse_lost(view, missing, marks[view.view])
        return Reading(rows, fill)

    async def probe(self) -> None:
        """Looks whether the store answers and is whole; reconnects where need be.

        Raises:
            StoreAwayError: it does not, or is not.
        """
        found = await self.raw.probe(self._asked(self._names, []))
        self._checked(self._names, found)
        if time.monotonic() - self._sampled_at >= _SAMPLE_EVERY_S:
            for view in self._sampled:
                await self._check_sample(view)
            self._sampled_at = time.monotonic()

    async def close(self) -> None:
        """Lets go of the store."""
        await self.raw.close()

    def _names_for(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[str]:
        others = {view.view for view, _ in wanted if view.owner != "store"} - set(self._names)
        return [*self._names, *sorted(others)] if others else self._names

    def _asked(
        self, names: list[str], wanted: Sequence[tuple[ViewRead, Sequence[str]]]
    ) -> list[tuple[ViewRead, Sequence[str]]]:
        view, key = self._presence
        after: list[tuple[ViewRead, Sequence[str]]] = [] if self.raw.snapshot else [(_CONTENT, names)]
        return [(_CONTENT, names), (view, [key]), *wanted, *after]

    def _checked(self, names: list[str], found: list[list[Row]]) -> tuple[Fill, dict[str, Mark]]:
        marks = {name: self._mark(name, row) for name, row in zip(names, found[0], strict=True)}
        for name, mark in marks.items():
            if not mark.run:
                raise StoreAwayError(
                    f"the online store's {name!r} is being filled for the first time, or its filling was killed: wait "
                    "for 'llactr materialize', or run it"
                )
        if found[1][0] is None:
            view, key = self._presence
            raise StoreAwayError(
                f"the online store has no {view.view} {view.entity_key(key)}, which the bundle needs: "
                "run 'llactr materialize'"
            )
        changed = not self.raw.snapshot and found[-1] != found[0]
        runs = dict.fromkeys(mark.run for mark in marks.values())
        return Fill("+".join(runs), changed or any(mark.writing for mark in marks.values())), marks

    def _mark(self, name: str, row: Row) -> Mark:
        content = row[0] if row is not None else None
        if content is None:
            raise StoreAwayError(
                f"the online store holds no whole {name!r}: it was emptied, or never filled: run 'llactr materialize'"
            )
        known = self._parsed.get(name)
        if known is not None and known[0] == content:
            return known[1]
        try:
            mark = Mark.parse(Value.FromString(content).string_val)
        except DecodeError:
            mark = None
        if mark is None:
            raise StoreAwayError(f"the online store's mark of {name!r} is damaged: run 'llactr materialize --force'")
        self._parsed[name] = content, mark
        return mark

    async def _refuse_lost(self, view: ViewRead, missing: list[str], mark: Mark) -> None:
        prints = await self._known_keys(view.view, mark)
        if prints is None or not len(prints):
            return
        asked = fingerprints(tuple(value for _, value in sorted(view.entity_key(key).items())) for key in missing)
        lost = prints[np.searchsorted(prints, asked).clip(max=len(prints) - 1)] == asked  # they rise
        if lost.any():
            count = int(lost.sum())
            raise LostRowsError(
                f"{count} of {view.view!r} were materialized and are gone from the online store, such as "
                f"{missing[int(np.argmax(lost))]!r}: run 'llactr materialize --force'"
                + (f" ({self.raw.drops})" if self.raw.drops else ""),
                owner=view.owner,
                rows=count,
            )

    async def _known_keys(self, name: str, mark: Mark) -> NDArray[np.uint64] | None:
        """(N,) fingerprints of a view's keys, rising; None where its engine could not tell them."""
        known = self._prints.get(name)
        if known is not None and known[0] == mark.run:
            return known[1]
        async with self._loading:
            known = self._prints.get(name)
            if known is not None and known[0] == mark.run:
                return known[1]
            if mark.rows is None:
                prints = None
            else:
                found = (await self.raw.read([(_PRINTS, [part_key(name, part) for part in range(mark.parts)])]))[0]
                pieces = [parse_prints(Value.FromString(row[0]).bytes_val) for row in found if row and row[0]]
                prints = np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
                if await asyncio.to_thread(parts_digest, prints) != mark.digest:
                    if known is not None:
                        return known[1]  # they are being rewritten
                    raise StoreAwayError(
                        f"the keys of {name!r} in the online store are being rewritten, or were lost: wait for "
                        "'llactr materialize', or run it"
                    )
            self._prints[name] = mark.run, prints
            return prints

    async def _check_sample(self, view: ViewRead) -> None:
        row = (await self.raw.read([(_KEYS, [part_key(view.view, "sample")])]))[0][0]
        if row is None or row[0] is None:
            return
        table = pa.ipc.open_stream(Value.FromString(row[0]).bytes_val).read_all()
        for name, value in view.fixed:
            table = table.filter(pc.equal(table[name], value))
        if not table.num_rows:
            return
        present = await self.raw.present(view, table[view.join_key].to_pylist())
        lost = present.count(False)
        if lost > MAX_LOST_SHARE * len(present):
            raise StoreAwayError(
                f"{lost} of {len(present)} sampled rows of {view.view!r} are gone from the online store: "
                "run 'llactr materialize'" + (f" ({self.raw.drops})" if self.raw.drops else "")
            )


def open_reader(
    workspace: Workspace,
    spec: DatasetSpec,
    *,
    semantics_version: str | None,
    history_version: str | None = None,
    feast_config: Path | None = None,
    timeout_s: float = 1.0,
    spent: Callable[[float], None] = lambda _: None,
) -> MarkedReader:
    """A reader of what is whole, over the fastest one for the configured online store; it is not connected yet.

    `spent` is told its CPU seconds.

    Redis, a single one or a cluster, and SQLite are read in their published layouts, past Feast's per-value objects;
    everything else through Feast's `online_read`.
    """
    store = open_store(workspace, config=feast_config)
    reader = next((one for _, one in READERS.working() if one.reads(store)), READERS["feast"])
    raw = reader.of(store, timeout_s=timeout_s, spent=spent)
    return MarkedReader(raw, spec, semantics_version=semantics_version, history_version=history_version)
