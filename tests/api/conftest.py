"""A small workspace that was made through the Python API alone: ingest to bundle, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import llactr
from tests.jobs.tiny_dataset import CONFIG, write_dataset


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec, its sources and the workspace `shop`."""
    folder = tmp_path_factory.mktemp("api")
    spec = write_dataset(folder)
    ws = llactr.open(folder / "shop")
    ws.ingest(spec)
    ws.encode(untuned=True)
    ws.apply()
    ws.materialize()
    ws.train(CONFIG["train"])
    return folder


@pytest.fixture
def ws(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[llactr.OpenWorkspace]:
    monkeypatch.chdir(shop)
    return llactr.open("shop")
