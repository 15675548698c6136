"""A second bundle scores a share of the requests beside their answers: both scores are kept, and no answer suffers."""

from __future__ import annotations

import asyncio
import math
import threading
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from llactr.errors import BundleError, InputError
from llactr.lifecycle.promotions import promote
from llactr.lifecycle.running import running_services
from llactr.sampling import share_of
from llactr.serving.served_log import served_table_path
from llactr.serving.service import Service
from llactr.serving.shadow import places_moved, top_changed
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started

ITEMS = ["1", "2", "3", "7", "nobody knows it"]
BODY = {"user": "u1", "items": ITEMS, "timestamp": "2024-01-02T03:00:00Z", "context": {"Device (type)": "tv"}}


def asked(asgi: Asgi, **more: Any) -> Any:
    answer = asgi.ask("POST", "/v1/rank", BODY | more)
    assert answer.status == 200, answer.body
    return answer.json


def drained(asgi: Asgi) -> None:
    assert asgi.service.shadow is not None
    asgi.runner.run(asgi.service.shadow.drain())


def logged(workspace: Workspace) -> list[dict[str, Any]]:
    paths = sorted(served_table_path(workspace, "shop").glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path, partitioning=None).to_pylist()]


def places(scores: list[float]) -> list[int]:
    """The place of each, best first, as a person would count it."""
    order = sorted(range(len(scores)), key=lambda one: -scores[one])
    return [order.index(one) for one in range(len(scores))]


def test_differences_by_hand() -> None:
    first, second = np.array([0.9, 0.5, 0.1, 0.05], np.float32), np.array([0.5, 0.9, 0.01, 0.3], np.float32)
    # Places 0 1 2 3 against 1 0 3 2: each moves by one.
    assert places_moved(first, second) == 1
    # Two of four are the best: the same two.
    assert top_changed(first, second) == 0
    assert top_changed(first, -second) == 1
    # 40 items the other way round: place i becomes 39 - i; of the ten best none is left.
    falling = np.linspace(1, 0, 40, dtype=np.float32)
    assert places_moved(falling, -falling) == sum(abs(39 - 2 * i) for i in range(40)) / 40 == 20
    assert top_changed(falling, -falling) == 1
    # One of the ten best leaves it.
    moved = falling.copy()
    moved[3] = -1
    assert top_changed(falling, moved) == pytest.approx(0.1)
    assert top_changed(first[:1], second[:1]) == 0


def test_a_share_is_one_of_keys_and_always_the_same() -> None:
    # b2sum -l 64 of "u1", its first 53 bits.
    assert share_of("u1") == share_of("u1")
    shares = np.array([share_of(f"u{number}") for number in range(20_000)])
    assert shares.min() >= 0
    assert shares.max() < 1
    for share in (0.1, 0.5):
        assert abs((shares < share).mean() - share) < 4 * math.sqrt(share * (1 - share) / 20_000)


def test_both_scores_are_logged_and_the_difference_is_counted(workspace: Workspace) -> None:
    with started(workspace, compare_bundle="second", shadow="second", shadow_share=1.0) as asgi:
        (entry,) = running_services(workspace)
        assert {path.name for path in entry.bundles} == {"first", "second"}, "none of them is garbage"
        said = asked(asgi, compare=True)
        first, second = said["scores"], said["compare"]["scores"]
        assert first != second
        drained(asgi)
        assert asgi.metric("llactr_shadow_requests_total") == 1
        assert asgi.metric("llactr_shadow_scored_rows_total") == 6 == 1 + len(ITEMS), "with the one that warms it up"
        assert asgi.metric("llactr_shadow_score_sum_total") == pytest.approx(sum(first) + sum(second), rel=1e-5)
        gap = sum(abs(a - b) for a, b in zip(first, second, strict=True)) / len(ITEMS)
        assert asgi.metric("llactr_shadow_score_difference_sum") == pytest.approx(gap, rel=1e-5)
        moved = sum(abs(a - b) for a, b in zip(places(first), places(second), strict=True)) / len(ITEMS)
        assert asgi.metric("llactr_shadow_places_moved_sum") == pytest.approx(moved)
        assert asgi.metric("llactr_shadow_bundle_info") == 1
    rows = logged(workspace)
    assert [row["item_id"] for row in rows] == ITEMS
    assert [row["served_score"] for row in rows] == pytest.approx(first, abs=1e-7)
    assert [row["shadow_score"] for row in rows] == pytest.approx(second, abs=1e-7)
    assert {(row["served_bundle"], row["shadow_bundle"]) for row in rows} == {("first", "second")}


def test_the_same_users_are_scored_and_the_others_are_not(workspace: Workspace) -> None:
    users = [f"u{number}" for number in range(40)]
    with started(workspace, shadow="second", shadow_share=0.3) as asgi:
        for user in users * 2:
            asked(asgi, user=user)
        rows = [{"user": "u1", "item": "5"}, {"user": "u2", "item": "6"}]  # of two users: by the request's id
        for name in ("in", "out"):
            asgi.ask("POST", "/v1/predict", {"rows": rows}, x_request_id=request_of(name == "in"))
        drained(asgi)
        assert asgi.metric("llactr_shadow_places_moved_count") == 2 * sum(share_of(user) < 0.3 for user in users)
    found: dict[str, int] = {}
    for row in logged(workspace):
        assert row["shadow_score"] is not None
        found[row["served_request"]] = found.get(row["served_request"], 0) + 1
    assert found.pop(request_of(True)) == 2
    assert request_of(False) not in found
    inside = {user for user in users if share_of(user) < 0.3}
    assert 0 < len(inside) < 40
    assert {row["user_id"] for row in logged(workspace) if row["served_request"] != request_of(True)} == inside
    assert sorted(found.values()) == [len(ITEMS)] * 2 * len(inside)


