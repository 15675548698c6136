"""The Spark store against the ASOF store and against an oracle that looks at every row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from feast.types import String

from llactr import store
from llactr.columns import VALUE
from llactr.errors import DataError, InputError, NotReadyError
from llactr.history import HistoryDefinition
from llactr.spec import HistorySpec, WindowField
from llactr.store import training_rows
from llactr.store.history import write_snapshots
from llactr.store.tables import FIELD_SEMANTICS, VALUE_SEMANTICS
from llactr.workspace import Workspace
from tests.store import test_snapshots as snapshots
from tests.store.asof.asof_world import NO_ON_DEMAND, USER_FEATURES, USERS, at, frame, joined, oracle, user, view, write
from tests.store.spark.spark_java import CONF, spark_session
from tests.store.store_workspace import FIELDS, Offline, small, spec_of, vectors_for
from tests.store.store_workspace import at as hour

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Spark and Feast warn of much


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[Any]:
    with spark_session() as started:
        yield started


def by_spark(
    views: list[Any], entities: Any, *, full: bool = False, cut_off: bool = False, refs: list[str] | None = None
) -> Any:
    from llactr.store.spark import AsofSparkOfflineStore, AsofSparkOfflineStoreConfig

    asked = refs or [f"{v.projection.name_to_use()}:{feature.name}" for v in views for feature in v.features]
    return AsofSparkOfflineStore.get_historical_features(
        config=SimpleNamespace(offline_store=AsofSparkOfflineStoreConfig(spark_conf=CONF), repo_path=None),
        feature_views=views,
        feature_refs=asked,
        entity_df=entities.copy() if isinstance(entities, pd.DataFrame) else entities,
        registry=NO_ON_DEMAND,
        project="p",
        full_feature_names=full,
        filter_by_created_timestamp=cut_off,
    )


def history(seed: int) -> list[dict[str, Any]]:
    """Rows with ties in time and creation, late corrections, null keys, null features, null vectors and creations."""
    draw = random.Random(seed)
    rows = []
    for number in range(120):
        moment = draw.randint(0, 6)
        rows.append(
            user(
                draw.choice(["u1", "u11", "1", "", "ü", None]),
                moment,
                draw.choice([None, number / 4]),
                city=draw.choice(["Oslo", "", "Rome's", None]),
                vector=draw.choice([None, [], [number / 8], [number / 8, -1.0]]),
            )
            | {"created": at(draw.choice([None, moment, moment + 1, 8]))}
        )
    return rows


MOMENTS = [
    (key, hours) for key in ("u1", "u11", "1", "", "ü", "nobody", None) for hours in (None, -1, 0, 1.5, 3, 3, 6, 9)
]


@pytest.mark.parametrize("cut_off", [False, True])
@pytest.mark.parametrize("ttl_hours", [0, 2])
def test_rows_equal_those_of_asof_and_of_the_oracle(tmp_path: Path, cut_off: bool, ttl_hours: int) -> None:
    """Full ties included: the row stored last; two files; duplicates of entity rows kept, in their order."""
    rows = history(ttl_hours + cut_off)
    write(tmp_path / "users" / "a.parquet", rows[:60], USERS)
    write(tmp_path / "users" / "b.parquet", rows[60:], USERS)
    other = write(tmp_path / "other.parquet", history(99), USERS)
    views = [
        view("users", tmp_path / "users", [("user", String)], USER_FEATURES, ttl_hours=ttl_hours),
        view("other", other, [("user", String)], USER_FEATURES[1:], created=False),
    ]
    entities = frame(MOMENTS, "user")

    ours = by_spark(views, entities, full=True, cut_off=cut_off).to_arrow()

    asof = joined(views, entities, full=True, cut_off=cut_off).to_arrow()
    assert ours.column_names == asof.column_names
    assert ours.to_pylist() == asof.to_pylist()
    for row, (key, moment) in zip(ours.to_pylist(), MOMENTS, strict=True):
        seen = oracle(rows, at(moment), {"user": key}, ttl_hours=ttl_hours, cut_off=cut_off) or {}
        assert {name: row[f"users__{name}"] for name, _ in USER_FEATURES} == {
            name: seen.get(name) for name, _ in USER_FEATURES
        }


def test_keys_are_not_joined_into_one_text(tmp_path: Path) -> None:
    """Feast's Spark store lets ("a", "bc") see what is of ("ab", "c")."""
    schema = {"first": pa.string(), "second": pa.string(), "city": pa.string(), "event_timestamp": USERS["created"]}
    rows = [{"first": "ab", "second": "c", "city": "Oslo", "event_timestamp": at(0)}]
    pairs = view(
        "pairs",
        write(tmp_path / "pairs.parquet", rows, schema),
        [("first", String), ("second", String)],
        [("city", String)],
        created=False,
    )
    entities = frame([("a", "bc", 1), ("ab", "c", 1)], "first", "second")
    assert by_spark([pairs], entities).to_arrow()["city"].to_pylist() == [None, "Oslo"]


