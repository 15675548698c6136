"""What the ASOF store does that Feast's DuckDB store does not, or does wrongly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureView, Field, FileSource
from feast.errors import EntityTimestampInferenceException
from feast.types import Float64, Int64, String

from llactr.errors import DataError, NotReadyError
from llactr.store.asof.features import load_view
from llactr.store.asof.join import Limits
from llactr.store.asof.match import matching_rows
from llactr.store.asof.plan import ViewPlan
from tests.store.asof.asof_world import START, TIME, USERS, at, frame, joined, user, view, write

SCORE = [("score", Float64)]
PLAN = ViewPlan(
    name="v", source=None, join_keys=(), features=(), timestamp="ts", created=None, ttl_us=None, cut_off=False
)


@pytest.fixture
def users(tmp_path: Path) -> FeatureView:
    """Two users; u's score is 1.0 from hour 0, 2.0 from hour 2; v's is 9.0 from hour 1."""
    rows = [user("u", 0, 1.0), user("v", 1, 9.0), user("u", 2, 2.0)]
    return view("users", write(tmp_path / "users.parquet", rows, USERS), [("user", String)], SCORE)


class TestRows:
    def test_rows_keep_their_order_and_duplicates_stay(self, users: FeatureView) -> None:
        entities = frame([("v", 5), ("u", 3), ("u", 0), ("v", 5), ("u", 3)], "user")
        result = joined([users], entities).to_df()
        assert result["row"].tolist() == [0, 1, 2, 3, 4]
        assert result["score"].tolist() == [9.0, 2.0, 1.0, 9.0, 2.0]

    def test_a_hundred_thousand_shuffled_rows_come_out_in_order(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        rows = [user(f"u{i}", hour, float(10 * i + hour)) for i in range(50) for hour in range(4)]
        users = view("users", write(tmp_path / "u.parquet", rows, USERS), [("user", String)], SCORE)
        who, when = rng.integers(0, 50, 100_000), rng.integers(0, 4, 100_000)
        entities = pd.DataFrame(
            {"user": "u" + pd.Series(who).astype(str), "event_timestamp": START + pd.to_timedelta(when, unit="h")}
        )
        result = joined([users], entities).to_arrow()
        assert np.array_equal(result["score"].to_numpy(), 10.0 * who + when)
        assert result["user"].to_pylist() == entities["user"].tolist()

    def test_the_callers_frame_is_left_alone(self, users: FeatureView) -> None:
        entities = frame([("u", 3)], "user").assign(event_timestamp="2024-01-01T03:00:00Z")
        before = entities.copy()
        config = joined([users], entities).to_df()
        assert config["score"].tolist() == [2.0]
        pd.testing.assert_frame_equal(entities, before)

    def test_no_rows_give_no_rows_with_all_columns(self, users: FeatureView) -> None:
        result = joined([users], frame([], "user")).to_arrow()
        assert result.num_rows == 0
        assert result.column_names == ["user", "event_timestamp", "row", "score"]
        assert result.schema.field("score").type == pa.float64()

    def test_a_null_key_sees_nothing_even_where_the_source_has_null_keys(self, tmp_path: Path) -> None:
        users = view("users", write(tmp_path / "u.parquet", [user(None, 0, 1.0)], USERS), [("user", String)], SCORE)
        assert joined([users], frame([(None, 3), ("u", 3)], "user")).to_df()["score"].isna().tolist() == [True, True]

    def test_of_full_ties_the_row_stored_last_is_taken_whatever_the_file(self, tmp_path: Path) -> None:
        write(tmp_path / "u" / "b.parquet", [user("u", 0, 4.0), user("u", 0, 3.0)], USERS)
        write(tmp_path / "u" / "a.parquet", [user("u", 0, 1.0), user("u", 0, 2.0)], USERS)
        users = view("users", tmp_path / "u", [("user", String)], SCORE)
        assert joined([users], frame([("u", 1)], "user")).to_df()["score"].tolist() == [3.0]

    def test_files_that_are_read_out_of_order_do_not_change_full_ties(self) -> None:
        """DuckDB's threads deliver files as they finish, and number them by an unsigned integer."""
        rows = "(1::UBIGINT, 0, 7.0), (0::UBIGINT, 1, 8.0), (0::UBIGINT, 0, 9.0)"
        query = f"""SELECT 1::INTEGER AS code, 0::BIGINT AS ts, NULL::BIGINT AS created, place0, place1, feature0
                    FROM (VALUES {rows}) AS t (place0, place1, feature0)"""
        with Limits().connection() as connection:
            stored, size = load_view(connection, query, ["feature0"], budget_bytes=None)
            assert size > 0
            assert stored.stored_order == ("place0", "place1")
            found = matching_rows(
                connection,
                PLAN,
                entities="SELECT 1::INTEGER AS code, 5::BIGINT AS ts, 0::BIGINT AS entity_row",
                view=stored,
                count=1,
            )
            assert stored.take(found)[0].to_pylist() == [7.0]


