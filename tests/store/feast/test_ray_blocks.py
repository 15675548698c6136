"""Feast's Ray engine materializes a workspace into Redis."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
import yaml

from llactr import store
from llactr.errors import InputError
from tests.store.feast.two_workers import TOLD, emptied, materialized, two_workers_wrote, workspace
from tests.store.store_workspace import small

CONFIG = store.REPOSITORY / "feature_store.ray.yaml"
FIRST = f"""
import ray

def tell():
{indent(TOLD, "    ")}

hook = {{"worker_process_setup_hook": tell}}
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", runtime_env=hook)
"""


def in_ray(root: Path, config: Path, *, redis: str) -> dict[str, Any]:
    environment = os.environ | {
        "PYTHONPATH": str(store.REPOSITORY.parent),
        "LLACTR_REDIS": redis,
        "RAY_worker_niceness": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    return materialized(root, config, environment, first=FIRST, timeout_s=600)


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

    two_workers_wrote(done, client, offline, served)


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
