"""Feast's Redis layout, read over one pipelined connection of the event loop.

A client library spends most of a read on building commands and replies, and its idle connections cannot tell that the
server was emptied. Here commands are packed around a constant tail (`llactr.serving.row_commands`), and answers that
are out of step cut the connection (`llactr.serving.wire`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from feast import FeatureStore
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import READERS, StoreAwayError, has_plain_names
from llactr.serving.resp import Reply, ServerError, pack
from llactr.serving.row_commands import RowCommands, row_of
from llactr.serving.views import Row, ViewRead
from llactr.serving.wire import Wire

__all__ = ["RedisReader"]


@READERS.register("redis")
class RedisReader:
    """See `StoreReader`.

    Args:
        config: the feature store's configuration, with a single Redis.
        timeout_s: of connecting and probing.
        spent: told the CPU seconds of packing and parsing.
    """

    snapshot = False

    def __init__(
        self,
        config: RepoConfig,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> None:
        from feast.infra.online_stores.redis import RedisOnlineStore  # needs the extra `redis`, which SQLite does not

        self._spent = spent
        self._commands = RowCommands(config)
        nodes, self._options = RedisOnlineStore._parse_connection_string(config.online_store.connection_string)
        self._host, self._port = str(nodes[0]["host"]), int(nodes[0].get("port", 6379))
        self._timeout_s = timeout_s
        self._has_ttl = bool(config.online_store.key_ttl_seconds)
        self._wire: Wire | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """A single Redis by the plain client, whose layout is published."""
        config = store.config.online_store
        single = config.type == "redis" and config.redis_type.value == "redis" and config.client.value == "redis"
        return has_plain_names(store) and single

    @classmethod
    def of(
        cls,
        store: FeatureStore,
        *,
        timeout_s: float,
        spent: Callable[[float], None],
    ) -> Self:
        """See `StoreReader`."""
        return cls(store.config, timeout_s=timeout_s, spent=spent)

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
                        self._host, self._port, self._options, has_ttl=self._has_ttl, spent=self._spent
                    )
            except (OSError, TimeoutError, ServerError) as error:
                raise self._away(error) from None

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
            rows: list[Row] = []
            for reply in replies[start : start + len(keys)]:
                if type(reply) is not list:
                    raise self._away(reply)
                rows.append(row_of(reply))
            found.append(rows)
            start += len(keys)
        self._spent(time.thread_time() - began)
        return found

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`. EXISTS leaves alone what Redis knows of a key's last use."""
        commands = [pack(b"EXISTS", self._commands.key(view, key)) for key in keys]
        replies = await self._ask(b"".join(commands), len(commands))
        return [reply == 1 for reply in replies]

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
            raise self._away(error) from None

    async def close(self) -> None:
        """See `StoreReader`."""
        if self._wire is not None:
            self._wire.abort()

    async def _ask(self, commands: bytes, count: int) -> list[Reply]:
        """The replies of a pipeline."""
        if self._wire is None or self._wire.lost:
            raise self._away("not connected")
        try:
            return await self._wire.ask(commands, count)
        except (ConnectionError, ServerError) as error:
            raise self._away(error) from None

    def _away(self, error: object) -> StoreAwayError:
        reason = str(error) or type(error).__name__
        return StoreAwayError(f"Redis at {self._host}:{self._port} does not answer ({reason})")
