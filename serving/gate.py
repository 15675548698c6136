"""The outermost layer: admission, deadline, and an answer to everything, as pure ASGI."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from itertools import count
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llactr.serving.access import Access
from llactr.serving.config import ServeConfig
from llactr.serving.metrics import Metrics
from llactr.serving.problems import MEDIA_TYPE, Problem

__all__ = ["Gate"]

_LOG = logging.getLogger(__name__)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_SCORING = {"/v1/rank", "/v1/predict", "/v1/events", "/v1/explain"}
"""Paths with a deadline, of which only so many requests may be under way."""
_KNOWN = _SCORING | {"/", "/v1/model", "/v1/admin/reload", "/healthz", "/readyz", "/metrics", "/openapi.json"}
_INFER = "/v2/models/{model}/infer"
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
]


class Gate:
    """Checks who asks, sheds load, enforces the deadline, names the request, counts, and turns errors into problems.

    Requests past the concurrency limit are answered before their body is read, so that overload costs neither memory
    nor the time of those under way.

    Args:
        app: what answers.
        config: its limits.
        metrics: counts.
    """

    def __init__(self, app: ASGIApp, *, config: ServeConfig, metrics: Metrics) -> None:
        self._app = app
        self._access = Access(config)
        self._deadline_s = config.deadline_ms / 1000
        self._limit = config.max_concurrency
        self._metrics = metrics
        self._under_way = 0
        self._names = count(1)
        self._prefix = secrets.token_hex(6)
        self._meters: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        began = time.perf_counter()
        path: str = scope["path"]
        scoring = path in _SCORING or _is_infer(path)
        request_id = self._request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_SECURITY_HEADERS, (b"x-request-id", request_id)]
            await send(message)

        admitted = False
        try:
            self._access.check(path, scope["headers"], address=(scope.get("client") or ("",))[0])
            if scoring:
                if self._under_way >= self._limit:
                    self._metrics.shed.inc()
                    raise Problem(
                        429,
                        "overloaded",
                        f"{self._limit} requests are under way: try again in a moment",
                        headers={"Retry-After": "1"},
                    )
                self._under_way += 1
                admitted = True
                async with asyncio.timeout(self._deadline_s):
                    await self._app(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        except TimeoutError:
            problem = Problem.unavailable(
                f"no answer within the deadline of {self._deadline_s:g} s", kind="deadline-exceeded"
            )
            await self._refuse(problem, answer, path, started=bool(status))
        except Problem as problem:
            await self._refuse(problem, answer, path, started=bool(status))
        except Exception:  # a bug of ours: said in the log, not to the caller
            _LOG.exception("request %s failed", request_id.decode())
            await self._refuse(Problem.failure(), answer, path, started=bool(status))
        finally:
            if admitted:
                self._under_way -= 1
            self._count(path, status, time.perf_counter() - began)

    async def _refuse(self, problem: Problem, send: Send, path: str, *, started: bool) -> None:
        if started:
            return
        body = problem.body(path)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _request_id(self, scope: Scope) -> bytes:
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return bytes(value)
        return f"{self._prefix}-{next(self._names):x}".encode()

    def _count(self, path: str, status: int, seconds: float) -> None:
        if path not in _KNOWN:
            path = _label(path)
        key = f"{path} {status}"
        meters = self._meters.get(key)
        if meters is None:
            meters = self._meters[key] = (
                self._metrics.requests.labels(path, str(status)),
                self._metrics.latency.labels(path),
            )
        meters[0].inc()
        meters[1].observe(seconds)
        self._metrics.in_flight.set(self._under_way)


def _is_infer(path: str) -> bool:
    return path.startswith("/v2/models/") and path.endswith("/infer")


def _label(path: str) -> str:
    """A path with a name in it, as the metrics call it."""
    if path.startswith("/v1/fields/"):
        return "/v1/fields/{field}/similar"
    return _INFER if _is_infer(path) else "other"
