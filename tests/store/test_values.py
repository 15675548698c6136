from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llactr import store
from llactr.errors import DataError, NotReadyError
from llactr.store.tables import value_files
from llactr.store.value_vectors import stored_vectors
from tests.store.store_workspace import small

KEYS = [("occupation", "writer"), ("occupation", "pilot"), ("item_id", "i1")]
VECTORS = np.eye(3, 4, dtype=np.float32)


def _write(workspace, keys=KEYS, vectors=VECTORS, version="v1", texts=None) -> Path:
    texts = texts or [f"text of {value}" for _, value in keys]
    return store.write_value_vectors(workspace, "small", version, encoder="e", keys=keys, texts=texts, vectors=vectors)


def test_vectors_come_back_offline_and_online_by_their_keys(tmp_path: Path) -> None:
    offline = small(tmp_path)
    workspace, spec = offline.workspace, offline.spec
    store.apply(workspace)
    _write(workspace)
    _write(workspace, [("occupation", "writer")], np.full((1, 4), 0.5, np.float32), version="v2")
    wanted = {"item_id": ["i1", "nothing"], "occupation": ["pilot", "writer"]}
    found = store.read_value_vectors(workspace, spec, "v1", wanted)
    assert (found.version, found.encoder, list(found.fields)) == ("v1", "e", ["item_id", "occupation"])
    assert found.fields["item_id"].values == ("i1",)
    assert found.fields["occupation"].values == ("pilot", "writer")
    assert np.array_equal(found.fields["occupation"].vectors, VECTORS[[1, 0]])
    store.materialize(workspace)
    online = store.OnlineReader(workspace, spec)
    read = online.value_vectors("v1", wanted)
    assert {field: set(some) for field, some in read.items()} == {"item_id": {"i1"}, "occupation": {"pilot", "writer"}}
    assert np.array_equal(read["occupation"]["pilot"], VECTORS[1])
    assert np.array_equal(online.value_vectors("v2", wanted)["occupation"]["writer"], np.full(4, 0.5, np.float32))
    assert online.value_vectors("v1", {}) == {}


def test_a_changed_text_replaces_the_vector(tmp_path: Path) -> None:
    offline = small(tmp_path)
    store.apply(offline.workspace)
    _write(offline.workspace)
    assert store.stored_texts(offline.workspace, "small", "v1")["item_id", "i1"] == "text of i1"
    _write(offline.workspace, [("item_id", "i1")], np.full((1, 4), 2, np.float32), texts=["new text"])
    assert store.stored_texts(offline.workspace, "small", "v1")["item_id", "i1"] == "new text"
    assert len(value_files(offline.workspace, "small", "v1")) == 2
    found = store.read_value_vectors(offline.workspace, offline.spec, "v1", {"item_id": ["i1"]})
    assert found.fields["item_id"].vectors.tolist() == [[2, 2, 2, 2]]
    everything = stored_vectors(offline.workspace, "small", "v1")
    assert {name: vectors.tolist() for name, vectors in everything.items()} == {
        "item_id": [[2, 2, 2, 2]],
        "occupation": VECTORS[[1, 0]].tolist(),  # pilot, writer
    }
    assert stored_vectors(offline.workspace, "small", "v2") == {}


def test_nothing_encoded_is_said_with_the_command(tmp_path: Path) -> None:
    offline = small(tmp_path)
    store.apply(offline.workspace)
    assert store.stored_texts(offline.workspace, "small", "v1") == {}
    with pytest.raises(
        NotReadyError, match="no value vectors of version 'v1' for 'small': run 'llactr encode --values'"
    ):
        store.read_value_vectors(offline.workspace, offline.spec, "v1", {"item_id": ["i1"]})


def test_vectors_that_do_not_fit_their_keys_are_refused(tmp_path: Path) -> None:
    offline = small(tmp_path)
    with pytest.raises(DataError, match=r"shape \(2, 4\) came with 3 values"):
        _write(offline.workspace, vectors=VECTORS[:2])
    with pytest.raises(DataError, match="hold NaN"):
        _write(offline.workspace, vectors=np.full((3, 4), np.nan, np.float32))
    assert value_files(offline.workspace, "small", "v1") == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    offline = small(tmp_path)
    path = _write(offline.workspace)
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(DataError, match=f"{path.name} cannot be read .* run 'llactr encode --values'"):
        store.stored_texts(offline.workspace, "small", "v1")
