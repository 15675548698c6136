"""The streaming engine and the SQLite writer write what Feast's own would."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.online_stores.sqlite import SqliteOnlineStore
from feast.utils import _convert_arrow_to_proto

from llactr import store
from llactr.errors import StoreError
from llactr.store.feast.newest import NewestRows
from llactr.store.feast.streaming import StreamingComputeEngine, online_rows
from tests.store.store_workspace import TIMESTAMP, Offline, at, small, vectors_for

RANGE = datetime(1900, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def filled(tmp_path: Path) -> Offline:
    """Two versions of every user in files of their own, the newer one in the first; vectors; nulls."""
    offline = small(tmp_path)
    for hour, age in ((2, 50.0), (1, 40.0)):
        row = {"user_id": ["u1", "u2", "u3"], "age": [age, None, age], "occupation": ["a", "a", None]}
        moments = {"event_timestamp": [at(hour)] * 3, "created_timestamp": [at(hour)] * 3}
        offline.add("user", row | {"joined": [at(0), None, at(0)]} | moments)
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v1"))
    store.release(offline.workspace, "small", "v1")
    return offline


def engine_config(tmp_path: Path, engine: str) -> Path:
    """The repository's YAML with another compute engine."""
    text = (store.REPOSITORY / "feature_store.yaml").read_text()
    ours = "llactr.store.feast.streaming.StreamingComputeEngine"
    assert text.count(ours) == 1
    path = tmp_path / f"{engine.rsplit('.', 1)[-1]}.yaml"
    path.write_text(text.replace(ours, engine))
    return path


def online(offline: Offline) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(offline.workspace.feast / "online.db") as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: connection.execute(f'SELECT * FROM "{table}" ORDER BY 1, 2').fetchall() for table in tables}


def test_the_repository_uses_the_streaming_engine(tmp_path: Path) -> None:
    offline = filled(tmp_path)
    store.apply(offline.workspace)
    assert isinstance(store.open_store(offline.workspace).provider.batch_engine, StreamingComputeEngine)


def test_the_database_equals_that_of_feasts_engine_and_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, stock = filled(tmp_path / "ours"), filled(tmp_path / "stock")
    end = at(100)
    for offline, config in ((ours, None), (stock, engine_config(tmp_path, "local"))):
        with monkeypatch.context() as patch:
            if config is not None:
                write = SqliteOnlineStore.online_write_batch
                patch.setattr("llactr.store.feast.sqlite.WorkspaceSqliteOnlineStore.online_write_batch", write)
                engine = LocalComputeEngine
            else:
                engine = StreamingComputeEngine
            store.apply(offline.workspace, config=config)
            assert type(store.open_store(offline.workspace, config=config).provider.batch_engine) is engine
            store.materialize(offline.workspace, config=config, end=end)
    written = online(ours)
    assert {table: len(rows) for table, rows in written.items()} == {t: len(rows) for t, rows in online(stock).items()}
    assert (len(written["llactr_small__item"]), len(written["llactr_small__user"])) == (2 * 2, 3 * 3)
    for table in ("llactr_small__item", "llactr_small__user"):
        assert written[table] == online(stock)[table]
    ages = [row[3] for row in written["llactr_small__user"] if row[1] == "age"]
    assert ages == ["50.0", None, "50.0"]  # the newest version, though it is in the first of the files


def test_a_second_run_leaves_the_database_as_it_is(tmp_path: Path) -> None:
    offline = filled(tmp_path)
    store.apply(offline.workspace)
    store.materialize(offline.workspace)
    first = online(offline)
    store.materialize(offline.workspace)
    second = online(offline)
    marks = [content.pop("llactr_materialization") for content in (first, second)]
    assert second == first
    # The marks name the second run, and are of as many views as before.
    assert [row[:2] for row in marks[1]] == [row[:2] for row in marks[0]]
    assert marks[1] != marks[0]
    assert sum(map(len, first.values())) > 0