class TestNames:
    def test_a_feature_may_end_in_y(self, tmp_path: Path) -> None:
        schema = {"user": pa.string(), "loyalt_y": pa.int64(), "event_timestamp": TIME, "created": TIME}
        rows = [{"user": "u", "loyalt_y": 7, "event_timestamp": START, "created": START}]
        users = view("users", write(tmp_path / "u.parquet", rows, schema), [("user", String)], [("loyalt_y", Int64)])
        entities = frame([("u", 1)], "user")
        assert joined([users], entities).to_df()["loyalt_y"].tolist() == [7]
        with pytest.raises(Exception, match="loyalt_y"):
            joined([users], entities, stock=True).to_df()

    def test_names_with_quotes_spaces_and_keywords(self, tmp_path: Path) -> None:
        odd = ['sel"ect', "a b", "from", "ts", "code", "created", "place0", "view_row", "feature0"]
        schema = {"ke\"y'": pa.string(), **dict.fromkeys(odd, pa.int64()), "event_timestamp": TIME}
        rows = [{"ke\"y'": "k", **{name: i for i, name in enumerate(odd)}, "event_timestamp": START}]
        path = write(tmp_path / "it's [x=1]" / "u.parquet", rows, schema)
        users = view("users", path, [("ke\"y'", String)], [(name, Int64) for name in odd], created=False)
        result = joined([users], frame([("k", 1)], "ke\"y'")).to_arrow()
        assert [result[name].to_pylist() for name in odd] == [[i] for i in range(len(odd))]

    def test_one_view_joined_twice_under_aliases(self, users: FeatureView) -> None:
        seller = users.with_name("seller").with_join_key_map({"user": "sold_by"})
        buyer = users.with_name("buyer").with_join_key_map({"user": "bought_by"})
        entities = frame([("u", "v", 5), ("v", "nobody", 5)], "sold_by", "bought_by")
        result = joined([seller, buyer], entities, full=True).to_df()
        assert result["seller__score"].tolist() == [2.0, 9.0]
        assert result["buyer__score"].tolist()[0] == 9.0
        assert np.isnan(result["buyer__score"].tolist()[1])

    def test_a_join_key_map_may_name_some_of_the_keys(self, tmp_path: Path) -> None:
        """Feast's DuckDB store forgets the key that is not in the map, and gives shop 2's row to shop 1."""
        schema = {"shop": pa.int64(), "user": pa.string(), "n": pa.int64(), "event_timestamp": TIME}
        rows = [
            {"shop": 1, "user": "u", "n": 10, "event_timestamp": at(0)},
            {"shop": 2, "user": "u", "n": 20, "event_timestamp": at(1)},
        ]
        path = write(tmp_path / "v.parquet", rows, schema)
        visits = view("visits", path, [("shop", Int64), ("user", String)], [("n", Int64)], created=False)
        entities = frame([(1, "u", 5)], "shop", "friend")
        assert joined([visits.with_join_key_map({"user": "friend"})], entities).to_df()["n"].tolist() == [10]
        wrong = joined([visits.with_join_key_map({"user": "friend"})], entities, stock=True)
        assert wrong.to_df()["n"].tolist() == [20]

    def test_a_source_with_a_field_mapping(self, tmp_path: Path) -> None:
        schema = {"uid": pa.string(), "s": pa.float64(), "at": TIME, "made": TIME}
        rows = [{"uid": "u", "s": 1.5, "at": at(0), "made": at(0)}, {"uid": "u", "s": 2.5, "at": at(0), "made": at(1)}]
        path = write(tmp_path / "u.parquet", rows, schema)
        mapping = {"uid": "user", "s": "score", "at": "event_timestamp", "made": "created"}
        users = view("users", path, [("user", String)], SCORE, field_mapping=mapping)
        assert joined([users], frame([("u", 1)], "user")).to_df()["score"].tolist() == [2.5]

    def test_a_feature_called_like_an_entity_column_is_refused(self, users: FeatureView) -> None:
        entities = frame([("u", 1)], "user").assign(score=0.0)
        with pytest.raises(DataError, match=r"more than one column 'score'.*full_feature_names"):
            joined([users], entities).to_arrow()
        assert joined([users], entities, full=True).to_df()["users__score"].tolist() == [1.0]

    def test_a_view_without_entities_is_joined_by_time_alone(self, tmp_path: Path) -> None:
        schema = {"price": pa.float64(), "event_timestamp": TIME}
        rows = [{"price": float(hour), "event_timestamp": at(hour)} for hour in (0, 2)]
        market = FeatureView(
            name="market",
            entities=[],
            schema=[Field(name="price", dtype=Float64)],
            ttl=timedelta(hours=3),
            source=FileSource(path=str(write(tmp_path / "m.parquet", rows, schema)), timestamp_field="event_timestamp"),
        )
        prices = joined([market], frame([(0, -1), (0, 0), (0, 3), (0, 5), (0, 6)], "id")).to_df()["price"]
        assert prices.fillna(-1).tolist() == [-1, 0, 2, 2, -1]


