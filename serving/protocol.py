"""uvicorn's HTTP protocol with bounds on what a client may do before its request reaches the application."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["guarded_protocol"]

_MAX_HEAD_BYTES = 32_768
_HEAD_TIMEOUT_S = 10.0
_BODY_TIMEOUT_S = 10.0
_TICK_S = 2.0
_MIN_BYTES_PER_TICK = 500

Known = Callable[[Iterable[tuple[bytes, bytes]]], bool]
"""Whether a request's headers hold a valid key."""


def guarded_protocol(max_connections: int, *, has_key: Known = lambda _: False) -> type[HttpToolsProtocol]:
    """A protocol that bounds time, size and number.

    - A head may take 10 s and 32 KB, a body 10 s, and while one is awaited at least 500 bytes must come every 2 s.
    - Past the number of connections a new one takes the place of one that keeps the service waiting (no whole request,
      or none at all): of the address that holds most, the oldest. Sockets that are only held open thus push out each
      other, and a request that comes in one piece is answered. A connection whose last request had a valid key is never
      pushed out; when only such and busy ones are left, the new one is closed.
    """

    numbers = count()

    class Guarded(HttpToolsProtocol):
        _head_bytes = 0
        _in_head = True
        _in_body = False
        _fresh_bytes = 0
        _keyed = False
        _address = ""
        _order = 0
        _head_timer: asyncio.TimerHandle | None = None
        _body_timer: asyncio.TimerHandle | None = None
        _tick: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._order = next(numbers)
            self._address = self.client[0] if self.client else ""
            if len(self.connections) > max_connections and not self._make_room():
                transport.abort()
                return
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timers()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            was_in_head = self._in_head
            self._fresh_bytes += len(data)
            super().data_received(data)
            if not self._in_head:
                self._cancel("_head_timer")
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
            self._in_body = True
            self._keyed = has_key(self.headers)
            super().on_headers_complete()
            self._body_timer = self.loop.call_later(_BODY_TIMEOUT_S, self._cut)
            self._fresh_bytes = 0
            self._tick = self.loop.call_later(_TICK_S, self._check_rate)

        def on_message_complete(self) -> None:
            self._in_body = False
            self._cancel("_body_timer")
            self._cancel("_tick")
            super().on_message_complete()

        def keeps_waiting(self) -> bool:
            """Whether nothing can be done for this connection until its client sends more."""
            answering = self.cycle is not None and not self.cycle.response_complete
            return self._in_body or not answering

        def _make_room(self) -> bool:
            waiting = [one for one in self.connections if one is not self and isinstance(one, Guarded)]
            waiting = [one for one in waiting if not one._keyed and one.keeps_waiting() and not one._leaving()]
            if not waiting:
                return False
            of_address = Counter(one._address for one in waiting)
            victim = min(waiting, key=lambda one: (-of_address[one._address], one._order))
            victim.transport.abort()
            return True

        def _leaving(self) -> bool:
            return self.transport is None or bool(self.transport.is_closing())

        def _check_rate(self) -> None:
            if self._fresh_bytes < _MIN_BYTES_PER_TICK:
                self._cut()
                return
            self._fresh_bytes = 0
            self._tick = self.loop.call_later(_TICK_S, self._check_rate)

        def _cut(self) -> None:
            if not self._leaving():
                self.transport.abort()

        def _stop_timers(self) -> None:
            for name in ("_head_timer", "_body_timer", "_tick"):
                self._cancel(name)

        def _cancel(self, name: str) -> None:
            timer: asyncio.TimerHandle | None = getattr(self, name)
            if timer is not None:
                timer.cancel()
                setattr(self, name, None)

    return Guarded
