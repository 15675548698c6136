"""History in the service: numbers equal to the offline pass, pushed events seen by the next request, refusals."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from llactr.ctr import Bundle
from llactr.history import Events, history_rows
from llactr.serving import service
from llactr.store import events_table
from llactr.store.events import EventLog
from llactr.store.history import events_of
from llactr.workspace import Workspace
from tests.serving.history_workspace import build_history
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Redis, Served
from tests.serving.serving_workspace import DATASET, EVENTS, REDIS_CONFIG, START, spec_of

LATER = START + timedelta(minutes=17 * (EVENTS + 10))
ITEMS = [str(i) for i in range(0, 60, 3)]


@pytest.fixture
def asgi(past_workspace: Workspace) -> Iterator[Asgi]:
    with started(past_workspace, catch_up_s=0.05) as asgi:
        yield asgi


def moment(minutes: float = 0) -> str:
    return (LATER + timedelta(minutes=minutes)).isoformat()


def event(user: str, item: str, minutes: float, outcome: int = 1, **more: Any) -> dict[str, Any]:
    return {"user": user, "item": item, "timestamp": moment(minutes), "outcome": outcome, **more}


def offline_numbers(
    workspace: Workspace, pushed: list[dict[str, Any]], rows: list[tuple[str, str, str]], bundle: str = "past"
) -> np.ndarray:
    """History numbers of (user, item, moment) by the pass over the dataset's events and the pushed ones."""
    definition = Bundle.load(workspace.artifact("bundles", bundle)).history
    assert definition is not None
    known = events_of(spec_of(), events_table(workspace, spec_of()))
    micros = [round(datetime.fromisoformat(one["timestamp"]).timestamp() * 1e6) for one in pushed]
    more = Events.of(
        [one["user"] for one in pushed],
        [one["item"] for one in pushed],
        np.array(micros, np.int64),
        np.array([one["outcome"] for one in pushed], np.float32),
    )
    events = Events(
        *(np.concatenate([getattr(known, n), getattr(more, n)]) for n in ("user", "item", "time", "outcome"))
    )
    asked = Events.of(
        [row[0] for row in rows],
        [row[1] for row in rows],
        np.array([round(datetime.fromisoformat(row[2]).timestamp() * 1e6) for row in rows], np.int64),
        np.zeros(len(rows), np.float32),
    )
    return history_rows(definition, events, asked, neighbour_steps=0)


def ranked(asgi: Any, user: str, minutes: float, **more: Any) -> Any:
    body = {"user": user, "items": ITEMS, "timestamp": moment(minutes), "return_features": True, "return_ids": True}
    answer = asgi.ask("POST", "/v1/rank", body | more)
    assert answer.status == 200, answer.body
    return answer.json


def numbers_of(answer: Any) -> np.ndarray:
    columns = [[np.nan if v is None else v for v in column] for column in answer["history"].values()]
    return np.array(columns, np.float32).T


def test_numbers_are_those_of_the_offline_pass(asgi: Asgi, past_workspace: Workspace) -> None:
    for user in ("u1", "u7", "nobody"):
        answer = ranked(asgi, user, 0)
        expected = offline_numbers(past_workspace, [], [(user, item, moment()) for item in ITEMS])
        np.testing.assert_allclose(numbers_of(answer), expected, atol=1e-6)


def test_scores_are_those_of_the_bundle(asgi: Asgi, past_workspace: Workspace) -> None:
    bundle = Bundle.load(past_workspace.artifact("bundles", "past"))
    from llactr.ctr.model import predict

    answer = ranked(asgi, "u3", 5)
    rows = bundle.rows(np.array(answer["ids"], np.int32), numbers_of(answer))
    np.testing.assert_allclose(answer["scores"], predict(bundle.model, rows), atol=1e-6)


