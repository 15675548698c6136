"""The ASOF store behind a Feast feature store: outputs, saved datasets, on-demand views, limits, writing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureService, FeatureStore, Field, RequestSource
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String

from llactr.store.asof.join import Limits
from llactr.store.asof.offline_store import AsofDuckDBOfflineStore, AsofDuckDBOfflineStoreConfig
from tests.store.asof.asof_world import (
    ASOF,
    START,
    USER_FEATURES,
    USERS,
    at,
    entity,
    feature_store,
    frame,
    joined,
    user,
    view,
    write,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*experimental feature:RuntimeWarning")

ROWS = [user("u", 0, 1.0, vector=[0.5, 1.0]), user("v", 1, None), user("u", 2, 2.0, city="Oslo")]
SCORES = ["users:score", "users:city", "users:vector"]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A feature store with a view over a directory, and an on-demand view over it and the request."""
    write(tmp_path / "users" / "a.parquet", ROWS, USERS)
    users = view("users", tmp_path / "users", [("user", String)], USER_FEATURES)
    request = RequestSource(name="request", schema=[Field(name="bonus", dtype=Int64)])

    @on_demand_feature_view(
        sources=[users, request],
        schema=[Field(name="total", dtype=Float64), Field(name="known", dtype=Int64)],
        mode="pandas",
    )
    def totals(rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"total": rows["score"] + rows["bonus"], "known": rows["score"].notna().astype("int64")})

    service = FeatureService(name="all", features=[users, totals])
    return feature_store(tmp_path / "repo", [entity("user"), users, totals, service])


@pytest.fixture
def entities() -> pd.DataFrame:
    return frame([("u", 3), ("v", 3), ("w", 3), ("u", 0), ("u", 3)], "user").assign(bonus=[10, 20, 30, 40, 50])


class TestOutputs:
    def test_frame_arrow_and_batches_are_the_same_rows(self, store: FeatureStore, entities: pd.DataFrame) -> None:
        job = store.get_historical_features(entities, SCORES)
        table = job.to_arrow()
        assert table["score"].to_pylist() == [2.0, None, None, 1.0, 2.0]
        assert table["vector"].to_pylist() == [None, None, None, [0.5, 1.0], None]
        assert job.to_df()["city"].tolist() == ["Oslo", None, None, None, "Oslo"]
        reader = job.to_record_batches(batch_rows=2)
        batches = list(reader)
        assert [batch.num_rows for batch in batches] == [2, 2, 1]
        assert reader.schema == table.schema
        assert pa.Table.from_batches(batches).equals(table)

    def test_on_demand_features_in_frame_and_batches(self, store: FeatureStore, entities: pd.DataFrame) -> None:
        job = store.get_historical_features(entities, ["users:score", "totals:total", "totals:known"])
        expected = [12.0, None, None, 41.0, 52.0]
        assert job.to_arrow()["total"].to_pylist() == expected
        streamed = job.to_record_batches(batch_rows=1).read_all()
        assert streamed["total"].to_pylist() == expected
        assert streamed["known"].to_pylist() == [1, 0, 0, 1, 1]
        assert streamed.schema.field("total").type == pa.float64()  # also where a batch has nulls only
        assert streamed.column_names == job.to_arrow().column_names

    def test_a_service_with_full_names(self, store: FeatureStore, entities: pd.DataFrame) -> None:
        service = store.get_feature_service("all")
        row = store.get_historical_features(entities, service, full_feature_names=True).to_df().iloc[3]
        assert (row["users__score"], row["totals__total"], row["totals__known"]) == (1.0, 41.0, 1)

    def test_the_cut_off_reaches_the_store(self, tmp_path: Path) -> None:
        rows = [user("u", 0, 1.0), user("u", 1, 2.0, created=5)]
        users = view("users", write(tmp_path / "u.parquet", rows, USERS), [("user", String)], USER_FEATURES)
        store = feature_store(tmp_path / "repo", [entity("user"), users])
        for cut_off, score in ((True, 1.0), (False, 2.0)):
            job = store.get_historical_features(
                frame([("u", 3)], "user"), ["users:score"], filter_by_created_timestamp=cut_off
            )
            assert job.to_df()["score"].tolist() == [score]

    def test_metadata(self, store: FeatureStore, entities: pd.DataFrame) -> None:
        metadata = store.get_historical_features(entities, SCORES).metadata
        assert metadata.features == SCORES
        assert metadata.keys == ["user", "row", "bonus"]
        assert (metadata.min_event_timestamp, metadata.max_event_timestamp) == (at(0), at(3))

    def test_a_reader_that_is_given_up_leaves_no_files(self, tmp_path: Path) -> None:
        users = view("users", write(tmp_path / "u.parquet", ROWS, USERS), [("user", String)], USER_FEATURES)
        scratch = tmp_path / "scratch"
        job = joined([users], frame([("u", 1)] * 10, "user"), limits={"temp_directory": str(scratch)})
        reader = job.to_record_batches(batch_rows=1)
        assert reader.read_next_batch().num_rows == 1
        reader.close()
        del reader
        assert list(scratch.iterdir()) == []


