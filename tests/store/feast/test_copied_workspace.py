"""A workspace that was copied or moved reads its own tables."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
from feast.protos.feast.core.Registry_pb2 import Registry

from llactr import store
from llactr.workspace import Workspace
from tests.store.store_workspace import small, vectors_for


def test_a_copied_workspace_joins_its_own_tables(tmp_path: Path) -> None:
    offline = small(tmp_path / "first")
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, offline.spec.name, "v1")
    store.apply(offline.workspace)
    copy = Workspace.at(tmp_path / "copy")
    shutil.copytree(offline.workspace.root, copy.root)
    for path in copy.offline_table(offline.spec.name, "user").glob("*.parquet"):
        users = pq.ParquetFile(path).read()
        place = users.column_names.index("occupation")
        graz = users["occupation"].combine_chunks().fill_null("").to_numpy(zero_copy_only=False)
        pq.write_table(users.set_column(place, "occupation", [["Graz"] * len(graz)]), path)
    copied = store.training_rows(copy, offline.spec)["occupation"].to_pylist()
    assert set(copied) == {"Graz", None}
    assert "Graz" not in store.training_rows(offline.workspace, offline.spec)["occupation"].to_pylist()
    shutil.rmtree(offline.workspace.root)
    assert store.training_rows(copy, offline.spec)["occupation"].to_pylist() == copied


def test_the_registry_names_no_place_outside_its_workspace(tmp_path: Path) -> None:
    offline = small(tmp_path / "first")
    store.apply(offline.workspace)
    content = (offline.workspace.feast / "registry.db").read_bytes()
    assert str(tmp_path).encode() not in content
    registry = Registry.FromString(content)
    assert "offline/small/user" in {source.file_options.uri for source in registry.data_sources}
