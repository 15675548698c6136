"""Whatever a client sends, it gets a 4xx that says what is wrong, and never a 5xx."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from llactr.serving.problems import Problem
from llactr.serving.readers.base import StoreAwayError
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started

KEY, ADMIN = "k" * 24, "a" * 24
GOOD = {"user": "u1", "items": ["1", "2"]}
TITLES = {  # Python before 3.13 has RFC 2616's names for two of them
    400: {"Bad Request"},
    413: {"Content Too Large", "Request Entity Too Large"},
    415: {"Unsupported Media Type"},
    422: {"Unprocessable Content", "Unprocessable Entity"},
}


@pytest.fixture(scope="module")
def asgi(built: Workspace) -> Iterator[Asgi]:
    with started(built, max_body_bytes=100_000) as running:
        yield running


def refused(asgi: Asgi, body: Any, status: int, pointer: str, reason: str, path: str = "/v1/rank") -> None:
    answer = asgi.ask("POST", path, body)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["type"].startswith("urn:llactr:problem:")
    assert document["status"] == status
    assert document["title"] in TITLES[status]
    if pointer:
        assert pointer in [error["pointer"] for error in document["errors"]], document
    assert reason in str(document), document


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        ({"user": None}, "/user", "valid string"),
        ({"user": ""}, "/user", "at least 1 character"),
        ({"user": "u" * 257}, "/user", "at most 256 characters"),
        ({"user": 2**63}, "/user", "less than or equal"),
        ({"user": 1.5}, "/user", "valid string"),
        ({"user": True}, "/user", "valid string"),
        ({"user": {"a": 1}}, "/user", "valid string"),
        ({"items": []}, "/items", "at least 1 item"),
        ({"items": "1"}, "/items", "valid list"),
        ({"items": ["1"] * 1001}, "/items", "at most 1000 items"),
        ({"items": ["1", None]}, "/items/1", "valid string"),
        ({"top_k": 0}, "/top_k", "greater than or equal to 1"),
        ({"top_k": 1.5}, "/top_k", "valid integer"),
        ({"top_k": True}, "/top_k", "valid integer"),
        ({"timestamp": "yesterday"}, "/timestamp", "RFC 3339"),
        ({"timestamp": "2024-01-01T00:00:00"}, "/timestamp", "RFC 3339"),
        ({"timestamp": 1700000000}, "/timestamp", "RFC 3339"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "/timestamp", "greater than or equal"),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, "/timestamp", "less than"),
        ({"timestamp": "2200-01-01T00:00:00Z"}, "/timestamp", "less than"),
        ({"timestamp": "2024-13-41T00:00:00Z"}, "/timestamp", "datetime"),
        ({"context": {"nope": 1}}, "/context/nope", "Extra inputs"),
        ({"context": {"Device (type)": ["tv"]}}, "/context/Device (type)", "valid string"),
        ({"context": {"seconds": "3"}}, "/context/seconds", "valid number"),
        ({"context": {"Device (type)": "x" * 4097}}, "/context/Device (type)", "at most 4096"),
        ({"context": []}, "/context", "valid dictionary"),
        ({"unknown": 1}, "/unknown", "Extra inputs"),
        ({"return_ids": "yes"}, "/return_ids", "valid boolean"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(asgi: Asgi, change: dict[str, Any], pointer: str, reason: str) -> None:
    refused(asgi, GOOD | change, 422, pointer, reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"user": NaN, "items": ["1"]}', "not JSON"),
        (b'{"user": "u1", "items": ["1"], "context": {"seconds": Infinity}}', "not JSON"),
        (b'{"user": "u1", "items": ["1"], "context": {"seconds": 1e999}}', "not JSON"),
        (b'{"user": "\xff\xfe", "items": ["1"]}', "UTF-8"),
        (b'{"user": "\\ud800", "items": ["1"]}', "surrogate"),
        (b"[" * 3000 + b"]" * 3000, "depth"),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, "depth"),
    ],
)
def test_what_is_not_json_is_400(asgi: Asgi, body: bytes, reason: str) -> None:
    refused(asgi, body, 400, "", reason)
    refused(asgi, body, 400, "", reason, path="/v1/predict")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_422(asgi: Asgi, body: bytes) -> None:
    refused(asgi, body, 422, "", "dictionary")


def test_rows_are_named_by_their_place(asgi: Asgi) -> None:
    rows = [{"user": "u1", "item": "1"}, {"user": "u1", "item": False}, {"user": "u1"}]
    refused(asgi, {"rows": rows}, 422, "/rows/1/item", "valid string", path="/v1/predict")
    refused(asgi, {"rows": rows}, 422, "/rows/2/item", "Field required", path="/v1/predict")
    refused(asgi, {"rows": [{"user": "u1", "item": "1"}] * 1001}, 422, "/rows", "at most 1000", path="/v1/predict")


def test_ten_megabytes_are_refused_whether_or_not_they_are_announced(asgi: Asgi) -> None:
    announced = asgi.ask("POST", "/v1/rank", b"x", content_length="10000000")
    chunks = [b"[" * 10_000] * 1000
    streamed = asgi.runner.run(asgi.asked("POST", "/v1/rank", chunks=chunks))
    negative = asgi.ask("POST", "/v1/rank", b"{}", content_length="-1")
    for answer in (announced, streamed, negative):
        assert answer.status == 413
        assert answer.headers["content-type"] == "application/problem+json"
        document = answer.json
        assert document.pop("title") in TITLES[413]
        assert document == {
            "type": "urn:llactr:problem:too-large",
            "status": 413,
            "detail": "the body is larger than 100000 bytes: send fewer rows at a time",
        }


def test_other_content_types_are_415(asgi: Asgi) -> None:
    answer = asgi.ask("POST", "/v1/rank", b"{}", content_type="text/plain")
    assert (answer.status, answer.json["title"]) == (415, "Unsupported Media Type")
    assert asgi.ask("POST", "/v1/rank", b"{}", content_type="").status == 415
    assert asgi.ask("POST", "/v1/rank", GOOD, content_type="application/json; charset=utf-8").status == 200


def test_unknown_paths_and_methods(asgi: Asgi) -> None:
    assert asgi.ask("GET", "/v1/nothing").json["title"] == "Not Found"
    wrong = asgi.ask("GET", "/v1/rank")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
    assert asgi.ask("GET", "/static/../../pyproject.toml").status == 404
    assert asgi.ask("GET", "/static/%2e%2e/app.py").status == 404


def test_keys_with_nul_sql_and_redis_bytes_are_cold_starts(asgi: Asgi) -> None:
    items = ["\u0000", "'; DROP TABLE x;--", "a\r\nGET b", "ключ", "𝔘", " "]
    answer = asgi.ask("POST", "/v1/rank", {"user": "\u0000", "items": items})
    assert answer.status == 200
    assert answer.json["cold"] == {"user": 1, "item": 6}


def test_api_keys(built: Workspace) -> None:
    variables = {"LLACTR_API_KEYS": f"{'x' * 20},{KEY}", "LLACTR_ADMIN_KEY": ADMIN}
    with started(built, environment=variables) as asgi:
        assert asgi.ask("POST", "/v1/rank", GOOD).status == 401
        assert asgi.ask("POST", "/v1/rank", GOOD, x_api_key="wrong").headers["www-authenticate"] == "Bearer"
        assert asgi.ask("POST", "/v1/rank", GOOD, x_api_key=KEY).status == 200
        assert asgi.ask("GET", "/v1/model", authorization=f"Bearer {KEY}").status == 200
        assert asgi.ask("GET", "/v1/model", authorization=f"Basic {KEY}").status == 401
        assert asgi.ask("POST", "/v1/admin/reload", x_api_key=KEY).status == 401
        assert asgi.ask("POST", "/v1/admin/reload", x_api_key=ADMIN).status == 200
        assert asgi.ask("POST", "/v1/rank", GOOD, x_api_key=ADMIN).status == 401
        assert asgi.ask("GET", "/v1/model", x_api_key="ü" * 24).status == 401
        assert asgi.ask("GET", "/healthz").status == 200
        assert asgi.ask("GET", "/readyz", host="anything.example").status == 200


def test_without_keys_only_local_names_and_no_admin(asgi: Asgi) -> None:
    assert asgi.ask("GET", "/v1/model", host="evil.example").status == 421
    assert asgi.ask("GET", "/v1/model", host="127.0.0.1:8080").status == 200
    assert asgi.ask("GET", "/v1/model", host="[::1]:8080").status == 200
    assert asgi.ask("POST", "/v1/admin/reload").status == 403


def test_past_the_concurrency_limit_requests_are_429_with_retry_after(built: Workspace) -> None:
    with started(built, max_concurrency=2, cache_ttl_s=0) as asgi:

        async def together() -> list[int]:
            answers = await asyncio.gather(*(asgi.asked("POST", "/v1/rank", GOOD) for _ in range(6)))
            assert {answer.headers.get("retry-after") for answer in answers if answer.status == 429} == {"1"}
            return sorted(answer.status for answer in answers)

        assert asgi.runner.run(together()) == [200, 200, 429, 429, 429, 429]
        assert asgi.metric("llactr_shed_requests_total") == 4
        assert asgi.ask("POST", "/v1/rank", GOOD).status == 200


def test_past_the_deadline_the_answer_is_503(built: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(built, deadline_ms=50, cache_ttl_s=0) as asgi:

        async def never(wanted: object) -> list[Any]:
            await asyncio.sleep(60)
            return []

        with monkeypatch.context() as patch:
            patch.setattr(asgi.service.main.reader.raw, "read", never)
            answer = asgi.ask("POST", "/v1/rank", GOOD)
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert "deadline of 0.05 s" in answer.json["detail"]
        # A busy machine may be late for some.
        assert 200 in (asgi.ask("POST", "/v1/rank", GOOD).status for _ in range(200))


def test_a_body_that_never_ends_meets_the_deadline(built: Workspace) -> None:
    with started(built, deadline_ms=50) as asgi:
        answer = asgi.runner.run(asgi.asked("POST", "/v1/rank", chunks=[b"{"], ends=False, content_length="5"))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.json["type"] == "urn:llactr:problem:deadline-exceeded"
        assert "deadline of 0.05 s" in answer.json["detail"]


def test_a_body_shorter_than_it_was_announced_is_not_json(asgi: Asgi) -> None:
    assert asgi.ask("POST", "/v1/rank", b"{", content_length="5").status == 400


def test_a_bug_is_a_500_that_tells_nothing(
    built: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with started(built) as asgi:

        async def broken(batch: object, **_: object) -> None:
            raise RuntimeError("a secret")

        monkeypatch.setattr(asgi.service.main.scorer, "score", broken)
        answer = asgi.ask("POST", "/v1/rank", GOOD, x_request_id="my-id.1")
        assert (answer.status, answer.headers["x-request-id"]) == (500, "my-id.1")
        assert b"secret" not in answer.body
        assert "request my-id.1 failed" in caplog.text


def test_a_store_that_fails_is_503_until_it_is_looked_at_again(
    built: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(built, cache_ttl_s=0, probe_interval_s=0.05) as asgi:

        async def away(wanted: object = None) -> None:
            raise StoreAwayError("Redis is gone")

        with monkeypatch.context() as patch:
            reader = asgi.service.main.reader
            patch.setattr(reader, "probe", away)  # the service may look at any moment
            patch.setattr(reader.raw, "read", away)
            answer = asgi.ask("POST", "/v1/rank", GOOD)
            assert (answer.status, answer.headers["retry-after"], answer.json["detail"]) == (503, "1", "Redis is gone")
            assert asgi.ask("GET", "/readyz").status == 503
            with pytest.raises(Problem, match="Redis is gone"):
                _ = asgi.service.main
        for _ in range(600):
            if asgi.ask("GET", "/readyz").status == 200:
                break
            asgi.runner.run(asyncio.sleep(0.05))
        assert asgi.ask("GET", "/readyz").status == 200
        assert asgi.ask("POST", "/v1/rank", GOOD).status == 200
