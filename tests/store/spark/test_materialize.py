"""Feast's Spark engine materializes a workspace: executors write, the driver does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from llactr import store
from llactr.history import HistoryDefinition
from llactr.spec import HistorySpec, WindowField
from llactr.store.history import write_states
from llactr.store.marks import Marks
from llactr.workspace import Workspace
from tests.store.feast.two_workers import TOLD, USERS, emptied, materialized, two_workers_wrote, workspace
from tests.store.spark.spark_java import need_spark

CONFIG = store.REPOSITORY / "feature_store.spark.yaml"

IN_WORKERS = f"""
import sys

if "pyspark.daemon" in sys.orig_argv:  # Python's side of an executor, which forks its workers
{indent(TOLD, "    ")}
"""

TO_SQLITE = """
import pathlib, sys
from llactr import store
from llactr.store.feast.sqlite import WorkspaceSqliteOnlineStore
from llactr.store.marks import MARKS
from llactr.workspace import Workspace

write = WorkspaceSqliteOnlineStore.online_write_batch

def marks_alone(self, config, table, data, progress):
    assert table.name == MARKS or table.name.endswith("_history"), f"{table.name} was written by the driver"
    write(self, config, table, data, progress)

WorkspaceSqliteOnlineStore.online_write_batch = marks_alone  # here alone
store.materialize(Workspace.at(sys.argv[1]), config=pathlib.Path(sys.argv[2]))
"""


def in_spark(root: Path, config: Path, folder: Path, *, redis: str) -> dict[str, Any]:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(IN_WORKERS)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(store.REPOSITORY.parent)]),
        "LLACTR_REDIS": redis,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }
    return materialized(root, config, environment, timeout_s=280)


@pytest.mark.slow
@pytest.mark.redis
def test_two_spark_workers_bring_the_newest_rows_online(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_spark()
    offline = workspace(tmp_path / "workspace")
    config = tmp_path / "spark.yaml"
    config.write_text(CONFIG.read_text().replace("online_write_batch_size: 10000", "online_write_batch_size: 1500"))
    served = store.REPOSITORY / "feature_store.redis.yaml"
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    store.apply(offline.workspace, config=served)

    client = emptied(redis_address)
    done = in_spark(offline.workspace.root, config, tmp_path / "workers", redis=redis_address)

    two_workers_wrote(done, client, offline, served)


@pytest.mark.slow
@pytest.mark.redis
def test_feasts_own_command_marks_what_executors_wrote(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without marks the service refuses a view."""
    need_spark()
    offline = workspace(tmp_path / "workspace")
    served = store.REPOSITORY / "feature_store.redis.yaml"
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    emptied(redis_address)
    environment = os.environ | {
        "LLACTR_WORKSPACE": str(offline.workspace.root),
        "PYTHONPATH": str(store.REPOSITORY.parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }
    for command in (["apply"], ["materialize", "1970-01-01", "2100-01-01"]):
        done = subprocess.run(
            [sys.executable, "-c", "from feast.cli.cli import cli; cli()", "-f", str(CONFIG), *command],
            env=environment, cwd=store.REPOSITORY, check=False, timeout=250, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]

    opened = store.open_store(offline.workspace, config=served)
    marks = Marks(opened.config, opened.provider.online_store)
    read = marks.read(["small__user", "small__item", "field_semantics"])
    assert {view: (mark.rows, mark.writing) for view, mark in read.items() if mark is not None} == {
        "small__user": (USERS + 3, ""), "small__item": (2, ""), "field_semantics": (8, ""),
    }  # fmt: skip
    keys = marks.keys("small__user", read["small__user"])
    assert keys is not None
    assert len(keys) == USERS + 3
    age = opened.get_online_features(["small__user:age"], [{"user_id": "k5999"}, {"user_id": "u3"}]).to_dict()["age"]
    assert age == [5999.5, None]


@pytest.mark.slow
def test_executors_write_to_sqlite_where_they_share_its_disk(tmp_path: Path) -> None:
    """States of history are the driver's to write, and those that llactr's own engine brings online."""
    need_spark()
    offline = workspace(tmp_path / "workspace")
    window = WindowField(name="rate", description="past", kind="window", owner="user", measure="rate")
    definition = HistoryDefinition(HistorySpec(outcome_delay="30m", last=5, fields=(window,)), 0.4)
    write_states(offline.workspace, offline.spec, definition)
    plain = Workspace.at(shutil.copytree(offline.workspace.root, tmp_path / "plain"))
    served = store.REPOSITORY / "feature_store.yaml"
    spark = yaml.safe_load(CONFIG.read_text())
    config = tmp_path / "spark.yaml"
    config.write_text(
        yaml.safe_dump(
            yaml.safe_load(served.read_text())
            | {n: spark[n] for n in ("offline_store", "batch_engine", "materialization")}
        )
    )
    store.apply(offline.workspace, config=served)
    environment = os.environ | {"PYTHONPATH": str(store.REPOSITORY.parent), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TO_SQLITE, str(offline.workspace.root), str(config)],
        env=environment, check=False, timeout=250, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    opened = store.open_store(offline.workspace, config=served)
    ages = opened.get_online_features(["small__user:age"], [{"user_id": f"k{n}"} for n in range(USERS)]).to_dict()[
        "age"
    ]
    assert ages == [number + 0.5 for number in range(USERS)]

    store.apply(plain, config=served)
    store.materialize(plain, config=served)
    people = [{"user_id": f"u{number}", "history_version": definition.version} for number in range(1, 6)]
    states, expected = (
        one.get_online_features(["small__user_history:state"], people).to_dict()["state"]
        for one in (opened, store.open_store(plain, config=served))
    )
    assert [state is None for state in expected] == [False] * 4 + [True]
    assert states == expected


@pytest.mark.slow
@pytest.mark.redis
def test_a_write_that_an_executor_lost_is_noticed(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_spark()
    offline = workspace(tmp_path / "workspace")
    config = tmp_path / "spark.yaml"
    # keys that expire at once: nothing that a worker writes can be read
    config.write_text(CONFIG.read_text().replace("skip_dedup: true", "skip_dedup: true\n  key_ttl_seconds: -1"))
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    store.apply(offline.workspace, config=store.REPOSITORY / "feature_store.redis.yaml")

    emptied(redis_address)
    done = in_spark(offline.workspace.root, config, tmp_path / "workers", redis=redis_address)

    assert "of 8 keys read back 8 are missing or old: see the log of the engine's workers" in done["said"]