class TestTimes:
    def test_nanoseconds_are_compared_by_whole_microseconds_and_given_back(self, users: FeatureView) -> None:
        moments = pd.to_datetime(["2024-01-01 01:59:59.999999999", "2024-01-01 02:00:00.000000001"], utc=True)
        result = joined([users], pd.DataFrame({"user": "u", "event_timestamp": moments})).to_df()
        assert result["score"].tolist() == [1.0, 2.0]
        assert result["event_timestamp"].tolist() == moments.tolist()

    @pytest.mark.parametrize(
        "moments",
        [
            pd.Series(["2024-01-01T02:00:00+00:00", "2024-01-01T02:30:00+01:00"]),
            pd.to_datetime(pd.Series(["2024-01-01T02:00", "2024-01-01T01:30"])),
            pd.to_datetime(pd.Series(["2024-01-01T02:00", "2024-01-01T01:30"])).astype("datetime64[s]"),
            pd.to_datetime(pd.Series(["2024-01-01T03:00", "2024-01-01T02:30"])).dt.tz_localize("Europe/Oslo"),
            pd.Series([datetime(2024, 1, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, 1, 30, tzinfo=UTC)], dtype=object),
        ],
        ids=["text", "naive", "seconds", "zone", "objects"],
    )
    def test_timestamps_of_every_kind(self, users: FeatureView, moments: pd.Series) -> None:
        result = joined([users], pd.DataFrame({"user": "u", "event_timestamp": moments})).to_df()
        assert result["score"].tolist() == [2.0, 1.0]
        assert pd.to_datetime(result["event_timestamp"], utc=True).tolist() == [at(2), at(1.5)]

    @pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ms", "UTC"), pa.timestamp("ns")])
    def test_sources_with_other_timestamps(self, tmp_path: Path, kind: pa.DataType) -> None:
        rows = [user("u", 0, 1.0), user("u", 2, 2.0)]
        for row in rows:
            if kind.tz is None:
                row |= {name: row[name].replace(tzinfo=None) for name in ("event_timestamp", "created")}
        path = write(tmp_path / "u.parquet", rows, {**USERS, "event_timestamp": kind, "created": kind})
        users = view("users", path, [("user", String)], SCORE)
        assert joined([users], frame([("u", 1), ("u", 2)], "user")).to_df()["score"].tolist() == [1.0, 2.0]

    def test_moments_before_1970_and_a_ttl_of_centuries(self, tmp_path: Path) -> None:
        rows = [user("u", -24 * 365 * 400, 1.0)]
        path = write(tmp_path / "u.parquet", rows, USERS)
        users = view("users", path, [("user", String)], SCORE, ttl_hours=24 * 365 * 500)
        assert joined([users], frame([("u", 0), ("u", 24 * 365 * 99)], "user")).to_df()["score"].tolist() == [1.0, 1.0]
        assert joined([users], frame([("u", 24 * 365 * 200)], "user")).to_df()["score"].isna().all()

    def test_another_timestamp_column_is_found_when_it_is_the_only_one(self, users: FeatureView) -> None:
        entities = frame([("u", 1)], "user").rename(columns={"event_timestamp": "seen"})
        assert joined([users], entities).to_df()["score"].tolist() == [1.0]
        with pytest.raises(EntityTimestampInferenceException, match="event_timestamp"):
            joined([users], entities.drop(columns="seen"))

    def test_a_timestamp_that_is_none_is_refused(self, users: FeatureView) -> None:
        with pytest.raises(DataError, match=r"'event_timestamp' is int64, expected timestamps.*to_datetime"):
            joined([users], pd.DataFrame({"user": ["u"], "event_timestamp": [1]}))
        with pytest.raises(DataError, match="'event_timestamp' holds what is no time"):
            joined([users], pd.DataFrame({"user": ["u"], "event_timestamp": ["yesterday"]}))


