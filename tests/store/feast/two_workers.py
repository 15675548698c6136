"""Two workers of a cluster materialize into Redis: the rows, the script that runs it, and what has to have come of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llactr import store
from tests.store.store_workspace import at, small, vectors_for

__all__ = ["TOLD", "USERS", "emptied", "materialized", "two_workers_wrote", "workspace"]

USERS = 6_000

TOLD = """
import os, time
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
"""For each worker: a write leaves its process and rows in Redis; users wait for a second worker."""

_MATERIALIZE = """
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

root, config = sys.argv[1:]
RedisOnlineStore.online_write_batch = marks_alone  # here alone
seen, said, rows = [], None, {}
try:
    for view in store.materialize(Workspace.at(root), config=pathlib.Path(config), progress=lambda *step: seen.append(step)):
        rows[view.name] = view.rows
except StoreError as error:
    said = str(error)
print(json.dumps({"said": said, "last": seen[-1], "rows": rows, "driver": os.getpid()}))
"""


def workspace(root: Path) -> Any:
    """Every user has two versions; the older one is stored last."""
    offline = small(root)
    users = [f"k{number}" for number in range(USERS)]
    for hour in (2, 1):
        moments = {"event_timestamp": [at(hour)] * USERS, "created_timestamp": [at(hour)] * USERS}
        ages = [number + hour / 4 for number in range(USERS)]
        offline.add("user", {"user_id": users, "age": ages, "occupation": users, "joined": [at(0)] * USERS} | moments)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1")
    return offline


def emptied(address: str) -> Any:
    """A client of the Redis, which holds nothing."""
    redis = pytest.importorskip("redis")
    host, port = address.split(":")
    client = redis.Redis(host=host, port=int(port))
    client.flushall()
    return client


def materialized(
    root: Path, config: Path, environment: Mapping[str, str], *, first: str = "", timeout_s: float
) -> dict[str, Any]:
    """Materializes in a process of its own, whose driver may write marks alone.

    Args:
        root: the workspace.
        config: the feature store's YAML.
        environment: of the process.
        first: code that runs before.
        timeout_s: how long it may take.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", first + _MATERIALIZE, str(root), str(config)],
        env=environment, check=False, timeout=timeout_s, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def two_workers_wrote(done: dict[str, Any], client: Any, offline: Any, served: Path) -> None:
    """Neither of them the driver, all rows, the newest version of each."""
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
