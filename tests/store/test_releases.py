from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from llactr import store
from llactr.errors import DataError, InputError, NotReadyError
from llactr.semantics import FieldVectors
from llactr.spec import load_spec
from llactr.store.releases import Release, releases
from llactr.workspace import Workspace
from tests.store.store_workspace import at, small, vectors_for

TICK = timedelta(microseconds=1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    offline = small(tmp_path)
    for version in ("v1", "v2", "v3"):
        store.write_field_vectors(offline.workspace, vectors_for(offline.spec, version))
    return offline.workspace


def test_the_first_release_reaches_back_to_the_start_and_later_ones_win(workspace: Workspace) -> None:
    assert store.current_release(workspace, "small") is None
    assert store.release(workspace, "small", "v1") == at(-24)
    assert store.release(workspace, "small", "v2") == at(-24) + TICK
    assert store.release(workspace, "small", "v3", effective_from=at(5)) == at(5)
    assert store.current_release(workspace, "small") == "v3"
    assert store.release(workspace, "small", "v1", effective_from=at(5)) == at(5) + TICK  # a tie goes to the later one
    assert store.release(workspace, "small", "v2", effective_from=at(1)) == at(5) + 2 * TICK
    assert store.current_release(workspace, "small") == "v2"
    assert store.releases.releases(workspace, "small")[:2] == [Release("v1", at(-24)), Release("v2", at(-24) + TICK)]
    assert store.releases.releases(workspace, "other") == []


def test_releasing_the_current_version_again_changes_nothing(workspace: Workspace) -> None:
    store.release(workspace, "small", "v1")
    store.release(workspace, "small", "v2", effective_from=at(3))
    files = sorted(workspace.semantics_table("semantics_release").iterdir())
    assert store.release(workspace, "small", "v2") == at(3)
    assert store.release(workspace, "small", "v2", effective_from=at(9)) == at(3)
    assert sorted(workspace.semantics_table("semantics_release").iterdir()) == files


def test_a_release_of_the_future_is_not_current_yet(workspace: Workspace) -> None:
    store.release(workspace, "small", "v1")
    store.release(workspace, "small", "v2", effective_from=datetime(2150, 1, 1, tzinfo=UTC))
    assert store.current_release(workspace, "small") == "v1"
    assert store.release(workspace, "small", "v3") == datetime(2150, 1, 1, tzinfo=UTC) + TICK


def test_two_writers_never_release_at_one_moment(workspace: Workspace) -> None:
    versions = ["v1", "v2", "v3"] * 8
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda version: store.release(workspace, "small", version), versions))
    past = store.releases.releases(workspace, "small")
    moments = [one.effective_from for one in past]
    assert moments == [at(-24) + i * TICK for i in range(len(past))]
    assert all(a.version != b.version for a, b in pairwise(past))


def test_a_release_returns_when_a_number_is_missing(workspace: Workspace) -> None:
    for version in ("v1", "v2", "v1"):
        store.release(workspace, "small", version)
    (workspace.semantics_table("semantics_release") / "small@000002.parquet").unlink()
    store.release(workspace, "small", "v2")
    assert [one.version for one in releases(workspace, "small")] == ["v1", "v1", "v2"]
    names = sorted(path.name for path in workspace.semantics_table("semantics_release").glob("small@*"))
    assert names == ["small@000001.parquet", "small@000003.parquet", "small@000004.parquet"]


def _older_history(workspace: Workspace, days: int) -> datetime:
    """Has the dataset begin earlier, as an ingest of older events does; the day before its new first event."""
    path = workspace.dataset("small") / "manifest.json"
    manifest = json.loads(path.read_text())
    first = datetime.fromisoformat(manifest["start"]) - timedelta(days=days)
    path.write_text(json.dumps(manifest | {"start": first.isoformat()}))
    return first - timedelta(days=1)