def request_of(inside: bool) -> str:
    return next(f"r{number}" for number in range(1000) if (share_of(f"r{number}") < 0.3) == inside)


def test_one_that_is_behind_drops_and_no_answer_waits_for_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(workspace, shadow="second", shadow_share=1.0, shadow_queue_rows=12) as asgi:
        shadow, go_on = asgi.service.shadow, threading.Event()
        assert shadow is not None
        assert shadow._loaded is not None
        scorer = shadow._loaded.scorer
        score = scorer.score

        async def slow(batch: Any) -> Any:
            await asyncio.to_thread(go_on.wait, 20)
            return await score(batch)

        monkeypatch.setattr(scorer, "score", slow)
        alone = [asked(asgi)["scores"] for _ in range(6)]
        assert asgi.metric("llactr_shadow_requests_total") == 4, "of 12 rows two requests of five fit"
        assert asgi.metric("llactr_shadow_scored_rows_total") == 1
        go_on.set()
        drained(asgi)
        assert asgi.metric("llactr_shadow_requests_total") == 6
        assert alone == [alone[0]] * 6
    rows = logged(workspace)
    assert len(rows) == 6 * len(ITEMS), "what was dropped is logged without a second score"
    assert sum(row["shadow_score"] is None for row in rows) == 4 * len(ITEMS)
    assert all((row["shadow_score"] is None) == (row["shadow_bundle"] is None) for row in rows)


def test_one_that_fails_fails_no_answer(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with started(workspace, shadow="second", shadow_share=1.0) as asgi:
        shadow = asgi.service.shadow
        assert shadow is not None
        assert shadow._loaded is not None

        async def fails(_: Any) -> Any:
            raise ValueError("a model that is broken")

        with monkeypatch.context() as patch:
            patch.setattr(shadow._loaded.scorer, "score", fails)
            assert len(asked(asgi)["scores"]) == len(ITEMS)
            drained(asgi)
        assert "a model that is broken" in caplog.text
        assert asgi.ask("GET", "/readyz").status == 200
        asked(asgi)
        drained(asgi)
        text = asgi.ask("GET", "/metrics").body.decode()
        assert 'llactr_shadow_requests_total{outcome="failed"} 1.0' in text
        assert 'llactr_shadow_requests_total{outcome="scored"} 1.0' in text
    assert [row["shadow_score"] is None for row in logged(workspace)] == [True] * 5 + [False] * 5


def test_a_promotion_is_followed_and_nothing_is_compared_with_itself(workspace: Workspace) -> None:
    promote(workspace, "shop", workspace.artifact("bundles", "first"))

    def follow(asgi: Asgi, name: str) -> None:
        promote(workspace, "shop", workspace.artifact("bundles", name))
        assert asgi.runner.run(asgi.service.reload()).bundle == name

    with started(workspace, shadow="second", shadow_share=1.0) as asgi:
        asked(asgi)
        follow(asgi, "plain")
        asked(asgi)
        follow(asgi, "second")
        asked(asgi)
        follow(asgi, "plain")
        asked(asgi)
    served = sorted((row["served_bundle"], row["shadow_bundle"]) for row in logged(workspace))[:: len(ITEMS)]
    assert served == [("first", "second"), ("plain", "second"), ("plain", "second")]


def test_a_bundle_that_changed_is_loaded_anew_and_one_that_is_gone_is_let_go_of(workspace: Workspace) -> None:
    with started(workspace, shadow="second", shadow_share=1.0) as asgi:
        shadow = asgi.service.shadow
        assert shadow is not None
        before = shadow._loaded
        asgi.runner.run(asgi.service._clear_shadow(shadow))
        assert shadow._loaded is not before
        assert shadow.folder == workspace.artifact("bundles", "second")
        weights = workspace.artifact("bundles", "second") / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        asgi.runner.run(asgi.service._clear_shadow(shadow))
        assert shadow.folder is None
        asked(asgi)
        assert asgi.metric("llactr_shadow_bundle_info") == 0
    assert logged(workspace) == []


def test_what_cannot_be_a_shadow_is_refused_at_the_start(workspace: Workspace) -> None:
    with pytest.raises(BundleError, match="'nowhere'"), started(workspace, shadow="nowhere"):
        pass
    with pytest.raises(InputError, match="shadow_share"), started(workspace, shadow="second", shadow_share=0.0):
        pass


def test_a_service_that_never_started_leaves_no_thread(workspace: Workspace) -> None:
    from llactr.serving.config import ServeConfig

    service = Service(ServeConfig.of(environment={}, workspace=workspace.root, shadow="second"))
    asyncio.run(service.stop())
    assert not [one for one in threading.enumerate() if one.name == "shadow"]