def test_moments_without_a_zone_are_utc_on_both_sides(tmp_path: Path) -> None:
    naive = USERS | {"event_timestamp": pa.timestamp("us"), "created": pa.timestamp("us")}
    users = view(
        "users", write(tmp_path / "users.parquet", [user("u", 1, 1.0), user("u", 3, 3.0)], naive),
        [("user", String)], USER_FEATURES,
    )  # fmt: skip
    entities = frame([("u", 0.5), ("u", 1), ("u", 2.999), ("u", 3)], "user")
    entities["event_timestamp"] = entities["event_timestamp"].dt.tz_localize(None)
    assert by_spark([users], entities).to_arrow()["score"].to_pylist() == [None, 1.0, 1.0, 3.0]


@pytest.mark.parametrize("rows", [[], [(None, None)]])
def test_no_rows_and_rows_that_match_nothing(tmp_path: Path, rows: list[tuple[Any, ...]]) -> None:
    users = view(
        "users", write(tmp_path / "users.parquet", [user("u", 1, 1.0)], USERS), [("user", String)], USER_FEATURES
    )
    entities = frame(rows, "user")
    spark, asof = by_spark([users], entities).to_arrow(), joined([users], entities).to_arrow()
    assert spark.column_names == asof.column_names
    assert spark.to_pylist() == asof.to_pylist()


def test_entity_rows_may_stay_in_spark(tmp_path: Path, session: Any) -> None:
    users = view(
        "users", write(tmp_path / "users.parquet", [user("u", 1, 1.0)], USERS), [("user", String)], USER_FEATURES[:1]
    )
    query = "SELECT 'u' AS user, TIMESTAMP '2024-01-01 02:00:00Z' AS event_timestamp, 7 AS more"
    expected = [{"user": "u", "event_timestamp": at(2), "more": 7, "score": 1.0}]
    for asked in (query, session.sql(query)):
        job = by_spark([users], asked)
        assert job.to_arrow().to_pylist() == expected
        assert job.metadata.keys == ["user", "more"]
    from_frame = by_spark([users], frame([("u", 0.5), ("u", 2)], "user")).to_spark_df()
    assert {(row["row"], row["score"]) for row in from_frame.collect()} == {(0, None), (1, 1.0)}


def test_what_cannot_be_joined_is_refused(tmp_path: Path) -> None:
    users = view(
        "users", write(tmp_path / "users.parquet", [user("u", 1, 1.0)], USERS), [("user", String)], USER_FEATURES[:1]
    )
    with pytest.raises(DataError, match="no column 'user'"):
        by_spark([users], frame([("u", 1)], "person")).to_arrow()
    with pytest.raises(DataError, match=r"joined by 'user' \(string\), but the entity frame's 'user' is bigint"):
        by_spark([users], frame([(1, 1)], "user")).to_arrow()
    with pytest.raises(DataError, match="Spark cannot run the entity query"):
        by_spark([users], "SELECT nothing").to_arrow()
    with pytest.raises(InputError, match="joins entity rows, and there are none"):
        by_spark([users], None)
    gone = view("gone", tmp_path / "gone.parquet", [("user", String)], USER_FEATURES[:1])
    with pytest.raises(NotReadyError, match=r"has no Parquet file at .*gone.parquet"):
        by_spark([gone], frame([("u", 1)], "user")).to_arrow()


@pytest.fixture
def configs(tmp_path: Path) -> tuple[Path, Path]:
    """The repository's YAML, and the same with a stock Spark store named."""
    asof = store.REPOSITORY / "feature_store.yaml"
    spark = tmp_path / "spark.yaml"
    content = yaml.safe_load(asof.read_text()) | {"offline_store": {"type": "spark", "spark_conf": CONF}}
    spark.write_text(yaml.safe_dump(content | {"batch_engine": {"type": "spark.engine", "spark_conf": CONF}}))
    return asof, spark