class TestSavedDatasets:
    @pytest.mark.parametrize("target", ["set.parquet", "set"])
    def test_on_demand_features_come_back(
        self, store: FeatureStore, entities: pd.DataFrame, tmp_path: Path, target: str
    ) -> None:
        job = store.get_historical_features(entities, ["users:score", "totals:total"])
        storage = SavedDatasetFileStorage(str(tmp_path / target))
        store.create_saved_dataset(job, "set", storage)
        found = store.get_saved_dataset("set").to_df()
        assert found["user"].tolist() == ["u", "v", "w", "u", "u"]
        assert found["total"].fillna(-1).tolist() == [12.0, -1, -1, 41.0, 52.0]
        with pytest.raises(SavedDatasetLocationAlreadyExists, match=target):
            store.create_saved_dataset(job, "set", storage)
        store.create_saved_dataset(job, "set", storage, allow_overwrite=True)
        assert len(store.get_saved_dataset("set").to_df()) == 5


class TestParquet:
    def test_a_directory_of_numbered_files_in_the_order_of_rows(
        self, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("llactr.store.asof.job.BATCH_ROWS", 10)
        query = f"""SELECT 'u' AS user, range AS n, TIMESTAMP '{START:%Y-%m-%d}' + to_hours(range % 4) AS event_timestamp
                    FROM range(95)"""
        job = store.get_historical_features(query, SCORES)
        assert job.to_parquet(tmp_path / "set", rows_per_file=20) == 95
        files = sorted((tmp_path / "set").iterdir())
        assert [file.name for file in files] == [f"part-{i:05d}.parquet" for i in range(5)]
        assert [pq.read_metadata(file).num_rows for file in files] == [20, 20, 20, 20, 15]
        result = pa.concat_tables(map(pq.read_table, files))
        assert result["n"].to_pylist() == list(range(95))
        assert result["score"].to_pylist() == [[1.0, 1.0, 2.0, 2.0][n % 4] for n in range(95)]

    def test_a_write_that_fails_leaves_what_was_there(self, tmp_path: Path) -> None:
        users = view("users", tmp_path / "nothing", [("user", String)], USER_FEATURES)
        write(tmp_path / "set.parquet", ROWS, USERS)
        before = (tmp_path / "set.parquet").read_bytes()
        with pytest.raises(Exception, match="no Parquet file"):
            joined([users], frame([("u", 1)], "user")).to_parquet(tmp_path / "set.parquet", overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == ["set.parquet"]
        assert (tmp_path / "set.parquet").read_bytes() == before

    def test_no_rows_still_write_a_schema(self, tmp_path: Path) -> None:
        users = view("users", write(tmp_path / "u.parquet", ROWS, USERS), [("user", String)], USER_FEATURES)
        entities = frame([], "user").astype({"user": "string"})
        assert joined([users], entities).to_parquet(tmp_path / "set") == 0
        found = pq.read_table(tmp_path / "set")
        assert (found.num_rows, found.column_names[-3:]) == (0, ["score", "city", "vector"])

    def test_staging(self, tmp_path: Path) -> None:
        users = view("users", write(tmp_path / "u.parquet", ROWS, USERS), [("user", String)], USER_FEATURES)
        job = joined([users], frame([("u", 3)], "user"), limits={"staging_location": str(tmp_path / "staging")})
        assert job.supports_remote_storage_export()
        (file,) = job.to_remote_storage()
        assert pq.read_table(file)["score"].to_pylist() == [2.0]


class TestLimits:
    def test_features_beyond_their_memory_go_to_duckdb(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(1)
        rows = [user(f"u{i}", 0, float(i), vector=rng.normal(size=8).tolist()) for i in range(3000)]
        users = view("users", write(tmp_path / "u.parquet", rows, USERS), [("user", String)], USER_FEATURES)
        entities = frame([(f"u{i}", 1) for i in rng.integers(0, 3300, 5000)], "user")
        resident = joined([users], entities).to_arrow()
        for size in (0, 1000, 10_000_000):
            monkeypatch.setattr(Limits, "resident_bytes", size)
            assert joined([users], entities).to_arrow().equals(resident)
        assert resident["score"].null_count == sum(int(name[1:]) >= 3000 for name in entities["user"])

    def test_memory_threads_and_folder_reach_duckdb(self, tmp_path: Path) -> None:
        config = AsofDuckDBOfflineStoreConfig(memory_limit="400 MB", threads=1, temp_directory=str(tmp_path / "spill"))
        assert config.limits.resident_bytes == 100_000_000
        with config.limits.connection() as connection:
            settings = dict(connection.execute("SELECT name, value FROM duckdb_settings()").fetchall())
            assert settings["memory_limit"] == "286.1 MiB"  # 300 MB
            assert settings["threads"] == "1"
            assert settings["temp_directory"].startswith(str(tmp_path / "spill"))
            assert settings["TimeZone"] == "UTC"
        assert list((tmp_path / "spill").iterdir()) == []

    @pytest.mark.parametrize("size", ["2", "lots", "2 GBs", "GB", "1.2.3GB"])
    def test_a_memory_limit_is_a_number_and_a_unit(self, size: str) -> None:
        with pytest.raises(ValueError, match=f"memory_limit is '{size}', expected a size such as 2GB"):
            AsofDuckDBOfflineStoreConfig(memory_limit=size)

    @pytest.mark.slow
    def test_two_million_rows_stream_within_their_memory(self, tmp_path: Path) -> None:
        """RSS beyond the imports stays below the limit plus a batch, where the rows themselves would take as much."""
        script = Path(__file__).parents[3] / "benchmarks" / "point_in_time.py"
        arguments = [
            "--rows",
            "",
            "--growth",
            "",
            "--stream-rows",
            "2000000",
            "--memory-limit",
            "400MB",
            "--json",
            str(tmp_path / "out.json"),
        ]
        subprocess.run(
            [sys.executable, str(script), *arguments], check=True, env={**os.environ, "TMPDIR": str(tmp_path)}
        )
        (result,) = json.loads((tmp_path / "out.json").read_text())["stream"]
        assert result["rows"] == 2_000_000
        assert result["peak_rss_mb"] - result["base_rss_mb"] < 700


class TestFeast:
    def test_materialize_reads_a_directory(self, store: FeatureStore, tmp_path: Path) -> None:
        (tmp_path / "users" / ".half.parquet").write_bytes(b"being written")
        store.materialize(at(-1), at(5), feature_views=["users"])
        online = store.get_online_features(["users:score", "users:vector"], [{"user": "u"}, {"user": "w"}]).to_dict()
        assert online["score"] == [2.0, None]

    def test_writing_to_a_directory_adds_a_file(self, store: FeatureStore, tmp_path: Path) -> None:
        before = (tmp_path / "users" / "a.parquet").read_bytes()
        rows = pd.DataFrame(
            {
                "user": ["u"],
                "score": [5.0],
                "city": [None],
                "vector": [[1.0]],
                "event_timestamp": [at(4)],
                "created": [at(4)],
            }
        )
        store.write_to_offline_store("users", rows)
        assert (tmp_path / "users" / "a.parquet").read_bytes() == before
        assert len(list((tmp_path / "users").iterdir())) == 2
        found = store.get_historical_features(frame([("u", 4), ("u", 3)], "user"), ["users:score"]).to_df()
        assert found["score"].tolist() == [5.0, 2.0]

    def test_the_class_path_is_enough(self, tmp_path: Path) -> None:
        from feast.infra.offline_stores.offline_utils import get_offline_store_from_config
        from feast.repo_config import RepoConfig

        settings: dict[str, Any] = {"type": ASOF, "memory_limit": "1GB"}
        config = RepoConfig(project="p", provider="local", registry=str(tmp_path / "r.db"), offline_store=settings)
        assert isinstance(get_offline_store_from_config(config.offline_store), AsofDuckDBOfflineStore)
        assert config.offline_store.memory_limit == "1GB"
