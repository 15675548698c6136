"""Distances worked out by hand; quiet on an unchanged stream, loud on each of seven changes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from llactr.lifecycle.monitoring.live import LiveWindow
from llactr.lifecycle.monitoring.profile import Profile, build_profile, field_counts
from llactr.lifecycle.monitoring.watch import freshness
from llactr.lifecycle.monitoring.window import Thresholds, Window, compare, jensen_shannon, psi
from llactr.spec import DatasetSpec
from llactr.transforms import NULL, OOV, PAD, FieldLayout
from llactr.workspace import Workspace
from tests import specs

SIZES = {"user_id": 203, "age": 13, "item_id": 103, "genres": 8, "price": 11, "hour": 27}
SLOTS = {"genres": 2}


@pytest.fixture(scope="module")
def spec() -> DatasetSpec:
    fields = [
        {"name": "user_id", "description": "who", "owner": "user", "kind": "categorical"},
        {"name": "age", "description": "years", "owner": "user", "kind": "numeric"},
        {"name": "item_id", "description": "what", "owner": "item", "kind": "categorical"},
        {"name": "genres", "description": "kinds", "owner": "item", "kind": "multi_valued", "separator": "|", "max_values": 2},
        {"name": "price", "description": "costs", "owner": "item", "kind": "numeric"},
        {"name": "hour", "description": "when", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    ]  # fmt: skip
    return specs.spec_of(
        *fields, keys={"user": "user_id", "item": "item_id"}, tables={"user": "users", "item": "items"}
    )


LAYOUT = FieldLayout(tuple(SIZES), tuple(SIZES.values()), tuple(SLOTS.get(name, 1) for name in SIZES))
COLUMN = {"user_id": 0, "age": 1, "item_id": 2, "genres": 3, "price": 5, "hour": 6}


def rows(count: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Ids of a made-up world, scores, and labels that these foretell."""
    random = np.random.default_rng(seed)
    popular = random.zipf(1.3, (count, 2)) % 100 + 3
    columns = [
        np.where(random.random(count) < 0.1, OOV, random.integers(3, 203, count)),
        np.where(random.random(count) < 0.05, NULL, 3 + np.minimum(9, random.poisson(3, count))),
        popular[:, 0],
        3 + popular[:, 1] % 5,
        np.where(random.random(count) < 0.5, PAD, 3 + random.integers(0, 5, count)),
        3 + np.minimum(7, random.poisson(2, count)),
        3 + random.integers(0, 24, count),
    ]
    scores = random.beta(2, 3, count).astype(np.float32)
    return np.stack(columns, 1).astype(np.int32), scores, (random.random(count) < scores).astype(np.float32)


@pytest.fixture(scope="module")
def profile(spec: DatasetSpec) -> Profile:
    ids, scores, label = rows(20_000, 0)
    return build_profile(spec, LAYOUT, ids, label, scores)


def test_distances_by_hand() -> None:
    # Shares 1/2, 1/2 against 3/4, 1/4; with half a row added to each bin.
    p, q = np.array([100.5, 100.5]) / 201, np.array([150.5, 50.5]) / 201
    assert psi([100, 100], [150, 50]) == pytest.approx(sum((q - p) * np.log(q / p)), rel=1e-12)
    assert psi([7, 9], [7, 9]) == 0
    # All in one bin against all in the other: nothing in common.
    assert jensen_shannon([5, 0], [0, 9]) == 1
    assert jensen_shannon([5, 5], [50, 50]) == 0
    middle = [5 / 8, 3 / 8]
    halves = [sum(a * math.log2(a / m) for a, m in zip(one, middle, strict=True)) for one in ([0.5, 0.5], [0.75, 0.25])]
    assert jensen_shannon([2, 2], [3, 1]) == pytest.approx(math.sqrt(sum(halves) / 2))


def test_a_field_is_counted_by_bins_others_unknown_and_none(spec: DatasetSpec) -> None:
    ids = np.array([[3, 3, 3, 3, 4, 3, 3], [4, NULL, 3, 3, PAD, 3, 3], [OOV, 5, 4, NULL, PAD, 4, 3]], np.int32)
    made = build_profile(spec, LAYOUT, ids, np.array([1, 0, 0], np.float32), None)
    of = {one.name: one for one in made.fields}
    assert (of["user_id"].bins, of["user_id"].counts) == ((3, 4), (1, 1, 0, 1, 0))
    assert (of["genres"].bins, of["genres"].counts) == ((3, 4), (2, 1, 0, 0, 1)), "padding is no value"
    assert of["age"].null_share == pytest.approx(1 / 3)
    assert of["user_id"].unknown_share == pytest.approx(1 / 3)
    other = np.array([[9, 3, 3, 9, 9, 3, 3]], np.int32)[:, : ids.shape[1]]
    other[0, 3:5] = 7
    assert field_counts(of["genres"], LAYOUT, 3, other).tolist() == [0, 0, 2, 0, 0]
    assert made.label_rate == pytest.approx(1 / 3)
    assert made.cold == {"user": pytest.approx(1 / 3), "item": 0.0}


