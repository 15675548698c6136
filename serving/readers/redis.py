"""Feast's Redis layout, read over one pipelined connection of the event loop.

Feast keeps a hash per entity. Its key is the serialized entity key followed by the project; its fields are murmur3
hashes of `view:feature`, and the row's time under `_ts:view` (Feast's "online store format"). A client library spends
most of a read on building commands and replies, and its idle connections cannot tell that the server was emptied. Here
commands are packed around a constant tail. Every batch stands between two echoes of its own number: a reply that nobody
asked for would shift all answers behind it, so a batch whose echoes are not in their places cuts the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

from feast import FeatureStore
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3
from feast.repo_config import RepoConfig

from llactr.serving.readers.base import READERS, StoreAwayError, has_plain_names
from llactr.serving.resp import Reply, ReplyParser, ServerError, pack
from llactr.serving.views import Row, ViewRead
from llactr.store.feast.messages import entity_key, key_ends
from llactr.store.marks import eviction_said

__all__ = ["RedisReader"]

_SIZE = struct.Struct("<I")


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
        self._project = config.project.encode()
        self._serialization = config.entity_key_serialization_version
        nodes, self._options = RedisOnlineStore._parse_connection_string(config.online_store.connection_string)
        self._host, self._port = str(nodes[0]["host"]), int(nodes[0].get("port", 6379))
        self._timeout_s = timeout_s
        self._has_ttl = bool(config.online_store.key_ttl_seconds)
        self._batches = itertools.count(1)
        self.drops = ""
        self._layouts: dict[ViewRead, tuple[bytes, bytes, bytes, int]] = {}
        self._wire: _Wire | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def reads(cls, store: FeatureStore) -> bool:
        """A single Redis by the plain client, whose layout is published; not a cluster."""
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

    async def connect(self) -> None:
        """See `StoreReader`."""
        async with self._connecting:
            if self._wire is not None and not self._wire.lost:
                return
            try:
                async with asyncio.timeout(self._timeout_s):
                    self._wire = await self._connected()
            except (OSError, TimeoutError, ServerError) as error:
                raise self._away(error) from None

    async def read(self, wanted: Sequence[tuple[ViewRead, Sequence[str]]]) -> list[list[Row]]:
        """See `StoreReader`."""
        began = time.thread_time()
        pieces = []
        for view, keys in wanted:
            head, prefix, tail, fixed = self._layouts.get(view) or self._layout(view)
            for key in keys:
                value = key.encode()
                size = len(value)
                pieces.append(b"%b%d\r\n%b%b%b%b" % (head, fixed + size, prefix, _SIZE.pack(size), value, tail))
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
                event_time = reply.pop()
                rows.append(None if event_time is None else tuple(reply))
            found.append(rows)
            start += len(keys)
        self._spent(time.thread_time() - began)
        return found

    async def present(self, view: ViewRead, keys: Sequence[str]) -> list[bool]:
        """See `StoreReader`. EXISTS leaves alone what Redis knows of a key's last use."""
        commands = [pack(b"EXISTS", self._entity_key(view.entity_key(key))) for key in keys]
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
        wire = self._wire
        if wire is None or wire.lost:
            raise self._away("not connected")
        number = b"%d" % next(self._batches)
        echo = pack(b"ECHO", number)
        try:
            first, *replies, last = await wire.ask(echo + commands + echo, count + 2)
        except ConnectionError as error:
            raise self._away(error) from None
        if isinstance(first, ServerError):
            raise self._away(first)
        if first != number or last != number:
            wire.abort()
            raise self._away("its replies are out of step; reconnecting")
        return replies

    async def _connected(self) -> _Wire:
        options = self._options
        context = _tls(options) if options.get("ssl") else None
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: _Wire(self._spent), self._host, self._port, ssl=context)
        commands = []
        if options.get("password") is not None:
            user = [str(options["username"]).encode()] if options.get("username") is not None else []
            commands.append(pack(b"AUTH", *user, str(options["password"]).encode()))
        if options.get("db"):
            commands.append(pack(b"SELECT", str(options["db"]).encode()))
        try:
            for reply in await wire.ask(b"".join(commands), len(commands)) if commands else []:
                if isinstance(reply, ServerError):
                    raise reply
            self.drops = _drops((await wire.ask(pack(b"INFO", b"memory"), 1))[0], has_ttl=self._has_ttl)
        except BaseException:
            wire.abort()
            raise
        return wire

    def _layout(self, view: ViewRead) -> tuple[bytes, bytes, bytes, int]:
        """What a view's commands have in common: head, key up to its value's size, rest, size of key and project."""
        before, behind = key_ends(view.join_key, dict(view.fixed), serialization=self._serialization)
        names = [*(_mmh3(f"{view.view}:{feature}") for feature in view.features), f"_ts:{view.view}".encode()]
        tail = behind + self._project + b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in names)
        head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(names) + 2)
        layout = (head, before, tail, len(before) + _SIZE.size + len(behind) + len(self._project))
        self._layouts[view] = layout
        return layout

    def _entity_key(self, key: dict[str, str]) -> bytes:
        return serialize_entity_key(entity_key(key), self._serialization) + self._project

    def _away(self, error: object) -> StoreAwayError:
        reason = str(error) or type(error).__name__
        return StoreAwayError(f"Redis at {self._host}:{self._port} does not answer ({reason})")


class _Wire(asyncio.Protocol):
    """One connection. Replies come in the order of the questions, so concurrent requests share it."""

    def __init__(self, spent: Callable[[float], None]) -> None:
        self.lost = False
        self._spent = spent
        self._transport: Any = None
        self._parser = ReplyParser()
        self._waiting: deque[tuple[int, asyncio.Future[list[Reply]]]] = deque()
        self._replies: list[Reply] = []

    async def ask(self, commands: bytes, count: int) -> list[Reply]:
        """Sends a pipeline of `count` commands and waits for as many replies."""
        if self.lost:
            raise ConnectionError("the connection is lost")
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        # A question that is given up stays in the queue: its replies still come, and go nowhere.
        self._waiting.append((count, future))
        self._transport.write(commands)
        return await future

    def abort(self) -> None:
        """Cuts the connection; what waits fails."""
        if self._transport is not None:
            self._transport.abort()
        self._fail(ConnectionError("the connection was cut"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        began = time.thread_time()
        try:
            self._replies += self._parser.feed(data)
        except ValueError as error:
            self._transport.abort()
            self._fail(ConnectionError(str(error)))
            return
        while self._waiting and len(self._replies) >= self._waiting[0][0]:
            count, future = self._waiting.popleft()
            replies, self._replies = self._replies[:count], self._replies[count:]
            if not future.done():
                future.set_result(replies)
        if self._replies and not self._waiting:
            # Nobody asked: what came after it would be taken for the answer to something else.
            self.abort()
        self._spent(time.thread_time() - began)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        self._fail(ConnectionError(str(exc or "the server closed the connection")))

    def _fail(self, error: ConnectionError) -> None:
        self.lost = True
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)


def _drops(info: Reply, *, has_ttl: bool) -> str:
    """What `INFO memory` says of eviction; nothing where the server does not tell."""
    if not isinstance(info, bytes):
        return ""
    lines = (line.partition(":") for line in info.decode(errors="replace").splitlines())
    facts = {name: value for name, _, value in lines}
    return eviction_said(facts, has_ttl=has_ttl)


def _tls(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if str(options.get("ssl_cert_reqs", "required")).lower() == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(KeyError):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