def test_a_pushed_event_is_in_the_next_answer(asgi: Asgi, past_workspace: Workspace) -> None:
    pushed: list[dict[str, Any]] = []
    before = ranked(asgi, "u1", 30)["scores"]
    for number, item in enumerate(["3", "9", "3", "new"]):
        one = event("u1", item, number, outcome=number % 2)
        answer = asgi.ask("POST", "/v1/events", one)
        assert answer.status == 200, answer.body
        assert (answer.json["accepted"], answer.json["repeated"]) == (1, 0)
        pushed.append(one)
        found = ranked(asgi, "u1", 30)
        expected = offline_numbers(past_workspace, pushed, [("u1", item, moment(30)) for item in ITEMS])
        np.testing.assert_allclose(numbers_of(found), expected, atol=1e-6)
        assert found["scores"] != before


def test_events_reach_the_history_of_a_bundle_beside_the_answers(past_workspace: Workspace) -> None:
    with started(past_workspace, compare_bundle="other", shadow="other", shadow_share=1.0) as asgi:

        def ranked_by_both() -> list[float]:
            found: list[float] = ranked(asgi, "u1", 30, compare=True)["compare"]["scores"]
            assert asgi.service.shadow is not None
            asgi.runner.run(asgi.service.shadow.drain())
            return found

        before = ranked_by_both()
        assert asgi.ask("POST", "/v1/events", event("u1", ITEMS[1], 0)).status == 200
        after = ranked_by_both()
        assert after != before
    (folder,) = {path.parent for path in past_workspace.root.rglob("served/*/*.parquet")}
    scores = [row["shadow_score"] for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert scores == pytest.approx(before + after, abs=1e-6)


def test_events_of_one_time_do_not_see_each_other(asgi: Asgi) -> None:
    before = numbers_of(ranked(asgi, "u2", 0))
    assert asgi.ask("POST", "/v1/events", event("u2", ITEMS[0], 0)).status == 200
    np.testing.assert_array_equal(numbers_of(ranked(asgi, "u2", 0)), before)
    after = numbers_of(ranked(asgi, "u2", 1 / 60))
    assert after[0, 0] == np.float32(np.log1p(np.expm1(before[0, 0]) + 1))


def test_many_events_at_once_and_repeated_ones(asgi: Asgi, past_workspace: Workspace) -> None:
    pushed = [event(f"u{n % 5}", str(3 * (n % 9)), n / 10, outcome=n % 2) for n in range(50)]
    answer = asgi.ask("POST", "/v1/events", {"events": [*pushed, pushed[0]]})
    assert (answer.json["accepted"], answer.json["repeated"]) == (51, 1)
    rows = [(f"u{n}", item, moment(60)) for n in range(5) for item in ITEMS]
    body = {"rows": [{"user": u, "item": i, "timestamp": t} for u, i, t in rows], "return_features": True}
    found = asgi.ask("POST", "/v1/predict", body).json
    np.testing.assert_allclose(numbers_of(found), offline_numbers(past_workspace, pushed, rows), atol=1e-5)
    assert asgi.metric("llactr_events_total") == 51


def test_rows_of_several_moments_each_see_what_was_before(asgi: Asgi, past_workspace: Workspace) -> None:
    pushed = [event("u1", "3", 0), event("u4", "6", 5)]
    assert asgi.ask("POST", "/v1/events", {"events": pushed}).status == 200
    rows = [("u1", "3", moment(0)), ("u1", "3", moment(1)), ("u4", "3", moment(5)), ("u4", "6", moment(6))]
    body = {"rows": [{"user": u, "item": i, "timestamp": t} for u, i, t in rows], "return_features": True}
    found = asgi.ask("POST", "/v1/predict", body).json
    np.testing.assert_allclose(numbers_of(found), offline_numbers(past_workspace, pushed, rows), atol=1e-6)


def test_cached_states_are_forgotten_when_this_process_pushes(past_workspace: Workspace) -> None:
    with started(past_workspace, history_freshness_s=3600) as asgi:
        ranked(asgi, "u1", 0)
        ranked(asgi, "u1", 0)
        assert asgi.metric('llactr_history_states_total{source="cached"}') == len(ITEMS)
        pushed = [event("u9", ITEMS[2], 1)]
        assert asgi.ask("POST", "/v1/events", pushed[0]).status == 200
        expected = offline_numbers(past_workspace, pushed, [("u1", item, moment(2)) for item in ITEMS])
        np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", 2)), expected, atol=1e-6)


def test_kept_states_follow_what_other_writers_push(asgi: Asgi, past_workspace: Workspace) -> None:
    from llactr.store.events import LoggedEvent, Pusher
    from llactr.store.feast.open import open_store

    history = Bundle.load(past_workspace.artifact("bundles", "past")).history
    assert history is not None
    ranked(asgi, "u1", 0)
    pusher = Pusher(past_workspace, spec_of(), open_store(past_workspace), {history.version: history})
    pushed = [event("u9", ITEMS[n % 3], n, outcome=n % 2) for n in range(4)]
    try:
        for number, one in enumerate(pushed):
            time_us = round(datetime.fromisoformat(one["timestamp"]).timestamp() * 1e6)
            pusher.push([LoggedEvent("u9", one["item"], time_us, float(one["outcome"]))])
            for minutes in (number, number + 0.5):  # at the event's own time it does not count, later it does
                rows = [("u1", item, moment(minutes)) for item in ITEMS]
                expected = offline_numbers(past_workspace, pushed[: number + 1], rows)
                np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", minutes)), expected, atol=1e-6)
    finally:
        pusher.close()
    # The first of two requests after a push finds one item of 20 changed, reads it, and goes on with the 19 that it has.
    assert asgi.metric('llactr_history_states_total{source="cached"}') == 4 * 19 + 4 * 20
    read = 9 + 20 + 4  # users; items of the first request; those that changed
    assert asgi.metric('llactr_history_states_total{source="read"}') == read + 2, "and two of the warm-up"


def test_kept_states_are_read_again_after_a_filling(asgi: Asgi, past_workspace: Workspace) -> None:
    from llactr.store import materialize
    from llactr.store.events.filling import filling_again

    ranked(asgi, "u1", 0)
    assert asgi.ask("POST", "/v1/events", event("u9", ITEMS[0], 1)).status == 200
    with filling_again():  # the states of before; then the service applies the log
        materialize(past_workspace)
    expected = offline_numbers(past_workspace, [event("u9", ITEMS[0], 1)], [("u1", i, moment(2)) for i in ITEMS])
    asgi.ask("POST", "/v1/events", event("u8", "new", 1.5))
    np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", 2)), expected, atol=1e-6)


def test_a_reload_to_another_history_catches_up_with_the_log(past_workspace: Workspace) -> None:
    with started(past_workspace, environment={"LLACTR_ADMIN_KEY": "a" * 20}) as asgi:
        pushed = [event("u1", "3", 0), event("u2", "6", 1)]
        assert asgi.ask("POST", "/v1/events", {"events": pushed}).status == 200
        answer = asgi.ask("POST", "/v1/admin/reload", {"bundle": "other"}, x_api_key="a" * 20)
        assert answer.status == 200, answer.body
        pushed.append(event("u1", "12", 2))
        assert asgi.ask("POST", "/v1/events", pushed[-1]).status == 200
        rows = [("u1", item, moment(5)) for item in ITEMS]
        expected = offline_numbers(past_workspace, pushed, rows, bundle="other")
        np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", 5)), expected, atol=1e-6)


def test_an_event_that_came_while_another_history_was_loaded_is_in_its_first_answer(
    past_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, answers = event("u1", "3", 0), []
    body = {"user": "u1", "items": ITEMS, "timestamp": moment(5), "return_features": True}
    with started(past_workspace, environment={"LLACTR_ADMIN_KEY": "a" * 20}) as asgi:
        load, register = service.load_bundle, asgi.service._register

        async def loaded(*given: Any, **more: Any) -> Any:
            found = await load(*given, **more)
            assert (await asgi.asked("POST", "/v1/events", one)).status == 200
            return found

        async def registered(*more: Path) -> None:
            await register(*more)
            answers.append((await asgi.asked("POST", "/v1/rank", body)).json)

        monkeypatch.setattr(service, "load_bundle", loaded)
        monkeypatch.setattr(asgi.service, "_register", registered)
        asgi.ask("POST", "/v1/admin/reload", {"bundle": "other"}, x_api_key="a" * 20)
    expected = offline_numbers(past_workspace, [one], [("u1", item, moment(5)) for item in ITEMS], bundle="other")
    (first, *_) = [answer for answer in answers if answer["bundle"] == "other"]
    np.testing.assert_allclose(numbers_of(first), expected, atol=1e-6)


def test_what_others_logged_is_caught_up_with(asgi: Asgi, past_workspace: Workspace) -> None:
    import asyncio

    from llactr.store.events import LoggedEvent

    one = event("u1", "3", 0)
    time_us = round(datetime.fromisoformat(one["timestamp"]).timestamp() * 1e6)
    with EventLog(past_workspace, DATASET).writer() as writer:
        writer.append([LoggedEvent("u1", "3", time_us, 1.0)])
    for _ in range(600):
        if asgi.metric("llactr_events_caught_up_total"):
            break
        asgi.runner.run(asyncio.sleep(0.05))
    expected = offline_numbers(past_workspace, [one], [("u1", item, moment(5)) for item in ITEMS])
    np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", 5)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "pointer", "reason"),
    [
        ({"outcome": 2}, "/outcome", "Input should be"),
        ({"outcome": None}, "/outcome", ""),
        ({"user": ""}, "/user", "at least 1 character"),
        ({"item": 1.5}, "/item", ""),
        ({"timestamp": "yesterday"}, "/timestamp", "RFC 3339"),
        ({"timestamp": "2190-01-01T00:00:00Z"}, "/timestamp", "lies ahead"),
        ({"timestamp": "2001-01-01T00:00:00Z"}, "/timestamp", "before the dataset's first event"),
        ({"context": {"colour": "red"}}, "/context/colour", "Extra inputs"),
        ({"more": 1}, "/more", "Extra inputs"),
    ],
)
def test_events_that_are_none_are_refused_and_nothing_is_logged(
    asgi: Asgi, past_workspace: Workspace, change: dict[str, Any], pointer: str, reason: str
) -> None:
    answer = asgi.ask("POST", "/v1/events", event("u1", "3", 0) | change)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(one["pointer"] == pointer and reason in one["reason"] for one in answer.json["errors"]), answer.json
    assert EventLog(past_workspace, DATASET).segments() == {}


def test_the_place_of_a_bad_moment_is_that_of_the_request(asgi: Asgi) -> None:
    bad = event("u1", "3", 0) | {"timestamp": "2190-01-01T00:00:00Z"}
    for body, pointer in (
        (bad, "/timestamp"),
        ({"events": [bad]}, "/events/0/timestamp"),
        ({"events": [event("u1", "3", 0), bad]}, "/events/1/timestamp"),
    ):
        assert [one["pointer"] for one in asgi.ask("POST", "/v1/events", body).json["errors"]] == [pointer]


def test_too_many_events_are_refused(past_workspace: Workspace) -> None:
    with started(past_workspace, max_rows=3) as asgi:
        answer = asgi.ask("POST", "/v1/events", {"events": [event("u1", "3", n) for n in range(4)]})
        assert answer.status == 422
        assert asgi.ask("POST", "/v1/events", {"events": []}).status == 422


def test_events_need_the_key_of_the_rest(past_workspace: Workspace) -> None:
    with started(past_workspace, environment={"LLACTR_API_KEYS": "k" * 20}) as asgi:
        assert asgi.ask("POST", "/v1/events", event("u1", "3", 0)).status == 401
        assert asgi.ask("POST", "/v1/events", event("u1", "3", 0), x_api_key="k" * 20).status == 200


def test_the_contract_describes_events(asgi: Asgi) -> None:
    document = asgi.ask("GET", "/openapi.json").json
    body = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/PushedEvents"}
    properties = document["components"]["schemas"]["PushedEvent"]["properties"]
    assert {"user", "item", "outcome", "timestamp", "context"} == set(properties)


def test_a_disk_that_takes_nothing_is_said_and_nothing_counts(
    asgi: Asgi, past_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ranked(asgi, "u1", 10)["scores"]

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        answer = asgi.ask("POST", "/v1/events", event("u1", "3", 0))
    assert (answer.status, answer.json["type"]) == (503, "urn:llactr:problem:events-refused")
    assert ranked(asgi, "u1", 10)["scores"] == before
    assert asgi.ask("POST", "/v1/events", event("u1", "3", 0)).status == 200
    expected = offline_numbers(past_workspace, [event("u1", "3", 0)], [("u1", item, moment(10)) for item in ITEMS])
    np.testing.assert_allclose(numbers_of(ranked(asgi, "u1", 10)), expected, atol=1e-6)


@pytest.mark.parametrize(("change", "said"), [(b"\x0a\x03abc", "are not the state"), (b"\xff\xff", "damaged")])
def test_a_damaged_state_is_refused_and_never_scored(
    asgi: Asgi, past_workspace: Workspace, change: bytes, said: str
) -> None:
    with sqlite3.connect(past_workspace.feast / "online.db") as connection:
        connection.execute('UPDATE "llactr_shop__item_history" SET value = ?', (change,))
    body = {"user": "u1", "items": ITEMS, "timestamp": moment()}
    answer = asgi.ask("POST", "/v1/rank", body)
    assert (answer.status, answer.json["type"]) == (503, "urn:llactr:problem:rows-lost")
    assert said in answer.json["detail"]
    assert "run 'llactr materialize --force'" in answer.json["detail"]
    assert asgi.metric('llactr_lost_rows_total{owner="history"}') == 1


def test_a_history_that_was_never_filled_is_not_served(past_workspace: Workspace) -> None:
    with sqlite3.connect(past_workspace.feast / "online.db") as connection:
        connection.execute("DELETE FROM llactr_history_filled")
    with started(past_workspace) as asgi:
        answer = asgi.ask("GET", "/readyz")
        assert answer.status == 503
        assert "not online as a whole: run 'llactr materialize'" in answer.json["detail"]


@pytest.mark.redis
def test_on_redis_with_two_workers(
    tmp_path: Path, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Redis.start()
    try:
        monkeypatch.setenv("LLACTR_REDIS", server.address)
        workspace = build_history(tmp_path / "redis-ws", feast_config=REDIS_CONFIG, delay="2m")
        variables = {"LLACTR_REDIS": server.address}
        served = serve(workspace, feast_config=str(REDIS_CONFIG), workers=2, variables=variables)
        pushed: list[dict[str, Any]] = []
        for number in range(12):
            one = event("u1", ITEMS[number % 4], number, outcome=number % 2)
            assert served.ask("POST", "/v1/events", one).status == 200
            pushed.append(one)
            found = ranked(served, "u1", number + 1)
            expected = offline_numbers(workspace, pushed, [("u1", item, moment(number + 1)) for item in ITEMS])
            np.testing.assert_allclose(numbers_of(found), expected, atol=1e-6)
    finally:
        server.stop()


def test_now_is_the_moment_of_an_event_without_one(asgi: Asgi, past_workspace: Workspace) -> None:
    before = datetime.now(UTC)
    assert asgi.ask("POST", "/v1/events", {"user": "u1", "item": "3", "outcome": True}).status == 200
    log = EventLog(past_workspace, DATASET)
    logged = [one for name in log.segments() for frame in log.frames(name) for one in frame.events]
    assert len(logged) == 1
    assert before.timestamp() * 1e6 <= logged[0].time + 1 <= datetime.now(UTC).timestamp() * 1e6 + 1
    assert logged[0].outcome == 1.0
