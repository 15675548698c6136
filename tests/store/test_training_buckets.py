"""Training rows bucket by bucket: those of one join, in their order, and no bucket has a user of another."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr import store
from llactr.errors import DataError, InputError, NotReadyError
from llactr.pieces import Workers
from llactr.store.training_buckets import bucketed_training_rows, cut_events
from tests.store.store_workspace import Offline, at, small, vectors_for


def crowded(root: Path) -> Offline:
    """200 more events, many of one moment; a later file reaches back; people change on the way."""
    offline, draw = small(root), random.Random(3)
    for hours in ((2, 9), (0, 5)):
        moments = [at(draw.randint(*hours)) for _ in range(100)]
        columns: dict[str, Any] = {
            "user_id": [draw.choice(["u1", "u2", "u3", "u4", "ü 5", None]) for _ in moments],
            "item_id": [draw.choice(["i1", "i2", "i3"]) for _ in moments],
            "event_timestamp": moments,
            "label": [draw.randint(0, 1) for _ in moments],
            "device": [f"d{hours[0]}-{n}" for n in range(100)],
        }
        offline.add("events", columns)
    people = ["u1", "u2", "u3", "ü 5"]
    for hour in (3, 6):
        offline.add("user", {
            "user_id": people, "age": [hour + n / 2 for n in range(4)], "occupation": [f"o{hour}"] * 4,
            "joined": [at(hour)] * 4, "event_timestamp": [at(hour)] * 4, "created_timestamp": [at(hour)] * 4,
        })  # fmt: skip
    for version, hour in (("v1", 0), ("v2", 4)):
        store.write_field_vectors(offline.workspace, vectors_for(offline.spec, version))
        store.release(offline.workspace, offline.spec.name, version, effective_from=at(hour))
    store.apply(offline.workspace)
    return offline


@pytest.mark.parametrize(("buckets", "rows"), [(1, 250), (3, 7), (64, 250)])
def test_the_rows_and_their_order_are_those_of_one_join(tmp_path: Path, buckets: int, rows: int) -> None:
    offline = crowded(tmp_path)
    expected = store.training_rows(offline.workspace, offline.spec)
    assert expected.num_rows == 205
    assert len(set(expected["semantics_version"].to_pylist())) == 2
    told: list[tuple[int, int, str]] = []

    with bucketed_training_rows(
        offline.workspace, offline.spec, buckets=buckets, progress=lambda *step: told.append(step)
    ) as made:
        assert made.count == 205
        tables = list(made.tables(rows))

    assert max(table.num_rows for table in tables) <= rows
    found = pa.concat_tables(tables).unify_dictionaries()
    assert found.schema == expected.schema
    assert found.to_pylist() == expected.to_pylist()
    assert told[0] == (0, buckets, "cutting the events")
    assert told[-1] == (len(told) - 1, len(told) - 1, "205 rows joined")
    assert (
        list((offline.workspace.root / "buckets").glob("*")) == [] or not (offline.workspace.root / "buckets").exists()
    )


def test_no_two_buckets_share_a_user_and_all_events_are_in_one(tmp_path: Path) -> None:
    offline = crowded(tmp_path)
    (tmp_path / "cut").mkdir()
    cut, schema = cut_events(offline.workspace, offline.spec, tmp_path / "cut", buckets=4)
    users = [
        {user for file in files for user in pq.read_table(file, partitioning=None)["user_id"].to_pylist()}
        for files in cut
    ]
    assert 2 <= len(users) <= 4
    assert sum(map(len, users)) == len(set().union(*users)) == 6  # five, and nobody
    rows = sum(pq.read_metadata(file).num_rows for files in cut for file in files)
    assert rows == 205
    assert schema.names == store.events_table(offline.workspace, offline.spec).column_names


@pytest.mark.slow
def test_processes_join_the_same_rows(tmp_path: Path) -> None:
    offline = crowded(tmp_path)
    expected = store.training_rows(offline.workspace, offline.spec, with_release=False)
    with bucketed_training_rows(
        offline.workspace, offline.spec, buckets=3, workers=Workers(2), with_release=False
    ) as made:
        found = pa.concat_tables(made.tables())
    assert found.equals(expected)


def test_what_is_refused_is_refused_in_the_words_of_one_join(tmp_path: Path) -> None:
    offline = small(tmp_path)
    store.apply(offline.workspace)

    def both() -> tuple[str, str]:
        with pytest.raises(NotReadyError) as alone:
            store.training_rows(offline.workspace, offline.spec)
        with (
            pytest.raises(NotReadyError) as bucketed,
            bucketed_training_rows(offline.workspace, offline.spec, buckets=3),
        ):
            pass
        return str(alone.value), str(bucketed.value)

    alone, bucketed = both()
    assert (
        alone == bucketed == "dataset 'small' has no release of field vectors for its events: run 'llactr encode' first"
    )
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1", effective_from=at(2))
    alone, bucketed = both()
    assert alone == bucketed
    assert bucketed.startswith(
        "3 of 5 events of 'small' lie before the first release, the earliest at 2024-01-02T00:00:00"
    )


def test_no_bucket_no_events_and_damaged_events_are_one_sentence_each(tmp_path: Path) -> None:
    offline = small(tmp_path)
    with (
        pytest.raises(InputError, match="0 buckets hold nothing"),
        bucketed_training_rows(offline.workspace, offline.spec, buckets=0),
    ):
        pass
    place = offline.workspace.offline_table("small", "events")
    file = next(place.glob("*.parquet"))
    file.write_bytes(b"PAR1 no longer")
    with (
        pytest.raises(DataError, match=r"cannot be read .*: run 'llactr ingest --force'"),
        bucketed_training_rows(offline.workspace, offline.spec, buckets=2),
    ):
        pass
    file.unlink()
    with (
        pytest.raises(NotReadyError, match="run 'llactr ingest' first"),
        bucketed_training_rows(offline.workspace, offline.spec, buckets=2),
    ):
        pass
