"""The outermost layer by itself, around an application of a few lines."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from llactr.serving.config import ServeConfig
from llactr.serving.gate import Gate
from llactr.serving.metrics import Metrics
from llactr.serving.problems import Problem

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gated:
    """A gate around an application, and what it counts."""

    def __init__(self, app: App, **settings: Any) -> None:
        self.metrics = Metrics()
        config = ServeConfig.of(environment={}, workspace="somewhere", **settings)
        self.gate = Gate(app, config=config, metrics=self.metrics)

    async def ask(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        sent = {"host": "localhost"} | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {"type": "http", "path": path, "headers": [(k.encode(), v.encode()) for k, v in sent.items()]}
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        await asyncio.wait_for(self.gate(scope, _nothing_more, send), 30)
        answered = {k.decode(): v.decode() for k, v in messages[0]["headers"]}
        return messages[0]["status"], answered, b"".join(message["body"] for message in messages[1:])

    def counted(self, path: str, status: int) -> float:
        value = self.metrics.registry.get_sample_value("llactr_requests_total", {"path": path, "status": str(status)})
        return value or 0


async def _nothing_more() -> Any:
    return await asyncio.Event().wait()


async def fine(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["state"]["request_id"].encode()})


async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def test_answers_carry_the_request_id_and_the_security_headers() -> None:
    status, headers, body = asyncio.run(Gated(fine).ask("/healthz", x_request_id="a-1.b_2"))
    assert (status, headers["x-request-id"], body) == (200, "a-1.b_2", b"a-1.b_2")
    assert headers["content-type"] == "text/plain"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("given", ["", "with space", "line\nbreak", "x" * 129, "ünï"])
def test_a_request_id_that_could_spoil_the_log_is_replaced(given: str) -> None:
    gated = Gated(fine)

    async def twice() -> list[str]:
        return [(await gated.ask("/healthz", x_request_id=given))[1]["x-request-id"] for _ in range(2)]

    first, second = asyncio.run(twice())
    assert given not in {first, second}
    assert first != second


def test_scoring_past_the_limit_is_shed_and_other_paths_are_not() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def waits(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"].startswith("/v1"):
                await go.wait()
            await fine(scope, receive, send)

        gated = Gated(waits, max_concurrency=2)
        under_way = [asyncio.ensure_future(gated.ask(path)) for path in ("/v1/rank", "/v1/predict")]
        await asyncio.sleep(0)
        status, headers, body = await gated.ask("/v1/rank")
        assert (status, headers["retry-after"]) == (429, "1")
        assert json.loads(body)["detail"] == "2 requests are under way: try again in a moment"
        assert (await gated.ask("/healthz"))[0] == 200
        go.set()
        assert [answer[0] for answer in await asyncio.gather(*under_way)] == [200, 200]
        assert (await gated.ask("/v1/rank"))[0] == 200, "there is room again"
        assert gated.metrics.shed._value.get() == 1
        assert gated.counted("/v1/rank", 429) == 1
        assert gated.counted("/v1/rank", 200) == 2
        assert gated.metrics.in_flight._value.get() == 0

    asyncio.run(main())


def test_room_is_given_back_however_a_request_ends(caplog: pytest.LogCaptureFixture) -> None:
    ends: list[Exception | None] = [Problem(422, "invalid-request", "no"), RuntimeError("a secret"), None]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if end := ends.pop(0):
            raise end
        await stuck(scope, receive, send)

    gated = Gated(app, max_concurrency=1, deadline_ms=20)

    async def main() -> list[tuple[int, dict[str, str], bytes]]:
        answers = [await gated.ask("/v1/rank", x_request_id=f"r{number}") for number in range(3)]
        gone = asyncio.ensure_future(gated.ask("/v1/rank"))
        ends.append(None)
        await asyncio.sleep(0)
        gone.cancel()  # the client hung up
        await asyncio.gather(gone, return_exceptions=True)
        ends.append(Problem(400, "not-json", "no"))
        return [*answers, await gated.ask("/v1/rank")]

    with caplog.at_level(logging.ERROR):
        refused, failed, late, last = asyncio.run(main())
    assert [answer[0] for answer in (refused, failed, late, last)] == [422, 500, 503, 400]
    assert json.loads(failed[2])["type"] == "urn:llactr:problem:internal-error"
    assert b"secret" not in failed[2]
    assert "request r1 failed" in caplog.text
    assert "a secret" in caplog.text
    assert json.loads(late[2])["detail"] == "no answer within the deadline of 0.02 s"
    assert int(refused[1]["content-length"]) == len(refused[2])


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await fine(scope, receive, send)
        raise RuntimeError("too late")

    gated = Gated(breaks_off)
    status, _, body = asyncio.run(gated.ask("/v1/rank", x_request_id="r"))
    assert (status, body) == (200, b"r")
    assert gated.counted("/v1/rank", 200) == 1


def test_the_deadline_is_of_scoring_alone() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await fine(scope, receive, send)

    gated = Gated(slow, deadline_ms=10)
    assert asyncio.run(gated.ask("/v1/rank"))[0] == 503
    assert asyncio.run(gated.ask("/v1/model"))[0] == 200


def test_a_foreign_host_is_refused_before_the_application_hears_of_it() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it was asked")

    assert asyncio.run(Gated(never).ask("/v1/rank", host="evil.example"))[0] == 421


def test_unknown_paths_are_counted_as_one() -> None:
    """Else any client could make as many series as it likes."""
    gated = Gated(fine)

    async def main() -> None:
        for path in ("/a", "/b", "/v1/fields/age/similar", "/v1/fields/x/similar", "/healthz"):
            await gated.ask(path)

    asyncio.run(main())
    assert gated.counted("other", 200) == 2
    assert gated.counted("/v1/fields/{field}/similar", 200) == 2
    assert gated.counted("/healthz", 200) == 1
    assert gated.counted("/a", 200) == 0


def test_websockets_are_closed_and_the_lifespan_goes_through() -> None:
    heard: list[str] = []
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["type"])

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        gate = Gated(app).gate
        await gate({"type": "websocket", "path": "/"}, _nothing_more, send)
        await gate({"type": "lifespan"}, _nothing_more, send)

    asyncio.run(main())
    assert sent == [{"type": "websocket.close", "code": 1003}]
    assert heard == ["lifespan"]
