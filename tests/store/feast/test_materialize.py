from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from llactr import store
from llactr.errors import InputError, NotReadyError
from llactr.store import OnlineReader
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from tests.store.store_workspace import TIMESTAMP, Offline, at, small, vectors_for

VIEWS = ["field_semantics", "semantics_release", "small__item", "small__user", "value_semantics"]


def applied(tmp_path: Path) -> Offline:
    offline = small(tmp_path)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1")
    store.apply(offline.workspace)
    return offline


def ages(offline: Offline) -> list[float | None]:
    users = ["u1", "u2", "u3"]
    columns = {
        "user_id": users,
        "item_id": ["i1"] * 3,
        "device": users,
        "event_timestamp": pa.array([at(9)] * 3, TIMESTAMP),
    }
    return OnlineReader(offline.workspace, offline.spec).features(pa.table(columns))["age"].to_pylist()


def test_twice_gives_the_same_and_progress_counts_rows(tmp_path: Path) -> None:
    offline = applied(tmp_path)
    seen: list[tuple[str, int, int]] = []
    done = store.materialize(offline.workspace, progress=lambda *step: seen.append(step))
    assert [view.name for view in done] == VIEWS
    rows = {"field_semantics": 8, "semantics_release": 1, "small__item": 2, "small__user": 3, "value_semantics": 0}
    assert {view.name: view.rows for view in done} == rows
    before = dict(zip(VIEWS, (0, 8, 9, 11, 14), strict=True))  # 14 rows in all
    steps = [(view, before[view] + written, 14) for view in VIEWS for written in sorted({0, rows[view]})]
    assert seen == [*steps, (VIEWS[-1], 14, 14)]
    first = ages(offline)
    store.materialize(offline.workspace)
    assert ages(offline) == first == [30.0, 41.5, None]


def test_nothing_is_printed_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offline = applied(tmp_path)
    store.materialize(offline.workspace)
    store.training_rows(offline.workspace, offline.spec)
    assert capsys.readouterr().out == ""


def test_rows_of_the_future_wait(tmp_path: Path) -> None:
    offline = applied(tmp_path)
    row = {"user_id": ["u1"], "age": [99.0], "occupation": [None], "joined": [None]}
    moment = datetime(2100, 1, 1, tzinfo=UTC)
    offline.add("user", row | {"event_timestamp": [moment], "created_timestamp": [moment]})
    store.materialize(offline.workspace)
    assert ages(offline)[0] == 30.0
    store.materialize(offline.workspace, end=moment)
    assert ages(offline)[0] == 99.0


def test_a_range_is_checked(tmp_path: Path) -> None:
    offline = applied(tmp_path)
    for start, end in ((datetime(2024, 1, 1), None), (at(5), at(4))):
        with pytest.raises(InputError, match=r"give two moments with a zone, the earlier one first"):
            store.materialize(offline.workspace, start=start, end=end)
    before_apply = small(tmp_path / "other")
    with pytest.raises(NotReadyError, match=r"run 'llactr apply', or 'feast apply' in feature_repo, first"):
        store.materialize(before_apply.workspace)


class Killed(BaseException):
    """Like a kill: no `except Exception` of Feast's cleans up."""


def interrupt(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], *, view: str) -> None:
    """Calls `act` once, half-way through the writing of a view."""
    write = WorkspaceSqliteOnlineStore.online_write_batch
    done = threading.Event()

    def halfway(self: Any, config: Any, table: Any, data: Any, progress: Any) -> None:
        if table.name != view or done.is_set():
            write(self, config, table, data, progress)
            return
        done.set()
        write(self, config, table, data[:1], progress)
        act()
        write(self, config, table, data[1:], progress)

    monkeypatch.setattr(WorkspaceSqliteOnlineStore, "online_write_batch", halfway)


@pytest.mark.parametrize("run", ["first run", "re-run"])
def test_a_run_after_a_kill_repairs_and_training_goes_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str
) -> None:
    offline = applied(tmp_path)
    if run == "re-run":
        store.materialize(offline.workspace)
        row = {"user_id": ["u1", "u2"], "age": [1.0, 2.0], "occupation": [None] * 2, "joined": [None] * 2}
        offline.add("user", row | {"event_timestamp": [at(1)] * 2, "created_timestamp": [at(1)] * 2})

    def die() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        interrupt(patch, die, view="small__user")
        with pytest.raises(Killed):
            store.materialize(offline.workspace)
    left = [age for age in ages(offline) if age is not None]
    assert len(left) == (1 if run == "first run" else 2)
    if run == "re-run":
        assert store.open_store(offline.workspace).get_feature_view("small__user").state.name == "MATERIALIZING"
    assert store.training_rows(offline.workspace, offline.spec).num_rows == 5
    store.materialize(offline.workspace)
    assert ages(offline) == ([30.0, 41.5, None] if run == "first run" else [1.0, 2.0, None])


def test_readers_go_on_while_a_view_is_materialized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through Feast's own call as well: what `serve_features_while_materializing` is for."""
    offline = applied(tmp_path)
    store.materialize(offline.workspace)
    seen: list[Any] = []

    def read() -> None:
        feast_store = store.open_store(offline.workspace)
        state = feast_store.get_feature_view("small__user").state.name
        answer = feast_store.get_online_features(["small__user:age"], [{"user_id": "u1"}]).to_dict()
        rows = store.training_rows(offline.workspace, offline.spec).num_rows
        seen.append((state, answer["age"], ages(offline)[:2], rows))

    interrupt(monkeypatch, read, view="small__user")
    store.materialize(offline.workspace)
    assert seen == [("MATERIALIZING", [30.0], [30.0, 41.5], 5)]


def test_an_open_write_does_not_block_readers(tmp_path: Path) -> None:
    offline = applied(tmp_path)
    store.materialize(offline.workspace)
    feast_store = store.open_store(offline.workspace)
    with feast_store.provider.online_store._get_conn(feast_store.config) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM llactr_small__user")
        assert ages(offline) == [30.0, 41.5, None]
        writer.rollback()


@pytest.mark.slow
def test_kill_9_and_a_second_run_end_in_the_right_state(tmp_path: Path) -> None:
    offline = applied(tmp_path)
    code = """
import os, signal, sys
from llactr import store
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.workspace import Workspace
write = WorkspaceSqliteOnlineStore.online_write_batch
def halfway(self, config, table, data, progress):
    write(self, config, table, data[:1], progress)
    if table.name == "small__user":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, config, table, data[1:], progress)
WorkspaceSqliteOnlineStore.online_write_batch = halfway
store.materialize(Workspace.at(sys.argv[1]))
"""
    environment = os.environ | {"PYTHONPATH": str(store.REPOSITORY.parent)}
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert sum(age is not None for age in ages(offline)) == 1
    store.materialize(offline.workspace)
    assert ages(offline) == [30.0, 41.5, None]


def test_the_registry_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = applied(tmp_path)
    path = offline.workspace.feast / "registry.db"
    before = path.read_bytes()
    monkeypatch.setattr("feast.infra.registry.file.os.fsync", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(Exception, match="disk full"):
        store.materialize(offline.workspace)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if "draft" in p.name] == []
