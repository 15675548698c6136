"""A load generator: raw HTTP over keep-alive connections, as a process of its own, bounded in requests and time.

Closed loop (`--connections`): each connection sends the next request when the last was answered; finds the saturating
rate. Open loop (`--rate`): requests are due at fixed moments whether or not others were answered, and a latency counts
from the moment a request was due, so that a stall is not hidden by the requests that it held back.

    python -m benchmarks.serving_load --port 8080 --bodies bodies.jsonl --seconds 5 --connections 16
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import uvloop

__all__ = ["Load"]

_MAX_REQUESTS = 2_000_000
_GRACE_S = 5.0
_PICKED = ("p50_ms", "p95_ms", "p99_ms", "max_ms")


class _Connection(asyncio.Protocol):
    """One connection; at most one request is under way."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)  # type: ignore[attr-defined]
        return self.answered

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        start = self._buffer.lower().find(b"content-length:", 0, head)
        size = int(self._buffer[start + 15 : self._buffer.find(b"\r\n", start)])
        if len(self._buffer) < head + 4 + size:
            return
        status = int(self._buffer[9:12])
        self._buffer = b""
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_result(0)


class Load:
    """What a run sent and got. Status 0 is a connection that broke."""

    def __init__(self, port: int, bodies: list[bytes], *, target: str = "POST /v1/rank") -> None:
        self._port = port
        head = target.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n%b"
        self._requests = [head % (len(body), body) for body in bodies]
        self.latencies_s: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.sent = 0

    async def closed(self, connections: int, seconds: float) -> None:
        """Every connection as fast as it is answered."""
        end = time.perf_counter() + seconds

        async def one() -> None:
            connection = await self._connect()
            while time.perf_counter() < end and self.sent < _MAX_REQUESTS:
                began = time.perf_counter()
                self._note(began, await asyncio.wait_for(connection.ask(self._next()), _GRACE_S))

        await asyncio.gather(*(one() for _ in range(connections)))

    async def open(self, rate: float, seconds: float, connections: int) -> None:
        """At a fixed rate; a request that finds no free connection waits, and its wait counts."""
        free: asyncio.Queue[_Connection] = asyncio.Queue()
        for _ in range(connections):
            free.put_nowait(await self._connect())
        began = time.perf_counter()
        tasks: set[asyncio.Task[None]] = set()

        async def one(due: float) -> None:
            connection = await free.get()
            try:
                self._note(due, await asyncio.wait_for(connection.ask(self._next()), _GRACE_S))
            finally:
                free.put_nowait(connection)

        for number in range(min(int(rate * seconds), _MAX_REQUESTS)):
            due = began + number / rate
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(one(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.wait(tasks, timeout=_GRACE_S) if tasks else None

    def summary(self, seconds: float) -> dict[str, object]:
        """Rate, latencies in ms, and how many requests were not answered 200."""
        latencies = np.asarray(self.latencies_s) * 1000
        picked = np.percentile(latencies, [50, 95, 99, 100]) if len(latencies) else [float("nan")] * 4
        return {
            "requests": len(latencies),
            "rate": round(len(latencies) / seconds, 1),
            **{name: round(float(value), 3) for name, value in zip(_PICKED, picked, strict=True)},
            "errors": sum(count for status, count in self.statuses.items() if status != 200),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "generator_cpu_s": round(time.process_time(), 3),
        }

    async def _connect(self) -> _Connection:
        _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
        return connection

    def _next(self) -> bytes:
        self.sent += 1
        return self._requests[self.sent % len(self._requests)]

    def _note(self, began: float, status: int) -> None:
        self.latencies_s.append(time.perf_counter() - began)
        self.statuses[status] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", default="POST /v1/rank", help="method and path")
    parser.add_argument("--bodies", type=Path, required=True, help="one JSON body a line")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rate", type=float, help="requests a second; without it, as many as are answered")
    given = parser.parse_args()
    load = Load(given.port, given.bodies.read_bytes().splitlines(), target=given.target)
    began = time.perf_counter()
    run = (
        load.open(given.rate, given.seconds, given.connections)
        if given.rate
        else load.closed(given.connections, given.seconds)
    )
    uvloop.run(run)
    print(json.dumps(load.summary(time.perf_counter() - began)))


if __name__ == "__main__":
    main()
