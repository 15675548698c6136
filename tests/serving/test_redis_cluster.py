"""A Redis cluster under load: a slot moves, a node dies. No wrong score, 503 at worst, and back by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llactr.diagnostics.service_agreement import check_service
from llactr.jobs.cli.console import Terminal
from llactr.serving.row_commands import RowCommands
from llactr.serving.slots import key_slot
from llactr.serving.views import ViewRead, entity_views, mark_view
from llactr.steps import Job
from llactr.store import open_store
from llactr.workspace import Workspace
from tests.redis_cluster import Cluster
from tests.serving.history_workspace import build_history
from tests.serving.readers.test_redis import BODY, Load
from tests.serving.serving_process import Served
from tests.serving.serving_workspace import CLUSTER_CONFIG, DATASET, spec_of
from tests.serving.test_history import ITEMS, event, moment, numbers_of, offline_numbers, ranked

pytestmark = [pytest.mark.redis, pytest.mark.slow]
Start = Callable[..., Served]
KEY = "a" * 20


@pytest.fixture
def cluster_served(cluster: Cluster, cluster_workspace: Workspace, serve: Start) -> Served:
    variables = {"LLACTR_REDIS": cluster.address, "LLACTR_ADMIN_KEY": KEY}
    return serve(cluster_workspace, feast_config=str(CLUSTER_CONFIG), cache_ttl_s=0, variables=variables)


def slots_of(workspace: Workspace, rows: list[tuple[ViewRead, str]]) -> list[int]:
    commands = RowCommands(open_store(workspace, config=CLUSTER_CONFIG).config)
    return [key_slot(commands.key(view, key)) for view, key in rows]


def others(cluster: Cluster, slot: int) -> Any:
    return next(node for node in cluster.nodes if node is not cluster.owner(slot))


def test_slots_that_move_under_load_change_no_answer(
    cluster: Cluster, cluster_served: Served, cluster_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLACTR_REDIS", cluster.address)
    views = entity_views(spec_of())
    asked = [(views["user"], BODY["user"]), *((views["item"], item) for item in BODY["items"][:12])]
    slots = slots_of(cluster_workspace, [*asked, *((mark_view("content"), view.view) for view in views.values())])
    expected = np.array(cluster_served.ask("POST", "/v1/rank", BODY).json["scores"])
    with Load(cluster_served) as load:
        time.sleep(0.3)
        assert all(cluster.move(slot, others(cluster, slot), pause_s=0.05) for slot in slots)
        time.sleep(0.3)
        assert all(cluster.move(slot, others(cluster, slot)) for slot in slots)
        time.sleep(0.3)
    assert load.failures == []
    assert set(load.statuses) == {200}
    assert load.statuses[200] > 50
    # Micro-batches differ in the last bit; nothing else may.
    assert all(np.abs(np.array(scores) - expected).max() <= 1e-6 for scores in load.scores)


@pytest.mark.parametrize("number", range(3))
def test_a_node_that_dies_under_load_and_comes_back(cluster: Cluster, cluster_served: Served, number: int) -> None:
    expected = np.array(cluster_served.ask("POST", "/v1/rank", BODY).json["scores"])
    with Load(cluster_served) as load:
        time.sleep(0.4)
        cluster.nodes[number].kill()
        cluster_served.wait_ready(status=503, seconds=60)
        time.sleep(2.5)  # longer than the others wait for it: now they say that the cluster is down
        assert cluster_served.ask("GET", "/readyz").status == 503
        cluster.nodes[number].up()
        cluster_served.wait_ready(seconds=30)
        time.sleep(0.4)
    cluster.wait()
    assert load.failures == []
    assert set(load.statuses) == {200, 503}
    assert all(np.abs(np.array(scores) - expected).max() <= 1e-6 for scores in load.scores)


def test_it_is_checked_and_reloaded(
    cluster: Cluster, cluster_served: Served, cluster_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLACTR_REDIS", cluster.address)
    monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(CLUSTER_CONFIG))
    job = Job(cluster_workspace, Terminal(as_json=True))
    url = f"http://127.0.0.1:{cluster_served.port}"
    for bundle in ("first", "second"):
        answer = cluster_served.ask("POST", "/v1/admin/reload", {"bundle": bundle}, **{"X-API-Key": KEY})
        assert answer.status == 200, answer.body
        found = check_service(job, DATASET, url=url, rows=100)
        assert (found["bundle"], found["rows_with_other_ids"]) == (bundle, 0)
        assert found["max_score_difference"] <= 1e-6


def test_pushed_events_count_once_while_slots_move_and_a_node_dies(
    tmp_path: Path, cluster: Cluster, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event whose answer says that it is logged counts when the cluster is back; any other 503 means that none was."""
    cluster.empty()
    monkeypatch.setenv("LLACTR_REDIS", cluster.address)
    workspace = build_history(tmp_path / "cluster-ws", feast_config=CLUSTER_CONFIG, delay="2m")
    variables = {"LLACTR_REDIS": cluster.address}
    served = serve(workspace, feast_config=str(CLUSTER_CONFIG), workers=2, catch_up_s=0.2, variables=variables)
    pushed: list[dict[str, Any]] = []
    waited = refused = 0

    def push(number: int) -> None:
        nonlocal waited, refused
        one = event(f"u{number % 3}", ITEMS[number % 7], number, outcome=number % 2)
        answer = served.ask("POST", "/v1/events", one)
        if answer.status == 200:
            pushed.append(one)
            return
        assert (answer.status, answer.headers["retry-after"]) == (503, "1"), answer.body
        if answer.json["type"] == "urn:llactr:problem:events-wait":
            waited += 1
            pushed.append(one)
        else:
            refused += 1

    def check(number: int, *users: str) -> None:
        for user in users:
            expected = offline_numbers(workspace, pushed, [(user, item, moment(number)) for item in ITEMS])
            np.testing.assert_allclose(numbers_of(ranked(served, user, number)), expected, atol=1e-6)

    client = cluster.client()
    states = [key for key in client.scan_iter() if b"llactr:history" in key or b"history_version" in key]
    slots = sorted({client.keyslot(key) for key in states})[::40][:12]
    client.close()
    assert slots
    number = 0
    for slot in slots:
        cluster.move(slot, others(cluster, slot))
        for _ in range(3):
            push(number)
            number += 1
        check(number, f"u{number % 3}")
    assert (waited, refused) == (0, 0), "a slot that moves holds no event up"
    for node in cluster.nodes:
        push(number)
        node.kill()
        for _ in range(4):
            number += 1
            push(number)
            time.sleep(0.3)
        node.up()
        cluster.wait()
        served.wait_ready(seconds=30)
        for _ in range(2):
            number += 1
            push(number)
        time.sleep(1.5)  # both workers look at the store and for what others logged, each on its own
        check(number + 1, "u0", "u1", "u2")
    assert waited + refused > 0
    assert len(pushed) - waited > 30
