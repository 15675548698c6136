from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from feast import FeatureStore

from llactr import store
from llactr.errors import DataError, NotReadyError, StoreError
from llactr.store.definitions import FOREVER
from llactr.transforms import Transform, raw_column, raw_type
from llactr.workspace import Workspace
from tests.store.store_workspace import FIELDS, TIMESTAMP, Offline, at, categorical, small, spec_of, vectors_for


def released(offline: Offline, version: str = "v1", **when: Any) -> Offline:
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, version))
    store.release(offline.workspace, offline.spec.name, version, **when)
    store.apply(offline.workspace)
    return offline


def rows(offline: Offline, **options: Any) -> pa.Table:
    return store.training_rows(offline.workspace, offline.spec, **options)


def test_all_events_in_order_with_their_features(tmp_path: Path) -> None:
    offline = released(small(tmp_path / "a b 'c' \"d\" é"))
    table = rows(offline)
    assert table.column_names == [
        "user_id", "item_id", "event_timestamp", "label", "age", "occupation", "joined", "title", "genres", "device",
        "semantics_version",
    ]  # fmt: skip
    assert table["user_id"].to_pylist() == ["u1", "u2", "u1", "u4", "u3"]
    assert table["event_timestamp"].to_pylist() == [at(0), at(1), at(1), at(2), at(3)]
    assert table["label"].to_pylist() == [1, 0, 1, 0, 1]
    assert table["age"].to_pylist() == [30.0, 41.5, 30.0, None, None]
    assert table["occupation"].to_pylist() == ["writer", "", "writer", None, None]
    bobby = "Robert'); DROP TABLE items;--"
    assert table["title"].to_pylist() == [bobby, 'Ünicode "quoted"', 'Ünicode "quoted"', None, bobby]
    assert table["genres"].to_pylist() == [None, "a|b", "a|b", None, None]
    assert table["device"].to_pylist() == ["phone", None, "tv", "tv", ""]
    assert table["semantics_version"].to_pylist() == ["v1"] * 5
    seconds = [None if t is None else t.isoformat() for t in table["joined"].to_pylist()]
    assert seconds == [
        "2020-05-01T07:30:01+00:00",
        "1969-12-31T23:59:59+00:00",
        "2020-05-01T07:30:01+00:00",
        None,
        None,
    ]
    for field in offline.spec.fields:
        assert table[raw_column(field)].type == raw_type(field)
    assert Transform.fit(offline.spec, table).ids(table).shape == (5, 7 + 8)  # genres have 8 slots


def test_duplicates_stay_and_chunks_make_no_difference(tmp_path: Path) -> None:
    offline = small(tmp_path)
    same = {"user_id": ["u1"] * 6, "item_id": ["i1"] * 6, "event_timestamp": [at(5)] * 6, "label": [0, 1, 0, 1, 1, 0]}
    offline.add("events", same | {"device": list("abcdef")})
    released(offline)
    table = rows(offline)
    assert table.num_rows == 11
    assert table["device"].to_pylist()[5:] == list("abcdef")
    assert table["label"].to_pylist()[5:] == [0, 1, 0, 1, 1, 0]
    assert rows(offline, chunk_rows=2).equals(table)


def test_events_of_a_later_file_that_reach_back_are_put_in_order(tmp_path: Path) -> None:
    offline = small(tmp_path)
    late = {"user_id": ["u2", "u2"], "item_id": ["i1", "i2"], "event_timestamp": [at(1), at(0.5)], "label": [1, 1]}
    offline.add("events", late | {"device": ["second of 1h", "half past"]})
    released(offline)
    assert rows(offline)["device"].to_pylist() == ["phone", "half past", None, "tv", "second of 1h", "tv", ""]


def test_nothing_from_after_the_event_leaks_in(tmp_path: Path) -> None:
    """A future value, a tie with the event, values that hold from in between; and keys "1"+"11" and "11"+"1"."""
    spec = spec_of(
        [categorical("mood", "user"), categorical("price", "item")],
        user={"join_key": "user_id", "source": "users", "timestamp": {"column": "t"}},
        item={"join_key": "item_id", "source": "items", "timestamp": {"column": "t"}},
    )
    offline = Offline(Workspace.at(tmp_path), spec)
    moods = {"user_id": ["1", "1", "1", "11"], "mood": ["first", "at five", "future", "eleven"]}
    times = [at(1), at(5), at(9), at(1)]
    offline.add("user", moods | {"event_timestamp": times, "created_timestamp": times})
    prices = {"item_id": ["11", "1"], "price": ["cheap", "dear"]}
    offline.add("item", prices | {"event_timestamp": [at(1), at(4)], "created_timestamp": [at(1), at(4)]})
    events = [
        ("1", "11", 0),
        ("1", "11", 1),
        ("1", "1", 4),
        ("1", "11", 5),
        ("11", "1", 5),
        ("1", "1", 8.999999),
        ("1", "1", 9),
    ]
    users, items, hours = zip(*events, strict=True)
    when = [at(hour) for hour in hours]
    when[2] -= timedelta(microseconds=1)
    offline.add("events", {"user_id": users, "item_id": items, "event_timestamp": when, "label": [0] * 7})
    table = rows(released(offline))
    assert table["mood"].to_pylist() == [None, "first", "first", "at five", "eleven", "at five", "future"]
    assert table["price"].to_pylist() == [None, "cheap", None, "cheap", "dear", "dear", "dear"]


