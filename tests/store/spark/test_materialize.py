"""Feast's Spark engine materializes a workspace: executors write, the driver does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llactr import store
from tests.store.feast.test_ray_blocks import USERS, emptied, workspace
from tests.store.spark.spark_java import need_spark
from tests.store.store_workspace import at

CONFIG = store.REPOSITORY / "feature_store.spark.yaml"

IN_WORKERS = """
import os, sys, time

if "pyspark.daemon" in sys.orig_argv:  # Python's side of an executor, which forks its workers
    from feast.infra.online_stores.redis import RedisOnlineStore

    write = RedisOnlineStore.online_write_batch

    def told(self, config, table, data, progress):
        write(self, config, table, data, progress)
        client = self._get_client(config.online_store)
        client.rpush(f"writers of {table.name}", f"{os.getpid()} {len(data)}")
        client.sadd(f"workers of {table.name}", os.getpid())
        ends = time.monotonic() + 120
        while table.name == "small__user" and client.scard("workers of small__user") < 2 and time.monotonic() < ends:
            time.sleep(0.05)

    RedisOnlineStore.online_write_batch = told
"""

MATERIALIZE = """
import json, os, pathlib, sys
from feast.infra.online_stores.redis import RedisOnlineStore
from llactr import store
from llactr.errors import StoreError
from llactr.store.marks import MARKS
from llactr.workspace import Workspace

write = RedisOnlineStore.online_write_batch

def marks_alone(self, config, table, data, progress):
    assert table.name == MARKS, f"{table.name} was written by the driver"
    write(self, config, table, data, progress)

RedisOnlineStore.online_write_batch = marks_alone  # here alone
root, config = sys.argv[1:]
seen, said, rows = [], None, {}
try:
    for view in store.materialize(Workspace.at(root), config=pathlib.Path(config), progress=lambda *step: seen.append(step)):
        rows[view.name] = view.rows
except StoreError as error:
    said = str(error)
print(json.dumps({"said": said, "last": seen[-1], "rows": rows, "driver": os.getpid()}))
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
    done = subprocess.run(
        [sys.executable, "-c", MATERIALIZE, str(root), str(config)],
        env=environment, check=False, timeout=280, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


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

    total = sum(done["rows"].values())
    assert done["said"] is None
    assert done["rows"]["small__user"] == USERS + 3
    assert done["last"] == ["value_semantics", total, total]
    writers = [line.decode().split() for line in client.lrange("writers of small__user", 0, -1)]
    pids = {int(pid) for pid, _ in writers}
    assert len(pids) == 2
    assert done["driver"] not in pids  # it would have raised
    assert sum(int(count) for _, count in writers) == USERS + 3
    assert max(int(count) for _, count in writers) <= 1500

    online = store.open_store(offline.workspace, config=served).get_online_features(
        ["small__user:age", "small__user:occupation", "small__user:joined"],
        [{"user_id": f"k{number}"} for number in range(USERS)],
    ).to_dict()  # fmt: skip
    assert online["age"] == [number + 0.5 for number in range(USERS)]  # the version of hour 2
    assert online["occupation"] == [f"k{number}" for number in range(USERS)]
    assert set(online["joined"]) == {at(0)}
    reader = store.OnlineReader(offline.workspace, offline.spec, config=served)
    assert reader.field_vectors("v1").fields == offline.spec.field_names


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
