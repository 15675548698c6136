from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llactr.store import REPOSITORY
from tests.ports import free_port


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a free loopback port."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server binary: install Debian's package redis-server")
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([binary, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(1200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise AssertionError("redis-server does not answer")
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def store_config(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A feature_store.yaml for each online store; Redis is emptied first."""
    if request.param == "sqlite":
        return REPOSITORY / "feature_store.yaml"
    redis = pytest.importorskip("redis")

    address = request.getfixturevalue("redis_address")
    host, port = address.split(":")
    with redis.Redis(host=host, port=int(port)) as client:
        client.flushall()
    monkeypatch.setenv("LLACTR_REDIS", address)
    return REPOSITORY / "feature_store.redis.yaml"
