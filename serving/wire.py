"""One connection to a Redis server, over which pipelines of concurrent requests go."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from llactr.serving.resp import Reply, ReplyParser, ServerError, pack
from llactr.store.marks import eviction_said

__all__ = ["OutOfStepError", "Wire"]


class OutOfStepError(ConnectionError):
    """A reply that nobody asked for shifted the answers; the connection is cut."""


class Wire(asyncio.Protocol):
    """One connection. Replies come in the order of the questions, so concurrent requests share it.

    Every batch stands between two echoes of its own number: a reply that nobody asked for would shift all answers
    behind it, so a batch whose echoes are not in their places cuts the connection.

    Attributes:
        lost: whether it is cut.
        drops: what would make the server drop rows; empty when nothing does.
    """

    def __init__(self, spent: Callable[[float], None]) -> None:
        self.lost = False
        self.drops = ""
        self._spent = spent
        self._transport: Any = None
        self._parser = ReplyParser()
        self._waiting: deque[tuple[int, asyncio.Future[list[Reply]]]] = deque()
        self._replies: list[Reply] = []
        self._batches = 0

    @classmethod
    async def connected(
        cls,
        host: str,
        port: int,
        options: Mapping[str, Any],
        *,
        has_ttl: bool,
        spent: Callable[[float], None],
    ) -> Wire:
        """A connection that may ask.

        Args:
            host: of the server.
            port: of the server.
            options: those of Feast's connection string.
            has_ttl: whether rows expire.
            spent: told the CPU seconds of parsing.

        Raises:
            OSError: nobody listens there.
            ServerError: the server refuses.
        """
        context = _tls(options) if options.get("ssl") else None
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: cls(spent), host, port, ssl=context)
        commands = []
        if options.get("password") is not None:
            user = [str(options["username"]).encode()] if options.get("username") is not None else []
            commands.append(pack(b"AUTH", *user, str(options["password"]).encode()))
        if options.get("db"):
            commands.append(pack(b"SELECT", str(options["db"]).encode()))
        try:
            for reply in await wire._send(b"".join(commands), len(commands)) if commands else []:
                if isinstance(reply, ServerError):
                    raise reply
            wire.drops = _drops((await wire._send(pack(b"INFO", b"memory"), 1))[0], has_ttl=has_ttl)
        except BaseException:
            wire.abort()
            raise
        return wire

    @property
    def waits(self) -> bool:
        """Whether a question has no answer yet."""
        return bool(self._waiting)

    async def ask(self, commands: bytes, count: int) -> list[Reply]:
        """The replies to a pipeline of `count` commands.

        Raises:
            ConnectionError: the connection is lost, or was cut because replies were out of step.
            ServerError: the server answers nothing now, such as while it loads its data.
        """
        self._batches += 1
        number = b"%d" % self._batches
        echo = pack(b"ECHO", number)
        first, *replies, last = await self._send(echo + commands + echo, count + 2)
        if isinstance(first, ServerError):
            raise first
        if first != number or last != number:
            self.abort()
            raise OutOfStepError("its replies are out of step; reconnecting")
        return replies

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

    async def _send(self, commands: bytes, count: int) -> list[Reply]:
        """Sends a pipeline of `count` commands and waits for as many replies."""
        if self.lost:
            raise ConnectionError("the connection is lost")
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        # A question that is given up stays in the queue: its replies still come, and go nowhere.
        self._waiting.append((count, future))
        self._transport.write(commands)
        return await future

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


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    if str(options.get("ssl_cert_reqs", "required")).lower() == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(KeyError):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
