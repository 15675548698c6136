"""States of history in a Redis cluster: a batch counts as a whole or not at all, whatever dies, whoever wakes up late."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llactr.errors import NotReadyError, StoreError
from llactr.store import REPOSITORY
from llactr.store.events import Pusher
from llactr.store.events.redis_cluster import RedisClusterStates
from llactr.store.feast.expire import expire_versions
from tests.redis_cluster import Cluster
from tests.store.events.events_workspace import Online, drawn

pytestmark = pytest.mark.redis
CONFIG = REPOSITORY / "feature_store.redis-cluster.yaml"


class Killed(BaseException):
    """Like a kill: no `except Exception` cleans up."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("redis")
    made = Cluster.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def filled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, dict[bytes, bytes]]]:
    """A workspace whose states are online, and all that the cluster holds of it; read-only by agreement."""
    root = tmp_path_factory.mktemp("cluster") / "ws"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLACTR_REDIS", cluster.address)
        Online(root, CONFIG).fill()
    with cluster.client() as client:
        return root, {key: client.hgetall(key) for key in client.scan_iter()}


@pytest.fixture
def online(
    cluster: Cluster,
    filled: tuple[Path, dict[bytes, dict[bytes, bytes]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Online:
    """A copy of it."""
    root, content = filled
    shutil.copytree(root, tmp_path / "ws")
    cluster.empty()
    with cluster.client() as client:
        for key, hash_ in content.items():
            client.hset(key, mapping=hash_)
    monkeypatch.setenv("LLACTR_REDIS", cluster.address)
    return Online(tmp_path / "ws", CONFIG, there=True)


def states_of(pusher: Pusher) -> RedisClusterStates:
    assert isinstance(pusher._states, RedisClusterStates)
    return pusher._states


def litter(cluster: Cluster) -> list[bytes]:
    with cluster.client() as client:
        return [key for key in client.scan_iter(b"llactr:history:*") if b":redo:" in key]


def test_pushed_events_are_in_the_states_when_the_call_returns(cluster: Cluster, online: Online) -> None:
    assert online.states() == online.expected([])
    events = drawn(40)
    pusher = online.pusher()
    for start in range(0, 40, 7):
        pushed = pusher.push(events[start : start + 7])
        assert pushed.counted == [True] * len(events[start : start + 7])
        assert online.states() == online.expected(events[: start + 7])
    assert pusher.push(events[38:]).counted == [False, False]
    assert pusher.catch_up() == 0
    assert litter(cluster) == []
    with cluster.client() as client:
        homes = {client.nodes_manager.get_node_from_slot(client.keyslot(key)).port for key in client.scan_iter()}
    assert len(homes) == 3, "states lie on all nodes"


@pytest.mark.parametrize("rows_written", [0, 1, 3])
def test_a_writer_that_died_after_its_batch_counts_is_finished_by_the_next(
    cluster: Cluster, online: Online, monkeypatch: pytest.MonkeyPatch, rows_written: int
) -> None:
    events = drawn(12)
    dying = online.pusher()
    dying.push(events[:5])
    states = states_of(dying)
    write = states._written

    def killed(rows: Any) -> None:
        write(rows[:rows_written])
        raise Killed

    monkeypatch.setattr(states, "_written", killed)
    with pytest.raises(Killed):
        dying.push(events[5:])
    assert len(litter(cluster)) == 1
    assert online.pusher().catch_up() == 0, "it counts already: nothing is applied a second time"
    assert online.states() == online.expected(events)
    assert litter(cluster) == []


def test_a_writer_that_died_before_its_batch_counts_is_applied_by_the_next(
    online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = drawn(9)
    dying = online.pusher()
    dying.push(events[:4])

    def killed(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(states_of(dying), "_run", killed)
    with pytest.raises(Killed):
        dying.push(events[4:])
    assert online.states() == online.expected(events[:4])
    assert online.pusher().catch_up() == 5
    assert online.states() == online.expected(events)


def test_a_writer_that_wakes_up_late_overwrites_nothing(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    events = drawn(20)
    slow = online.pusher()
    states = states_of(slow)
    write = states._write_rows

    def late(*arguments: Any) -> None:
        other = online.pusher()
        other.catch_up()  # finishes the batch
        other.push(events[10:])  # and goes on with the same keys
        write(*arguments)

    monkeypatch.setattr(states, "_write_rows", late)
    slow.push(events[:10])
    assert online.states() == online.expected(events)


def test_an_agreement_whose_answer_was_lost_counts_once(online: Online, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that lost the answer runs the script again."""
    pusher = online.pusher()
    states = states_of(pusher)
    run = states._run
    monkeypatch.setattr(states, "_run", lambda *arguments: run(*arguments) and run(*arguments))
    events = drawn(6)
    assert pusher.push(events).counted == [True] * 6
    assert online.states() == online.expected(events)


def test_writers_side_by_side_lose_nothing(online: Online) -> None:
    """Different users of the same items: in which order the writers come, the counts of an item are the same."""
    events = [one._replace(user=f"u{1 + n % 4}", outcome=1.0) for n, one in enumerate(drawn(40))]
    errors: list[BaseException] = []

    def push(user: str) -> None:
        try:
            pusher = online.pusher()
            for one in events:
                if one.user == user:
                    pusher.push([one])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=push, args=(f"u{n}",)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    counts = {key: None if state is None else _count(online, key, state) for key, state in online.states().items()}
    expected = {k: None if s is None else _count(online, k, s) for k, s in online.expected(events).items()}
    assert counts == expected


def _count(online: Online, key: tuple[str, str], state: bytes) -> int:
    from llactr.history import KeyState

    layout = online.definition.user if key[0] == "user" else online.definition.item
    found = KeyState.from_bytes(online.definition, layout, state)
    return int(found.folded.count[0]) + len(found.pending)


def test_a_state_that_is_neither_old_nor_new_is_said(
    cluster: Cluster, online: Online, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that came back older than it was."""
    pusher = online.pusher()
    states = states_of(pusher)
    write = states._written

    def older(rows: Any) -> Any:
        with cluster.client() as client:
            client.hset(rows[0].key, rows[0].field, states._tables.value(b"another state"))
        return write(rows)

    monkeypatch.setattr(states, "_written", older)
    with pytest.raises(StoreError, match="came back older than it was: run 'llactr materialize --force'"):
        pusher.push(drawn(3))


def test_a_cluster_that_lost_everything_is_filled_and_the_log_applied(cluster: Cluster, online: Online) -> None:
    events = drawn(20)
    online.pusher().push(events)
    cluster.empty()
    pusher = online.pusher()
    with pytest.raises(NotReadyError, match="not online as a whole"):
        pusher.require_online()
    assert pusher.catch_up() == 0
    online.fill()
    assert pusher.catch_up() == 20
    assert online.states() == online.expected(events)


def test_a_dead_version_goes_from_all_nodes(cluster: Cluster, online: Online) -> None:
    events = drawn(10)
    online.pusher().push(events)
    views: dict[str, list[str]] = {f"small__{owner}_history": [] for owner in ("user", "item")}
    removed = expire_versions(online.workspace, views, config=online.config)
    assert set(removed) == set(views)
    assert set(online.states().values()) == {None}
    with pytest.raises(NotReadyError):
        online.pusher().require_online()