class TestKeys:
    def test_a_missing_join_key_is_named(self, users: FeatureView) -> None:
        with pytest.raises(DataError, match=r"no column 'user', which view 'users' is joined by; it has 'who'"):
            joined([users], frame([("u", 1)], "who"))

    def test_text_does_not_match_numbers(self, users: FeatureView) -> None:
        with pytest.raises(DataError, match=r"joined by 'user' \(VARCHAR\), but the entity frame's 'user' is BIGINT"):
            joined([users], frame([(1, 1)], "user")).to_arrow()

    @pytest.mark.parametrize("kind", ["int32", "Int64", "float64"])
    def test_numbers_of_other_widths_match(self, tmp_path: Path, kind: str) -> None:
        schema = {"id": pa.int64(), "n": pa.int64(), "event_timestamp": TIME}
        path = write(tmp_path / "i.parquet", [{"id": 3, "n": 33, "event_timestamp": START}], schema)
        items = view("items", path, [("id", Int64)], [("n", Int64)], created=False)
        entities = frame([(3, 1), (4, 1)], "id").astype({"id": kind})
        assert joined([items], entities).to_df()["n"].fillna(-1).tolist() == [33, -1]

    def test_categories_match_text(self, users: FeatureView) -> None:
        entities = frame([("u", 1), ("v", 1)], "user").astype({"user": "category"})
        assert joined([users], entities).to_df()["score"].tolist() == [1.0, 9.0]

    def test_a_column_without_any_key_matches_nothing(self, users: FeatureView) -> None:
        assert joined([users], frame([(None, 1)], "user")).to_df()["score"].isna().tolist() == [True]


