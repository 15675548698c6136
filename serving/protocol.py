"""uvicorn's HTTP protocol with bounds on what a client may do before its request reaches the application."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["guarded_protocol"]

_MAX_HEAD_BYTES = 32_768
_HEAD_TIMEOUT_S = 10.0


def guarded_protocol(max_connections: int) -> type[HttpToolsProtocol]:
    """A protocol that closes connections past a number, heads past 32 KB, and heads that take longer than 10 s."""

    class Guarded(HttpToolsProtocol):
        _head_bytes = 0
        _in_head = True
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > max_connections:
                transport.abort()
                return
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            was_in_head = self._in_head
            super().data_received(data)
            if not self._in_head:
                self._stop_timer()
                self._head_bytes = 0
                return
            # A piece of a head; rare, since heads mostly come in one piece.
            self._head_bytes = self._head_bytes + len(data) if was_in_head else len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.transport.abort()
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.abort)

        def on_message_begin(self) -> None:
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def _stop_timer(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return Guarded
