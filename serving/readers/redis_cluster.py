"""Feast's layout on a Redis cluster: a pipeline a node, side by side, along a map of the slots.

A node that does not have a key says who does: MOVED changes the map, and the next probe reads all of it again; ASK,
while a slot is being moved, sends one question elsewhere. Nodes answer in no order among themselves, so what has to be
read before and after the rows, such as the marks, is asked before and after: three round trips instead of one.
Only nodes that own slots are asked, never a replica, which may lag.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from feast import FeatureStore
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import READERS
from llactr.serving.readers.plain_redis import PlainRedis, is_plain
from llactr.serving.resp import Reply, ServerError, pack
from llactr.serving.slots import Address, SlotMap, key_slot, redirection
from llactr.serving.views import Row, ViewRead
from llactr.serving.wire import Wire

__all__ = ["RedisClusterReader"]

_TURNS = 6
"""Redirections that one question follows."""
_ASKING = pack(b"ASKING")
_SLOTS = pack(b"CLUSTER", b"SLOTS")


@READERS.register("redis_cluster")
class RedisClusterReader(PlainRedis):
    """See `StoreReader`, and `PlainRedis` for the arguments."""

    kind = "the Redis cluster"

    def __init__(self, config: RepoConfig, *, timeout_s: float, spent: Callable[[float], None]) -> None:
        super().__init__(config, timeout_s=timeout_s, spent=spent)
        self._slots: SlotMap | None = None
        self._stale = True
        self._wires: dict[Address, Wire] = {}
        self._connecting = asyncio.Lock()

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """A Redis cluster."""
        return is_plain(store, "redis_cluster")

    @property
    def drops(self) -> str:
        """See `StoreReader`."""
        return next((wire.drops for wire in self._wires.values() if wire.drops), "")

    async def connect(self) -> None:
        """See `StoreReader`. All nodes that own slots have to answer."""
        async with self._connecting:
            if self._slots is not None and not self._stale and not any(wire.lost for wire in self._wires.values()):
                return
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._discover()
            except TimeoutError as error:
                self._stale = True
                self.away(error)

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        found: list[list[Row]] = [[] for _ in wanted]
        for places in _phases([view for view, _ in wanted]):
            began = time.thread_time()
            named = [pair for place in places for pair in self._commands.reads_by_key(*wanted[place])]
            questions = [(key_slot(name), command) for name, command in named]
            self._spent(time.thread_time() - began)
            replies = iter(await self._ask(questions))
            began = time.thread_time()
            for place in places:
                found[place] = self.rows(islice(replies, len(wanted[place][1])))
            self._spent(time.thread_time() - began)
        return found

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`. EXISTS leaves alone what Redis knows of a key's last use."""
        names = [self._commands.key(view, key) for key in keys]
        replies = await self._ask([(key_slot(name), pack(b"EXISTS", name)) for name in names])
        return self.are_there(replies)

    async def probe(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        await self.connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self.read(wanted)
        except TimeoutError as error:
            for wire in self._wires.values():
                if wire.waits:
                    wire.abort()  # a server that hangs, or a network that swallows: requests that wait fail now
            self._stale = True
            self.away(error)

    async def close(self) -> None:
        """See `StoreReader`."""
        for wire in self._wires.values():
            wire.abort()

    async def _discover(self) -> None:
        """Reads the map of slots of the first node that tells it, and connects to all that own any."""
        known = [] if self._slots is None else self._slots.nodes
        reasons: dict[Address, str] = {}
        for address in dict.fromkeys([*known, *self._nodes]):
            asking = address
            try:
                wire = await self._connected(address)
                found = SlotMap((await wire.ask(_SLOTS, 1))[0], address)
                for asking in found.nodes:
                    await self._connected(asking)
            except (OSError, ServerError, ValueError) as error:
                reasons[asking] = str(error) or type(error).__name__
                continue
            for node in [node for node in self._wires if node not in found.nodes]:
                self._wires.pop(node).abort()
            self._slots, self._stale = found, False
            return
        self.away("; ".join(f"{address}: {reason}" for address, reason in reasons.items()))

    async def _connected(self, address: Address) -> Wire:
        wire = self._wires.get(address)
        if wire is None or wire.lost:
            wire = await Wire.connected(*address, self._options, has_ttl=self._has_ttl, spent=self._spent)
            self._wires[address] = wire
        return wire

    async def _ask(self, questions: Sequence[tuple[int, bytes]]) -> list[Reply]:
        """The replies to some (slot, command), in their order, redirections followed."""
        slots = self._slots
        if slots is None:
            self.away("not connected")
        replies: list[Reply] = [None] * len(questions)
        at: dict[Address, list[tuple[int, bool]]] = {}
        for number, (slot, _) in enumerate(questions):
            at.setdefault(slots.owner(slot), []).append((number, False))
        for _ in range(_TURNS):
            if not at:
                return replies
            answers = await asyncio.gather(
                *(self._pipeline(address, questions, asked) for address, asked in at.items()), return_exceptions=True
            )
            again: dict[Address, list[tuple[int, bool]]] = {}
            for (address, asked), answer in zip(at.items(), answers, strict=True):
                if isinstance(answer, BaseException):
                    self._stale = True
                    raise answer
                for (number, _), reply in zip(asked, answer, strict=True):
                    said = redirection(reply, address) if isinstance(reply, ServerError) else None
                    if said is None:
                        replies[number] = reply
                        continue
                    if not said.once:
                        slots.moved(said.slot, said.address)
                        self._stale = True
                    again.setdefault(said.address, []).append((number, said.once))
            at = again
        self.away(f"its nodes sent a question on {_TURNS} times")

    async def _pipeline(
        self, address: Address, questions: Sequence[tuple[int, bytes]], asked: Sequence[tuple[int, bool]]
    ) -> list[Reply]:
        """One node's replies; (number, whether the node has to be told that it was named for this question only)."""
        try:
            wire = self._wires.get(address)
            if wire is None:  # one that has come to the cluster since
                async with self._connecting, asyncio.timeout(self._timeout_s):
                    wire = await self._connected(address)
            pieces = [_ASKING + questions[number][1] if once else questions[number][1] for number, once in asked]
            extra = sum(once for _, once in asked)
            replies = await wire.ask(b"".join(pieces), len(asked) + extra)
        except (OSError, TimeoutError, ServerError) as error:
            self.away(error, f"the Redis node {address}")
        if not extra:
            return replies
        rest = iter(replies)
        found = []
        for _, once in asked:
            if once:
                next(rest)
            found.append(next(rest))
        return found


def _phases(views: Sequence[ViewRead]) -> Iterator[list[int]]:
    """Places of what is read at a time: what tells of the store, the rows, what tells of the store behind them."""
    rows = [place for place, view in enumerate(views) if view.owner != "store"]
    last = rows[-1] if rows else len(views)
    told = [place for place, view in enumerate(views) if view.owner == "store"]
    for places in ([p for p in told if p < last], rows, [p for p in told if p > last]):
        if places:
            yield places
