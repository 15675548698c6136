"""The service goes along when another bundle is promoted, and back; under load with no wrong score and no error."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from llactr.lifecycle.garbage import collect
from llactr.lifecycle.promotions import promote, rollback
from llactr.lifecycle.running import running_services
from llactr.store import apply, materialize, training_rows
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_process import Served
from tests.serving.serving_workspace import add_bundle, release_version, spec_of

ADMIN = "a" * 24
KEYS = {"environment": {"LLACTR_ADMIN_KEY": ADMIN}}
BODY = {"user": "u1", "items": ["1", "2", "3", "nobody knows it"], "timestamp": "2024-01-02T03:00:00Z"}


def promoted(workspace: Workspace, name: str) -> None:
    promote(workspace, "shop", workspace.artifact("bundles", name))


def served(asgi: Asgi, bundle: str) -> list[float]:
    """The scores once a bundle is served; the loop runs meanwhile, for so long as a reload may take at most."""

    async def wait() -> Any:
        for _ in range(400):
            answer = (await asgi.asked("POST", "/v1/rank", BODY)).json
            if answer["bundle"] == bundle:
                return answer["scores"]
            await asyncio.sleep(0.05)
        raise AssertionError(f"{answer['bundle']} is served, not {bundle}")

    scores: list[float] = asgi.runner.run(wait())
    return scores


def test_a_running_service_follows_promotions_and_rollbacks(workspace: Workspace) -> None:
    with started(workspace) as asgi:
        first = served(asgi, "first")
        (entry,) = running_services(workspace)
        assert (entry.dataset, entry.follows, [path.name for path in entry.bundles]) == ("shop", True, ["first"])
        promoted(workspace, "second")
        second = served(asgi, "second")
        assert second != first
        promoted(workspace, "first")
        rollback(workspace, "shop")
        assert served(asgi, "second") == pytest.approx(second, abs=1e-6)
        assert [path.name for path in running_services(workspace)[0].bundles] == ["second"]
    assert running_services(workspace) == []
    with started(workspace) as fresh:  # holds to it
        assert served(fresh, "second") == pytest.approx(second, abs=1e-6)


def test_a_service_that_was_given_a_name_stays(workspace: Workspace) -> None:
    with started(workspace, bundle="first", **KEYS) as asgi:
        assert not running_services(workspace)[0].follows
        promoted(workspace, "second")
        asgi.runner.run(asyncio.sleep(1.2))
        assert asgi.ask("POST", "/v1/rank", BODY).json["bundle"] == "first"
        # Until somebody asks for the default.
        assert asgi.ask("POST", "/v1/admin/reload", x_api_key=ADMIN).json["bundle"] == "second"


def test_a_reload_by_name_holds_until_the_next_promotion(workspace: Workspace) -> None:
    promoted(workspace, "first")
    with started(workspace, **KEYS) as asgi:
        assert asgi.ask("POST", "/v1/admin/reload", {"bundle": "plain"}, x_api_key=ADMIN).json["bundle"] == "plain"
        asgi.runner.run(asyncio.sleep(1.2))
        assert asgi.ask("POST", "/v1/rank", BODY).json["bundle"] == "plain"
        promoted(workspace, "second")
        served(asgi, "second")


def test_a_champion_that_cannot_be_served_leaves_the_old_one_in_use(workspace: Workspace) -> None:
    with started(workspace) as asgi:
        first = served(asgi, "first")
        weights = workspace.artifact("bundles", "second") / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        promoted(workspace, "second")
        for _ in range(1200):
            if tried := asgi.metric("llactr_bundle_reloads_total"):
                break
            asgi.runner.run(asyncio.sleep(0.05))
        assert tried == 1
        assert served(asgi, "first") == first
        rollback_to = promote(workspace, "shop", workspace.artifact("bundles", "plain"))
        assert rollback_to.previous == "second"


def test_a_bundle_of_another_version_and_back_with_garbage_collected_between(workspace: Workspace) -> None:
    """Rolled back to, a bundle finds the vectors of its own version; without that it would be refused."""
    spec = spec_of()
    promoted(workspace, "first")
    with started(workspace) as asgi:
        first = served(asgi, "first")
        vectors = release_version(workspace, spec, "v-two", seed=99)
        add_bundle(workspace, spec, training_rows(workspace, spec, with_release=False), vectors, "third", seed=1)
        apply(workspace)
        materialize(workspace)
        promoted(workspace, "third")
        third = served(asgi, "third")
        assert third != pytest.approx(first, abs=1e-6)
        plan, rows = collect(workspace, keep=1)
        assert [one.what for one in plan.removed] == ["bundles/plain"] or rows == {}
        rollback(workspace, "shop")
        assert served(asgi, "first") == pytest.approx(first, abs=1e-6)


@pytest.mark.slow
def test_a_rollback_under_load_gives_no_wrong_score_and_no_error(
    workspace: Workspace, serve: Callable[..., Served]
) -> None:
    """Two workers, many askers, champions to and fro: each answer is that of the bundle that it names, to the bit."""
    expected = {}
    for name in ("first", "second"):
        with started(workspace, bundle=name) as asgi:
            expected[name] = served(asgi, name)
    promoted(workspace, "first")
    service = serve(workspace, workers=2, max_concurrency=64)
    answers: list[tuple[float, int, dict[str, Any]]] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            answer = service.ask("POST", "/v1/rank", BODY)
            answers.append((time.monotonic(), answer.status, answer.json))

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    switched = []
    promoted(workspace, "second")
    time.sleep(4)
    for number in range(4):
        began = time.monotonic()
        name = rollback(workspace, "shop").champion if number % 2 == 0 else "second"
        if number % 2:
            promoted(workspace, name)
        time.sleep(3)
        late = [moment for moment, _, said in answers if moment > began and said.get("bundle") != name]
        switched.append(max(late, default=began) - began)
    ending.set()
    for asker in askers:
        asker.join()
    assert {status for _, status, _ in answers} == {200}
    assert len(answers) > 200
    for _, _, said in answers:
        assert said["scores"] == pytest.approx(expected[said["bundle"]], abs=1e-6)
    assert {said["bundle"] for _, _, said in answers} == {"first", "second"}
    print("seconds until all workers had followed:", [round(one, 2) for one in switched])
