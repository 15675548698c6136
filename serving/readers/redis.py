"""Feast's Redis layout, read over one pipelined connection of the event loop.

A client library spends most of a read on building commands and replies, and its idle connections cannot tell that the
server was emptied. Here commands are packed around a constant tail (`llactr.serving.row_commands`), and answers that
are out of step cut the connection (`llactr.serving.wire`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from feast import FeatureStore
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import READERS
from llactr.serving.readers.plain_redis import PlainRedis, is_plain
from llactr.serving.resp import Reply, ServerError, pack
from llactr.serving.views import Row, ViewRead
from llactr.serving.wire import Wire

__all__ = ["RedisReader"]


@READERS.register("redis")
class RedisReader(PlainRedis):
    """See `StoreReader`, and `PlainRedis` for the arguments."""

    def __init__(self, config: RepoConfig, *, timeout_s: float, spent: Callable[[float], None]) -> None:
        super().__init__(config, timeout_s=timeout_s, spent=spent)
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """A single Redis."""
        return is_plain(store, "redis")

    @property
    def drops(self) -> str:
        """See `StoreReader`."""
        return "" if self._wire is None else self._wire.drops

    async def connect(self) -> None:
        """See `StoreReader`."""
        async with self._connecting:
            if self._wire is not None and not self._wire.lost:
                return
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._wire = await Wire.connected(
                        *self._nodes[0], self._options, has_ttl=self._has_ttl, spent=self._spent
                    )
            except (OSError, TimeoutError, ServerError) as error:
                self.away(error)

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        began = time.thread_time()
        pieces = [command for view, keys in wanted for command in self._commands.reads(view, keys)]
        commands = b"".join(pieces)
        self._spent(time.thread_time() - began)
        replies = await self._ask(commands, len(pieces))
        began = time.thread_time()
        found: list[list[Row]] = []
        start = 0
        for _, keys in wanted:
            found.append(self.rows(replies[start : start + len(keys)]))
            start += len(keys)
        self._spent(time.thread_time() - began)
        return found

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`. EXISTS leaves alone what Redis knows of a key's last use."""
        commands = [pack(b"EXISTS", self._commands.key(view, key)) for key in keys]
        replies = await self._ask(b"".join(commands), len(commands))
        return self.are_there(replies)

    async def probe(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        await self.connect()
        wire = self._wire
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self.read(wanted)
        except TimeoutError as error:
            if wire is not None:
                wire.abort()  # a server that hangs, or a network that swallows: the requests that wait fail now
            self.away(error)

    async def close(self) -> None:
        """See `StoreReader`."""
        if self._wire is not None:
            self._wire.abort()

    async def _ask(self, commands: bytes, count: int) -> list[Reply]:
        """The replies of a pipeline."""
        if self._wire is None or self._wire.lost:
            self.away("not connected")
        try:
            return await self._wire.ask(commands, count)
        except (ConnectionError, ServerError) as error:
            self.away(error)