def test_an_unchanged_stream_is_quiet(spec: DatasetSpec, profile: Profile) -> None:
    ids, scores, labels = rows(200_000, 1)
    loud = []
    for start in range(0, 200_000, 1000):
        part = slice(start, start + 1000)
        found = compare(profile, spec, LAYOUT, Window(ids[part], scores[part], labels[part]))
        loud += [one.sentence for one in found if one.is_alarm]
    assert loud == []


def changed(ids: NDArray[np.int32], labels: NDArray[np.float32], what: str) -> str:
    """Does one thing to rows; returns what should be named."""
    random, count = np.random.default_rng(5), len(ids)
    if what == "null":
        ids[:, COLUMN["age"]] = NULL
        return "age"
    if what == "shifted":
        ids[:, COLUMN["age"]] = np.minimum(ids[:, COLUMN["age"]] + 2, 12)
        return "age"
    if what == "swapped":
        ids[:, COLUMN["age"]], ids[:, COLUMN["price"]] = (
            ids[:, COLUMN["price"]].copy(),
            np.minimum(ids[:, COLUMN["age"]], 10),
        )
        return "price"
    if what == "units":
        ids[:, COLUMN["price"]] = 10
        return "price"
    if what == "feed":
        new = random.random(count) < 0.2
        ids[new, COLUMN["item_id"]] = OOV
        ids[np.ix_(new, [3, 5])] = NULL
        return "item_id"
    if what == "labels":
        labels[random.random(count) < 0.5] = 0
        return ""
    ids[random.random(count) < 0.5, COLUMN["item_id"]] = 40
    return "item_id"


@pytest.mark.parametrize("what", ["null", "shifted", "swapped", "units", "feed", "labels", "one value"])
def test_each_of_seven_changes_is_found_within_a_thousand_rows(spec: DatasetSpec, profile: Profile, what: str) -> None:
    for seed in range(5):
        ids, scores, labels = rows(1000, 10 + seed)
        named = changed(ids, labels, what)
        alarms = [one for one in compare(profile, spec, LAYOUT, Window(ids, scores, labels)) if one.is_alarm]
        assert named in {one.of for one in alarms}, what


def test_rows_of_one_request_count_once_for_its_user(spec: DatasetSpec, profile: Profile) -> None:
    """Five requests of 200 candidates each: 1,000 rows, of which users say no more than five."""
    ids, scores, _ = rows(1000, 3)
    requests = np.repeat(np.arange(5), 200)
    for place in (0, 1, 6):
        ids[:, place] = ids[requests * 200, place]
    findings = compare(profile, spec, LAYOUT, Window(ids, scores, requests=requests))
    assert [one.sentence for one in findings if one.is_alarm and one.of in {"user_id", "age", "hour", "user"}] == []


def test_a_rare_label_takes_a_larger_window(spec: DatasetSpec) -> None:
    ids, scores, _ = rows(100_000, 7)
    random = np.random.default_rng(8)
    rare = build_profile(spec, LAYOUT, ids, (random.random(100_000) < 0.01).astype(np.float32), scores)
    for count, found in ((1000, False), (20_000, True)):
        labels = (random.random(count) < 0.005).astype(np.float32)
        findings = compare(rare, spec, LAYOUT, Window(ids[:count], None, labels))
        assert [one.is_alarm for one in findings if one.what == "label rate"] == [found], count


def test_a_few_rows_are_not_judged(spec: DatasetSpec, profile: Profile) -> None:
    ids, scores, labels = rows(100, 4)
    changed(ids, labels, "null")
    assert not any(one.is_alarm for one in compare(profile, spec, LAYOUT, Window(ids, scores, labels)))
    lower = Thresholds(least_rows=50)
    assert any(one.is_alarm for one in compare(profile, spec, LAYOUT, Window(ids, scores, labels), lower))


def test_a_live_window_gathers_requests(spec: DatasetSpec, profile: Profile) -> None:
    ids, scores, _ = rows(300, 6)
    live = LiveWindow(profile, spec, LAYOUT, rows=250)
    assert live.add(ids[:200], scores[:200]) is None
    window = live.add(ids[200:], scores[200:])
    assert window is not None
    assert window.requests is not None
    assert np.bincount(window.requests).tolist() == [200, 100]
    assert live.add(ids[:1], scores[:1]) is None
    assert live.judge(window)[0].what


def test_a_table_that_stands_still_is_stale(tmp_path: Path) -> None:
    workspace, start = Workspace.at(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=6 * n) for n in range(20)]
    for table, some in (("events", times), ("item", times[:10]), ("user", times[:1] * 3)):
        folder = workspace.offline_table("shop", table)
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"event_timestamp": pa.array(some, pa.timestamp("us", "UTC"))}), folder / "a.parquet")
    now = times[-1] + timedelta(hours=1)
    found = {one.table: one for one in freshness(workspace, "shop", now)}
    assert set(found) == {"events", "item"}, "rows that all have one time say nothing"
    assert (found["events"].age_s, found["events"].longest_gap_s, found["events"].is_stale) == (3600, 6 * 3600, False)
    assert (found["item"].age_s, found["item"].is_stale) == (61 * 3600, True)