def corrected(tmp_path: Path, *, created: bool) -> list[str]:
    """What events at 2, 6 and 7 o'clock see of a value of 1 o'clock that was corrected at 6."""
    user = {"join_key": "user_id", "source": "users", "timestamp": {"column": "t"}}
    spec = spec_of(
        [categorical("mood", "user"), categorical("item_id", "item")],
        user=user | ({"created": {"column": "c"}} if created else {}),
    )
    offline = Offline(Workspace.at(tmp_path), spec)
    mood = {"user_id": ["u1"], "event_timestamp": [at(1)]}
    offline.add("user", mood | {"mood": ["as written first"], "created_timestamp": [at(1)]})
    offline.add("user", mood | {"mood": ["corrected"], "created_timestamp": [at(6)]})
    times = {"event_timestamp": [at(2), at(6), at(7)], "label": [0, 1, 1]}
    offline.add("events", {"user_id": ["u1"] * 3, "item_id": ["i1"] * 3} | times)
    table = rows(released(offline))
    assert table["semantics_version"].to_pylist() == ["v1"] * 3  # a backdated release is not cut off
    return table["mood"].to_pylist()


def test_a_late_correction_is_seen_from_its_creation_on(tmp_path: Path) -> None:
    assert corrected(tmp_path, created=True) == ["as written first", "corrected", "corrected"]


def test_without_creation_times_in_the_spec_the_last_written_row_holds(tmp_path: Path) -> None:
    assert corrected(tmp_path, created=False) == ["corrected", "corrected", "corrected"]


def test_two_releases_over_time_give_each_row_its_version(tmp_path: Path) -> None:
    offline = released(small(tmp_path))
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v2", seed=2))
    assert store.release(offline.workspace, "small", "v2", effective_from=at(1)) == at(1)
    assert rows(offline)["semantics_version"].to_pylist() == ["v1", "v2", "v2", "v2", "v2"]


def test_a_second_release_without_a_moment_takes_over_all_rows(tmp_path: Path) -> None:
    offline = released(small(tmp_path))
    store.write_field_vectors(offline.workspace, vectors_for(offline.spec, "v2", seed=2))
    store.release(offline.workspace, "small", "v2")
    assert rows(offline)["semantics_version"].to_pylist() == ["v2"] * 5


def test_rows_before_the_first_release_are_refused(tmp_path: Path) -> None:
    offline = released(small(tmp_path), effective_from=at(2))
    with pytest.raises(
        NotReadyError, match=r"3 of 5 events of 'small' lie before the first release, the earliest at 2024-01-02T00"
    ):
        rows(offline)
    assert "semantics_version" not in rows(offline, with_release=False).column_names


def test_without_any_release_encode_comes_first(tmp_path: Path) -> None:
    offline = small(tmp_path)
    store.apply(offline.workspace)
    with pytest.raises(NotReadyError, match=r"'small' has no release of field vectors.*run 'llactr encode' first"):
        rows(offline)
    assert rows(offline, with_release=False).num_rows == 5


def test_an_event_without_a_user_has_no_features_of_one(tmp_path: Path) -> None:
    offline = small(tmp_path)
    event = {"user_id": [None, "u1"], "item_id": ["i1", None], "event_timestamp": [at(7)] * 2, "label": [1, 0]}
    offline.add("events", event | {"device": ["x", "y"]})
    table = rows(released(offline))
    assert table["user_id"].to_pylist()[5:] == [None, "u1"]
    assert table["age"].to_pylist()[5:] == [None, 30.0]
    assert table["genres"].to_pylist()[5:] == ["a|b", None]


def test_one_entity_is_enough(tmp_path: Path) -> None:
    spec = spec_of([categorical("user_id", "user"), categorical("device", "context")])
    spec = spec.model_copy(update={"entities": {"user": spec.entities["user"]}})
    offline = Offline(Workspace.at(tmp_path), spec)
    event = {"user_id": ["u1"], "event_timestamp": [at(0)], "label": [1], "device": ["tv"]}
    offline.add("events", event)
    table = rows(released(offline))
    assert table.to_pylist() == [
        event | {"user_id": "u1", "event_timestamp": at(0), "label": 1.0, "device": "tv", "semantics_version": "v1"}
    ]
    store.materialize(offline.workspace)
    online = store.OnlineReader(offline.workspace, spec).features(table)
    assert online.equals(table.select(["user_id", "event_timestamp", "device"]))


