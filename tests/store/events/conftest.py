from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llactr.store import REPOSITORY
from tests.store.events.events_workspace import Online


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with states online on SQLite; read-only by agreement."""
    root = tmp_path_factory.mktemp("events") / "ws"
    Online(root, REPOSITORY / "feature_store.yaml").fill()
    return root


@pytest.fixture
def online(built: Path, tmp_path: Path) -> Online:
    """A copy of it."""
    shutil.copytree(built, tmp_path / "ws")
    return Online(tmp_path / "ws", REPOSITORY / "feature_store.yaml", there=True)


@pytest.fixture
def everywhere(request: pytest.FixtureRequest, store_config: Path, tmp_path: Path) -> Online:
    """States online, on each store."""
    if "redis" not in store_config.name:
        found: Online = request.getfixturevalue("online")
        return found
    made = Online(tmp_path / "ws", store_config)
    made.fill()
    return made