def both(workspace: Workspace, configs: tuple[Path, Path], entities: pd.DataFrame, refs: list[str]) -> tuple[Any, Any]:
    """The rows of the ASOF store, and of the Spark store."""
    asof, spark = (
        store.open_store(workspace, config=config).get_historical_features(entities.copy(), refs).to_arrow().to_pylist()
        for config in configs
    )
    return asof, spark


def test_a_workspace_trains_on_the_same_rows(tmp_path: Path, configs: tuple[Path, Path]) -> None:
    """Two releases, a late correction of a user that later events alone may see, vectors of both kinds."""
    known = {"join_key": "user_id", "source": "users", "timestamp": {"column": "t"}, "created": {"column": "c"}}
    offline = small(tmp_path / "workspace", user=known)
    offline.add(
        "user",
        {
            "user_id": ["u1", "u1"],
            "age": [31.0, 32.0],
            "occupation": ["late", "never"],
            "joined": [hour(0.25), None],
            "event_timestamp": [hour(-1), hour(0.5)],
            "created_timestamp": [hour(0.5), hour(2)],
        },
    )
    for version, seed, since in (("v1", 0, None), ("v2", 1, hour(1))):
        store.write_field_vectors(offline.workspace, vectors_for(offline.spec, version, seed=seed))
        store.release(offline.workspace, "small", version, effective_from=since)
    for count, sign in ((2, 1.0), (1, -1.0)):  # the first value's text changes
        store.write_value_vectors(
            offline.workspace, "small", "v1", encoder="test-encoder",
            keys=[("title", "i1"), ("genres", "a")][:count], texts=["one", "two"][:count],
            vectors=sign * np.eye(2, 4, dtype=np.float32)[:count],
        )  # fmt: skip
    store.apply(offline.workspace, config=configs[0])

    expected, found = (training_rows(offline.workspace, offline.spec, config=config) for config in configs)

    assert expected["semantics_version"].to_pylist() == ["v1", "v2", "v2", "v2", "v2"]
    assert expected["occupation"].to_pylist() == ["writer", "", "late", None, None]
    assert found.equals(expected)

    moment = pd.Timestamp.now("UTC") + pd.Timedelta(days=1)  # vectors hold from when they were written
    fields = [*offline.spec.field_names, "none", None]
    keys = pd.DataFrame({"dataset": "small", "field": fields, "semantics_version": "v1"})
    asof, spark = both(
        offline.workspace, configs, keys.assign(event_timestamp=moment),
        [f"{FIELD_SEMANTICS}:{feature}" for feature in ("vector", "description", "encoder")],
    )  # fmt: skip
    assert [row["vector"] is None for row in spark] == [False] * 8 + [True] * 2
    assert spark == asof

    values = [("title", "i1"), ("genres", "a"), ("genres", "i1"), ("title", None)]
    keys = pd.DataFrame(values, columns=["field", VALUE]).assign(dataset="small", semantics_version="v1")
    asof, spark = both(offline.workspace, configs, keys.assign(event_timestamp=moment), [f"{VALUE_SEMANTICS}:vector"])
    assert [row["vector"] for row in spark] == [[-1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], None, None]
    assert spark == asof


def test_states_of_history_are_those_of_any_time(tmp_path: Path, configs: tuple[Path, Path]) -> None:
    """Snapshots at all moments, joined by Spark, against all events looked at again."""
    fields = tuple(
        WindowField(name=f"{owner}_rate", description="past", kind="window", owner=owner, measure="rate")
        for owner in ("user", "item")
    )
    definition = HistoryDefinition(HistorySpec(outcome_delay="30m", last=snapshots.LAST, fields=fields), 0.4)
    workspace, spec = Workspace.at(tmp_path / "ws"), spec_of(FIELDS)
    Offline(workspace, spec)
    events = snapshots.drawn(3, first=0, last=40)
    snapshots.add(workspace, spec, events, "one")
    write_snapshots(workspace, spec, definition)
    store.apply(workspace, config=configs[0])
    by_config = [store.open_store(workspace, config=config) for config in configs]

    def ask(entities: pd.DataFrame, owner: str) -> pa.Table:
        renamed = entities.rename(columns={"key": f"{owner}_id"})
        asof, spark = (
            opened.get_historical_features(renamed.copy(), [f"{spec.name}__{owner}_history:state"]).to_arrow()
            for opened in by_config
        )
        assert spark.to_pylist() == asof.sort_by("row").to_pylist()
        return spark

    snapshots.holds(ask, definition, snapshots.seen(events))