@pytest.mark.parametrize(
    ("fault", "found"),
    [(lambda table: table.slice(1), "4 rows"), (lambda table: pa.concat_tables([table, table.slice(0, 1)]), "6 rows")],
    ids=["lost", "doubled"],
)
def test_a_store_that_loses_or_doubles_rows_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Any, found: str
) -> None:
    offline = released(small(tmp_path))
    stock = FeatureStore.get_historical_features

    def faulty(*given: Any, **more: Any) -> SimpleNamespace:
        return SimpleNamespace(to_arrow=lambda: fault(stock(*given, **more).to_arrow()))

    monkeypatch.setattr(FeatureStore, "get_historical_features", faulty)
    with pytest.raises(StoreError, match=rf"gave {found} \(. distinct\) for 5 events, expected each exactly once"):
        rows(offline)


def test_before_apply_the_message_says_so(tmp_path: Path) -> None:
    offline = small(tmp_path)
    with pytest.raises(NotReadyError, match=r"has no feature registry yet: run 'llactr apply'"):
        rows(offline)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotReadyError, match=r"events: run 'llactr ingest' first"):
        store.training_rows(Workspace.at(tmp_path / "empty"), offline.spec)


def test_a_damaged_events_file_is_named(tmp_path: Path) -> None:
    offline = released(small(tmp_path))
    path = next(offline.workspace.offline_table("small", "events").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{path.name} cannot be read.*run 'llactr ingest --force'"):
        rows(offline)


def test_a_damaged_feature_file_is_a_store_error(tmp_path: Path) -> None:
    offline = released(small(tmp_path))
    path = next(offline.workspace.offline_table("small", "user").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"failed while joining features to events"):
        rows(offline)


NASTY = [
    "Watch time (min)", "select", "rating_y", "a__b", 'quo"te', "it's", "漢字", "rn", "entity_row_id", "order by 1; --",
    "event_expire_timestamp", "field", "vector", "%s {x} $1", "dataset name", "back\\slash", "x@v2",
]  # fmt: skip


def test_any_name_that_a_spec_allows_goes_through_the_store(tmp_path: Path, store_config: Path) -> None:
    spec = spec_of(
        [*(categorical(name, "user") for name in NASTY), categorical("of the item_y", "item")],
        name="na-sty",
        user={"join_key": 'who "is" it_y', "source": "users"},
        item={"join_key": "from", "source": "items"},
    )
    offline = Offline(Workspace.at(tmp_path), spec)
    before = {"event_timestamp": [at(-24)], "created_timestamp": [at(-24)]}
    offline.add("user", {'who "is" it_y': ["u1"]} | {name: [f"value of {name}"] for name in NASTY} | before)
    offline.add("item", {"from": ["i1"], "of the item_y": ["value"]} | before)
    keys = {'who "is" it_y': ["u1", "u2"], "from": ["i1", "i1"]}
    offline.add("events", keys | {"event_timestamp": [at(0), at(1)], "label": [0, 1]})
    store.write_field_vectors(offline.workspace, vectors_for(spec, "v1"))
    store.release(offline.workspace, "na-sty", "v1")
    store.apply(offline.workspace, config=store_config)
    table = rows(offline, config=store_config)
    for name in NASTY:
        assert table[name].to_pylist() == [f"value of {name}", None]
    assert table["of the item_y"].to_pylist() == ["value", "value"]
    store.materialize(offline.workspace, config=store_config)
    reader = store.OnlineReader(offline.workspace, spec, config=store_config)
    online = reader.features(table.select([*keys, "event_timestamp"]))
    assert online.equals(table.select(online.column_names))
    assert reader.field_vectors("v1").fields == spec.field_names


def test_several_datasets_lie_side_by_side(tmp_path: Path) -> None:
    one = small(tmp_path)
    two = Offline(Workspace.at(tmp_path), spec_of(FIELDS, name="other-set"))
    before = {"event_timestamp": [at(-24)], "created_timestamp": [at(-24)]}
    two.add("user", {"user_id": ["u1"], "age": [1.0], "occupation": ["other"], "joined": [None]} | before)
    two.add("item", {"item_id": ["i1"], "title": ["other"], "genres": ["z"]} | before)
    event = {"user_id": ["u1"], "item_id": ["i1"], "event_timestamp": [at(1)], "label": [1], "device": ["tv"]}
    two.add("events", event)
    released(one, "v1")
    released(two, "w1")
    assert rows(one)["age"].to_pylist() == [30.0, 41.5, 30.0, None, None]
    assert rows(two)["age"].to_pylist() == [1.0]
    assert rows(two)["semantics_version"].to_pylist() == ["w1"]
    assert store.current_release(one.workspace, "small") == "v1"


def test_a_feature_of_long_ago_still_holds(tmp_path: Path) -> None:
    offline = small(tmp_path)
    late = {
        "user_id": ["u1"],
        "item_id": ["i1"],
        "event_timestamp": [at(24 * 365 * 100)],
        "label": [1],
        "device": ["x"],
    }
    offline.add("events", late)
    assert rows(released(offline))["age"].to_pylist()[-1] == 30.0
    assert timedelta(days=365 * 100) < FOREVER
    assert rows(offline)["event_timestamp"].type == TIMESTAMP
