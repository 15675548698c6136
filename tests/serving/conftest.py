from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from llactr.store import apply
from llactr.workspace import Workspace
from tests.redis_cluster import Cluster
from tests.serving.history_workspace import build_history
from tests.serving.serving_process import Redis, Served, serve_process
from tests.serving.serving_workspace import CLUSTER_CONFIG, REDIS_CONFIG, build
from tests.serving.unseen_workspace import build_unseen


@contextmanager
def unchanged(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace that many tests share: which test changed it can't be seen from the one that fails by it."""
    before = _files(workspace)
    yield workspace
    assert _files(workspace) == before, "a test changed the workspace that others share: let it take a copy"


def _files(workspace: Workspace) -> dict[str, str]:
    """Path and hash of every file, but SQLite's side files and who is running: those come and go with who reads."""
    return {
        str(path.relative_to(workspace.root)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(workspace.root.rglob("*"))
        if path.is_file() and path.suffix not in {".db-wal", ".db-shm"} and path.parent != workspace.root / "running"
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The small workspace on SQLite; read-only."""
    with unchanged(build(tmp_path_factory.mktemp("serving") / "ws")) as workspace:
        yield workspace


@pytest.fixture(scope="session")
def built_unseen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The small workspace with value vectors, on SQLite; read-only."""
    with unchanged(build_unseen(tmp_path_factory.mktemp("unseen") / "ws")) as workspace:
        yield workspace


@pytest.fixture
def unseen_workspace(built_unseen: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(built_unseen.root, tmp_path / "unseen-ws")
    workspace = Workspace.at(tmp_path / "unseen-ws")
    apply(workspace)
    return workspace


@pytest.fixture(scope="session")
def built_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """The small workspace with bundles that read history, on SQLite; read-only."""
    with unchanged(build_history(tmp_path_factory.mktemp("history") / "ws")) as workspace:
        yield workspace


@pytest.fixture
def past_workspace(built_history: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(built_history.root, tmp_path / "past-ws")
    return Workspace.at(tmp_path / "past-ws")


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(built.root, tmp_path / "ws")
    return Workspace.at(tmp_path / "ws")


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A real Redis server."""
    server = Redis.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_workspace(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small workspace on Redis."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLACTR_REDIS", redis.address)
        return build(tmp_path_factory.mktemp("serving-redis") / "ws", feast_config=REDIS_CONFIG)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Redis cluster of three nodes."""
    made = Cluster.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def cluster_workspace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The small workspace on a Redis cluster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLACTR_REDIS", cluster.address)
        return build(tmp_path_factory.mktemp("serving-cluster") / "ws", feast_config=CLUSTER_CONFIG)


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts services as processes of their own; ends them by their pids."""
    started: list[Served] = []

    def start(workspace: Workspace, **settings: object) -> Served:
        started.append(serve_process(workspace, **settings))
        return started[-1]

    yield start
    for served in started:
        served.stop()
