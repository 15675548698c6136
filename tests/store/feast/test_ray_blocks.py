"""Feast's Ray engine materializes a workspace into Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llactr import store
from llactr.errors import InputError
from tests.store.store_workspace import at, small, vectors_for

CONFIG = store.REPOSITORY / "feature_store.ray.yaml"
USERS = 6_000

MATERIALIZE = """
import json, os, pathlib, sys
import ray
from feast.infra.online_stores.redis import RedisOnlineStore
from llactr import store
from llactr.errors import StoreError
from llactr.store.marks import MARKS
from llactr.workspace import Workspace

def tell():
    \"\"\"In each of Ray's workers: a write leaves its process and rows in Redis; users wait for a second worker.\"\"\"
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

write = RedisOnlineStore.online_write_batch

def marks_alone(self, config, table, data, progress):
    assert table.name == MARKS, f"{table.name} was written by the driver"
    write(self, config, table, data, progress)

root, config = sys.argv[1:]
hook = {"worker_process_setup_hook": tell}
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", runtime_env=hook)
RedisOnlineStore.online_write_batch = marks_alone  # here alone
seen, said, rows = [], None, {}
try:
    for view in store.materialize(Workspace.at(root), config=pathlib.Path(config), progress=lambda *step: seen.append(step)):
        rows[view.name] = view.rows
except StoreError as error:
    said = str(error)
print(json.dumps({"said": said, "last": seen[-1], "rows": rows, "driver": os.getpid()}))
ray.shutdown()
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


def in_ray(root: Path, config: Path, *, redis: str) -> dict[str, Any]:
    environment = os.environ | {
        "PYTHONPATH": str(store.REPOSITORY.parent),
        "LLACTR_REDIS": redis,
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MATERIALIZE, str(root), str(config)],
        env=environment, check=False, timeout=600, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_ray_file_names_one_registry_with_the_redis_file() -> None:
    """So that `feast apply` needs no Ray, and what Ray brought online is served by the file without Ray."""
    ray, redis = (
        yaml.safe_load((store.REPOSITORY / name).read_text()) for name in (CONFIG.name, "feature_store.redis.yaml")
    )
    for section in ("project", "registry", "online_store", "entity_key_serialization_version"):
        assert ray[section] == redis[section]
    assert ray["batch_engine"]["type"] == "ray.engine"
    assert ray["materialization"]["pull_latest_features"] is True


def test_a_missing_ray_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLACTR_REDIS", "127.0.0.1:1")
    monkeypatch.setattr(
        "llactr.store.feast.open.importlib.util.find_spec", lambda name: None if name == "ray" else name
    )
    with pytest.raises(InputError, match=r"the package 'ray' is not installed: run pip install 'llactr\[ray\]'"):
        store.open_store(small(tmp_path).workspace, config=CONFIG)


@pytest.mark.slow
@pytest.mark.redis
def test_two_ray_workers_bring_the_newest_rows_online(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'llactr[ray]'")
    offline = workspace(tmp_path / "workspace")
    config = tmp_path / "ray.yaml"
    config.write_text(CONFIG.read_text().replace("online_write_batch_size: 10000", "online_write_batch_size: 1500"))
    served = store.REPOSITORY / "feature_store.redis.yaml"
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    store.apply(offline.workspace, config=served)

    client = emptied(redis_address)
    done = in_ray(offline.workspace.root, config, redis=redis_address)

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
def test_a_write_that_failed_in_a_ray_worker_is_noticed(
    tmp_path: Path, redis_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feast's Ray engine logs it in the worker's log and reports success."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'llactr[ray]'")
    offline = workspace(tmp_path / "workspace")
    config = tmp_path / "ray.yaml"
    # keys that expire at once: nothing that a worker writes can be read
    config.write_text(CONFIG.read_text().replace("skip_dedup: true", "skip_dedup: true\n  key_ttl_seconds: -1"))
    monkeypatch.setenv("LLACTR_REDIS", redis_address)
    store.apply(offline.workspace, config=store.REPOSITORY / "feature_store.redis.yaml")

    emptied(redis_address)
    done = in_ray(offline.workspace.root, config, redis=redis_address)

    assert "of 8 keys read back 8 are missing or old: see the log of the engine's workers" in done["said"]