def test_rows_equal_those_of_feasts_conversion(tmp_path: Path) -> None:
    offline = filled(tmp_path)
    store.apply(offline.workspace)
    feast_store = store.open_store(offline.workspace)
    moments = pa.array([at(0), at(1.5), datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC), at(0)], TIMESTAMP)
    tables = {
        "small__user": {
            "user_id": ["a", "", "ü", "a"],
            "age": pa.array([1.5, None, float("nan"), 1.5]),
            "occupation": [None, "", "x", None],
            "joined": pa.array([None, at(0), at(0), None], TIMESTAMP),
        },
        "field_semantics": {
            "dataset": ["d"] * 4,
            "field": ["f", "g", "f", "g"],
            "semantics_version": ["1", "1", "2", "2"],
            "vector": pa.array([[1.0, 2.0], None, [], [0.5]], pa.list_(pa.float32())),
            "description": ["a", "a", None, "b"],
            "encoder": [None] * 4,
        },
    }
    for name, columns in tables.items():
        view = feast_store.get_feature_view(name)
        batch = pa.RecordBatch.from_pydict(columns | {"event_timestamp": moments, "created_timestamp": moments})
        if name == "field_semantics":
            batch = batch.set_column(5, "encoder", batch.column(5).cast(pa.string()))
        types = {column.name: column.dtype.to_value_type() for column in view.entity_columns}
        expected = _convert_arrow_to_proto(batch, view, types)
        found = online_rows(batch, view)
        assert found == expected
        assert len(found) == 4
        assert [row[2].replace(tzinfo=UTC) for row in found] == moments.to_pylist()


def test_batches_have_the_set_size_and_are_in_the_order_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = filled(tmp_path)
    keys = [f"k{number}" for number in range(25)]
    before = {"event_timestamp": [at(0)] * 25, "created_timestamp": [at(0)] * 25}
    offline.add("user", {"user_id": keys, "age": [1.0] * 25, "occupation": keys, "joined": [None] * 25} | before)
    config = tmp_path / "ten.yaml"
    text = (store.REPOSITORY / "feature_store.yaml").read_text()
    config.write_text(text.replace("online_write_batch_size: 10000", "online_write_batch_size: 10"))
    store.apply(offline.workspace, config=config)
    seen: list[tuple[int, list[str]]] = []
    write = store.open_store(offline.workspace, config=config).provider.online_store.__class__.online_write_batch

    def watched(self: Any, config: Any, table: Any, data: Any, progress: Any) -> None:
        if table.name == "small__user":
            seen.append((len(data), [key.entity_values[0].string_val for key, *_ in data]))
        write(self, config, table, data, progress)

    monkeypatch.setattr("llactr.store.feast.sqlite.WorkspaceSqliteOnlineStore.online_write_batch", watched)
    store.materialize(offline.workspace, config=config)
    written = [key for _, batch in seen for key in batch]
    assert max(size for size, _ in seen) <= 10
    assert written == sorted(["u1", "u2", "u3", *keys], key=lambda key: (len(key), key))


def test_rows_that_an_engine_lost_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast's Ray engine logs a failed write and reports success."""
    offline = filled(tmp_path)
    store.apply(offline.workspace)
    monkeypatch.setattr(StreamingComputeEngine, "_stream", lambda *_: None)
    with pytest.raises(
        StoreError, match=r"'field_semantics' was materialized, but of 8 keys read back 8 are missing or"
    ):
        store.materialize(offline.workspace)


def test_an_older_row_online_is_noticed(tmp_path: Path) -> None:
    offline = filled(tmp_path)
    store.apply(offline.workspace)
    store.materialize(offline.workspace, end=at(1.5))
    feast_store = store.open_store(offline.workspace)
    NewestRows(feast_store, "small__user", start=RANGE[0], end=at(1.5)).check_online()
    newest = NewestRows(feast_store, "small__user", start=RANGE[0], end=RANGE[1])
    assert newest.count() == 3
    with pytest.raises(StoreError, match="of 3 keys read back 3 are missing or old"):
        newest.check_online()