class TestSources:
    def test_a_directory_a_glob_and_files_being_written(self, tmp_path: Path) -> None:
        folder = tmp_path / "users"
        write(folder / "a.parquet", [user("u", 0, 1.0)], USERS)
        write(folder / "sub" / "b.parquet", [user("u", 1, 2.0)], USERS)
        write(folder / ".draft.parquet", [user("u", 2, 3.0)], USERS)
        write(folder / "_temporary" / "c.parquet", [user("u", 2, 4.0)], USERS)
        entities = frame([("u", 5)], "user")
        for path, score in ((folder, 2.0), (folder / "*.parquet", 1.0), (folder / "**" / "*.parquet", 2.0)):
            users = view("users", path, [("user", String)], SCORE)
            assert joined([users], entities).to_df()["score"].tolist() == [score]

    def test_a_relative_path_starts_at_the_repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write(tmp_path / "repo" / "data" / "u.parquet", [user("u", 0, 1.0)], USERS)
        monkeypatch.chdir(tmp_path)
        users = view("users", Path("data/u.parquet"), [("user", String)], SCORE)
        job = joined([users], frame([("u", 1)], "user"), repo_path=tmp_path / "repo")
        assert job.to_df()["score"].tolist() == [1.0]

    def test_a_source_without_files_and_one_without_a_column(self, tmp_path: Path) -> None:
        entities = frame([("u", 1)], "user")
        with pytest.raises(NotReadyError, match=r"'users_source' has no Parquet file at .*nothing"):
            joined([view("users", tmp_path / "nothing", [("user", String)], SCORE)], entities).to_arrow()
        path = write(tmp_path / "u.parquet", [user("u", 0, 1.0)], USERS)
        with pytest.raises(DataError, match=r"has no column 'height', it has user, score, city"):
            joined([view("users", path, [("user", String)], [("height", Float64)])], entities).to_arrow()


class TestQueries:
    def test_an_sql_query_gives_the_entity_rows(self, users: FeatureView, tmp_path: Path) -> None:
        events = frame([("v", 5), ("u", 3), ("u", 1), ("u", 3)], "user")
        events.to_parquet(tmp_path / "events.parquet")
        query = f"""
            SELECT "user", event_timestamp, "row", "row" * 2 AS twice
            FROM '{tmp_path}/events.parquet' ORDER BY "row" DESC;  -- the order of the query is the order of the rows
        """
        result = joined([users], query).to_df()
        assert result.columns.tolist() == ["user", "event_timestamp", "row", "twice", "score"]
        assert result["row"].tolist() == [3, 2, 1, 0]
        assert result["score"].tolist() == [2.0, 1.0, 2.0, 9.0]
        assert result["event_timestamp"].tolist() == [at(3), at(1), at(3), at(5)]

    def test_timestamps_of_a_query_may_be_naive_or_text(self, users: FeatureView) -> None:
        for moment in ("TIMESTAMP '2024-01-01 02:00:00'", "'2024-01-01T02:00:00Z'"):
            result = joined([users], f"SELECT 'u' AS user, {moment} AS event_timestamp").to_df()
            assert result["score"].tolist() == [2.0]
            assert result["event_timestamp"].tolist() == [at(2)]

    @pytest.mark.parametrize("query", ["SELECT 1; SELECT 2", "DROP TABLE x", "SELEC 1", "SELECT * FROM nowhere", ""])
    def test_anything_but_one_select_is_refused(self, users: FeatureView, query: str) -> None:
        with pytest.raises(DataError, match=r"expected one SELECT|cannot run the entity query"):
            joined([users], query).to_arrow()

    def test_a_query_sees_no_python_variables(self, users: FeatureView) -> None:
        with pytest.raises(DataError, match=r"cannot run the entity query.*plans"):
            joined([users], "SELECT * FROM plans").to_arrow()


class TestSpanOfTime:
    def test_one_row_for_each_moment_of_a_key(self, tmp_path: Path, users: FeatureView) -> None:
        rows = [{**user("u", 1, 0.0), "city": "Oslo"}, {**user("u", 1, 0.0, created=2), "city": "Rome"}]
        cities = view("cities", write(tmp_path / "c.parquet", rows, USERS), [("user", String)], [("city", String)])
        result = joined([users, cities], None, start_date=at(1), end_date=at(2))
        assert result.to_df().to_dict("list") == {
            "event_timestamp": [at(1), at(1), at(2)],
            "user": ["u", "v", "u"],
            "score": [1.0, 9.0, 2.0],  # u's at hour 1 is from hour 0, before the span
            "city": ["Rome", None, "Rome"],
        }
        assert (result.metadata.min_event_timestamp, result.metadata.max_event_timestamp) == (at(1), at(2))

    def test_stock_cannot(self, users: FeatureView) -> None:
        with pytest.raises(TypeError, match="start_date"):
            joined([users], None, stock=True, start_date=at(1), end_date=at(2))
