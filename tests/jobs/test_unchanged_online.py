"""What apply and materialize made outside the workspace is part of whether they are unchanged; so is the time."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.manifest import MANIFEST, file_hash
from llactr.store import REPOSITORY
from llactr.store.feast import materialize as feast_step
from llactr.store.feast import steps as step
from llactr.workspace import Workspace
from tests.serving.serving_process import Redis

ROW = {"person": "p3", "dish": "d4", "device": "phone", "event_timestamp": "2023-11-20T12:00:00+00:00"}


@pytest.fixture
def copy(ran: Any, llactr: Any, tmp_path: Path) -> Path:
    """A workspace of its own, applied and materialized."""
    shutil.copytree(ran.workspace, tmp_path / "copy")
    for name in ("apply", "materialize"):
        assert llactr(name, "--workspace", tmp_path / "copy").code == 0
    return tmp_path / "copy"


def skipped(llactr: Any, name: str, workspace: Path) -> bool:
    answer = llactr(name, "--workspace", workspace, "--json")
    assert answer.code == 0, answer.err
    return bool(answer.json["skipped"])


def score(llactr: Any, workspace: Path) -> list[float]:
    answer = llactr("score", "--row", json.dumps(ROW), "--workspace", workspace, "--json")
    assert answer.code == 0, answer.err
    scores: list[float] = answer.json["scores"]
    return scores


def test_a_deleted_online_store_is_filled_again(copy: Path, llactr: Any) -> None:
    """After `rm online.db` materialize said "unchanged", and failed with --force."""
    before = score(llactr, copy)
    for path in (copy / "feast").glob("online.db*"):
        path.unlink()
    refused = llactr("score", "--row", json.dumps(ROW), "--workspace", copy)
    assert refused.code != 0
    assert "run 'llactr materialize'" in " ".join(refused.err.split())
    assert not skipped(llactr, "materialize", copy)
    assert skipped(llactr, "materialize", copy)
    assert score(llactr, copy) == before


def test_a_deleted_registry_is_applied_again(copy: Path, llactr: Any) -> None:
    (copy / "feast" / "registry.db").unlink()
    assert not skipped(llactr, "apply", copy)
    assert not skipped(llactr, "materialize", copy) or score(llactr, copy)
    assert skipped(llactr, "apply", copy)


@pytest.mark.redis
def test_the_switch_to_redis_after_the_quickstart(copy: Path, llactr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented switch did nothing: apply and materialize said "unchanged"."""
    before = score(llactr, copy)
    server = Redis.start()
    try:
        monkeypatch.setenv("LLACTR_REDIS", server.address)
        monkeypatch.setenv("FEAST_FS_YAML_FILE_PATH", str(REPOSITORY / "feature_store.redis.yaml"))
        assert [skipped(llactr, name, copy) for name in ("apply", "materialize")] == [False, False]
        assert [skipped(llactr, name, copy) for name in ("apply", "materialize")] == [True, True]
        assert score(llactr, copy) == before
        server.command("FLUSHALL")
        assert not skipped(llactr, "materialize", copy)
        assert score(llactr, copy) == before
    finally:
        server.stop()


class Clock(datetime):
    """A clock that a test sets."""

    moved = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + cls.moved


def set_clock(monkeypatch: pytest.MonkeyPatch, moved: timedelta) -> None:
    monkeypatch.setattr(Clock, "moved", moved)
    for module in (step, feast_step):
        monkeypatch.setattr(module, "datetime", Clock)


def test_a_clock_set_back_does_not_leave_an_empty_store_unchanged(
    copy: Path, llactr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, timedelta(days=-36_000))
    answer = llactr("materialize", "--force", "--workspace", copy)
    assert "dated ahead, and not online" in " ".join(answer.err.split() + answer.out.split())
    set_clock(monkeypatch, timedelta(0))
    assert not skipped(llactr, "materialize", copy)
    assert skipped(llactr, "materialize", copy)
    assert len(score(llactr, copy)) == 1


def test_a_release_of_a_future_moment_comes_online_when_its_moment_comes(
    copy: Path, llactr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.at(copy)
    table = workspace.semantics_table("semantics_release")
    moment = datetime.now(UTC) + timedelta(days=30)
    schema = pq.read_schema(next(table.glob("tiny@*.parquet")))
    row = {"dataset": "tiny", "semantics_version": "later", "event_timestamp": moment, "created_timestamp": moment}
    pq.write_table(pa.Table.from_pylist([row], schema=schema), table / "tiny@000099.parquet")
    answer = llactr("materialize", "--workspace", copy, "--json")
    assert answer.json["result"]["waiting"] == {"semantics_release": 1}
    assert answer.json["result"]["next_moment"] == moment.isoformat().replace("+00:00", "Z")
    assert skipped(llactr, "materialize", copy)
    set_clock(monkeypatch, timedelta(days=31))
    again = llactr("materialize", "--workspace", copy, "--json").json
    assert (again["skipped"], again["result"]["waiting"]) == (False, {})


def test_rows_that_left_the_sources_are_removed_and_said(copy: Path, llactr: Any) -> None:
    """A person who is gone from all sources was served for ever."""
    people = next((Workspace.at(copy).offline_table("tiny", "user")).glob("*.parquet"))
    table = pq.read_table(people)
    kept = table.filter(pa.compute.not_equal(table["person"], "p3"))
    assert kept.num_rows == table.num_rows - 1
    pq.write_table(kept, people)
    # As a re-ingest leaves it: the manifest knows the table by its new hash.
    described = Workspace.at(copy).dataset("tiny") / MANIFEST
    content = json.loads(described.read_text(encoding="utf-8"))
    content["tables"][f"user/{people.name}"] = file_hash(people)
    described.write_text(json.dumps(content), encoding="utf-8")
    answer = llactr("materialize", "--workspace", copy, "--json")
    assert answer.json["result"]["removed"] == {"tiny__user": 1}
    assert "removed, since they have left the sources: 1 of tiny__user" in " ".join(answer.err.split())
    from llactr.store import open_store

    store = open_store(Workspace.at(copy))
    read = store.get_online_features(["tiny__user:job"], [{"person": "p3"}, {"person": "p4"}]).to_dict()
    assert read["job"][0] is None
    assert read["job"][1] is not None