def test_a_release_begins_with_the_data_after_older_history_came_in(workspace: Workspace) -> None:
    store.release(workspace, "small", "v1")
    store.release(workspace, "small", "v2")
    second = releases(workspace, "small")[1].effective_from
    start = _older_history(workspace, 30)
    assert store.release(workspace, "small", "v2") == second
    found = releases(workspace, "small")
    assert [one.version for one in found] == ["v1", "v1", "v2"]
    assert found[0].effective_from == start
    assert store.release(workspace, "small", "v2") == second
    assert releases(workspace, "small") == found, "once is enough"


def test_a_moment_before_the_first_release_is_honoured(workspace: Workspace) -> None:
    store.release(workspace, "small", "v1")
    moment = _older_history(workspace, 30) + timedelta(days=2)
    assert store.release(workspace, "small", "v1", effective_from=moment) == moment
    assert releases(workspace, "small")[0] == ("v1", moment)


def test_a_release_needs_vectors_a_dataset_and_a_zone(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(
        NotReadyError, match=r"semantics version 'v9' of 'small' has no field vectors: run 'llactr encode'"
    ):
        store.release(workspace, "small", "v9")
    with pytest.raises(InputError, match=r"effective from 2024-01-01 00:00:00: give a moment with a zone"):
        store.release(workspace, "small", "v1", effective_from=datetime(2024, 1, 1))
    (workspace.dataset("small") / "manifest.json").unlink()
    with pytest.raises(NotReadyError, match=r"dataset 'small' has not been ingested"):
        store.release(workspace, "small", "v1")
    assert store.release(workspace, "small", "v1", effective_from=at(0)) == at(0)


def test_vectors_are_written_once_and_read_back_to_the_bit(workspace: Workspace) -> None:
    again = _vectors(workspace, "v1", seed=7)
    assert not store.write_field_vectors(workspace, again)  # a version is what it is
    assert store.write_field_vectors(workspace, _vectors(workspace, "v4", seed=7))
    store.apply(workspace)
    wanted = ("hour", "age", "title")
    read = store.read_field_vectors(workspace, "small", "v4", wanted)
    assert (read.dataset, read.version, read.encoder, read.fields) == ("small", "v4", "test-encoder", wanted)
    rows = [again.fields.index(name) for name in wanted]
    assert np.array_equal(read.vectors, again.vectors[rows])
    assert read.vectors.dtype == np.float32
    assert read.descriptions == ("hour of the event", "age of the user", "title of it")


def _vectors(workspace: Workspace, version: str, *, seed: int) -> FieldVectors:
    return vectors_for(load_spec(workspace.dataset("small") / "spec.yaml"), version, seed=seed)


def test_vectors_that_are_not_there_are_named(workspace: Workspace) -> None:
    store.apply(workspace)
    with pytest.raises(
        NotReadyError, match=r"no vector of semantics version 'v9' for the fields 'age', 'hour' of 'small'"
    ):
        store.read_field_vectors(workspace, "small", "v9", ("age", "hour"))
    with pytest.raises(NotReadyError, match=r"for the fields 'nowhere' of 'small': run 'llactr encode' first"):
        store.read_field_vectors(workspace, "small", "v1", ("age", "nowhere"))


def test_a_version_is_no_path(workspace: Workspace) -> None:
    with pytest.raises(DataError, match=r"semantics version '../../x' is no content hash"):
        store.release(workspace, "small", "../../x")


def test_a_failed_write_leaves_nothing(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = workspace.semantics_table("field_semantics")
    before = sorted(folder.iterdir())

    def full_disk(*args: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("llactr.atomic.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        store.write_field_vectors(workspace, _vectors(workspace, "v5", seed=1))
    assert sorted(folder.iterdir()) == before


def test_timestamps_are_microseconds_in_utc(workspace: Workspace) -> None:
    store.release(workspace, "small", "v1", effective_from=datetime.fromisoformat("2024-01-01T12:00:00.000001+02:00"))
    path = next(workspace.semantics_table("semantics_release").glob("small@*.parquet"))
    table = pq.read_table(path)
    assert {str(table.schema.field(name).type) for name in ("event_timestamp", "created_timestamp")} == {
        "timestamp[us, tz=UTC]"
    }
    assert table["event_timestamp"][0].as_py() == datetime(2024, 1, 1, 10, 0, 0, 1, tzinfo=UTC)
