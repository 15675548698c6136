"""Both scores of a row, joined with the outcome that came later, worked out by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.errors import DataError
from llactr.jobs.monitor import describe_beside
from llactr.lifecycle.monitoring.shadowed import Shadowed, shadowed
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace
from tests import specs

START = datetime(2024, 5, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def spec() -> DatasetSpec:
    fields = [
        {"name": "user_id", "description": "who", "owner": "user", "kind": "categorical"},
        {"name": "item_id", "description": "what", "owner": "item", "kind": "categorical"},
    ]
    return specs.spec_of(
        *fields, keys={"user": "user_id", "item": "item_id"}, tables={"user": "users", "item": "items"}
    )


def write(workspace: Workspace, spec: DatasetSpec, table: str, name: str, columns: dict[str, Any]) -> None:
    path = workspace.offline_table(spec.name, table) / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def served(workspace: Workspace, spec: DatasetSpec, rows: list[tuple[str, str, float, float, float | None]]) -> None:
    """Rows of (user, item, hours since the start, score, second score)."""
    users, items, hours, first, second = zip(*rows, strict=True)
    write(workspace, spec, "served", f"{len(rows)}", {
        "user_id": pa.array(users), "item_id": pa.array(items),
        "event_timestamp": pa.array([START + timedelta(hours=hour) for hour in hours], TIME),
        "served_bundle": ["one"] * len(rows), "served_score": pa.array(first, pa.float32()),
        "shadow_bundle": pa.array([None if score is None else "two" for score in second], pa.string()),
        "shadow_score": pa.array(second, pa.float32()),
    })  # fmt: skip


def happened(workspace: Workspace, spec: DatasetSpec, events: list[tuple[str, str, float, int]]) -> None:
    """Events of (user, item, hours since the start, label)."""
    users, items, hours, labels = zip(*events, strict=True)
    write(workspace, spec, "events", "part-00000", {
        "user_id": pa.array(users), "item_id": pa.array(items),
        "event_timestamp": pa.array([START + timedelta(hours=hour) for hour in hours], TIME),
        "label": pa.array(labels, pa.float32()),
    })  # fmt: skip


def found(workspace: Workspace, spec: DatasetSpec) -> Shadowed:
    (one,) = shadowed(workspace, spec, "one")
    return one


def test_both_are_measured_on_the_rows_that_had_an_outcome(tmp_path: Path, spec: DatasetSpec) -> None:
    workspace = Workspace.at(tmp_path)
    served(workspace, spec, [
        ("u1", "a", 1, 0.9, 0.2),  # clicked
        ("u1", "b", 1, 0.8, 0.3),  # not
        ("u2", "a", 1, 0.3, 0.9),  # clicked
        ("u2", "b", 1, 0.4, 0.1),  # not
        ("u3", "a", 1, 0.5, 0.5),  # no outcome
        ("u4", "a", 1, 0.6, None),  # no second score
    ])  # fmt: skip
    happened(workspace, spec, [
        ("u1", "a", 0, 0),  # before it was served: not its outcome
        ("u1", "b", 1, 0), ("u2", "b", 1.5, 0),
        ("u1", "a", 2, 1), ("u1", "a", 3, 0),  # the first counts
        ("u2", "a", 24, 1), ("u4", "a", 2, 1),
        ("u3", "a", 25.5, 1),  # more than a day later
    ])  # fmt: skip
    one = found(workspace, spec)
    assert (one.bundle, one.shadow, one.rows, one.with_outcome, one.clicks) == ("one", "two", 5, 4, 2)
    # Pairs of a click and none: (.9,.8) (.9,.4) right, (.3,.8) (.3,.4) wrong; (.2,.3) wrong, (.2,.1) (.9,.3) (.9,.1) right.
    assert (one.auc, one.shadow_auc) == (0.5, 0.75)
    wanted = -(math.log(0.9) + math.log(0.2) + math.log(0.3) + math.log(0.6)) / 4
    assert one.logloss == pytest.approx(wanted, rel=1e-6)
    wanted = -(math.log(0.2) + math.log(0.7) + math.log(0.9) + math.log(0.9)) / 4
    assert one.shadow_logloss == pytest.approx(wanted, rel=1e-6)
    assert one.mean_difference == pytest.approx((-0.7 - 0.5 + 0.6 - 0.3 + 0) / 5, rel=1e-6)
    assert one.gain is not None
    assert -1 <= one.gain[0] <= 0.25 <= one.gain[1] <= 1
    assert "AUC 0.7500 against 0.5000 (+0.2500 [" in describe_beside(one)


def test_a_request_that_is_served_twice_has_its_outcome_once(tmp_path: Path, spec: DatasetSpec) -> None:
    workspace = Workspace.at(tmp_path)
    served(workspace, spec, [("u1", "a", 1, 0.9, 0.2), ("u1", "a", 2, 0.7, 0.4)])
    happened(workspace, spec, [("u1", "a", 3, 1)])
    one = found(workspace, spec)
    assert (one.rows, one.with_outcome, one.clicks, one.auc, one.gain) == (2, 1, 1, None, None)
    assert one.logloss == pytest.approx(-math.log(0.7), rel=1e-6), "of the last one before it"
    assert "too few outcomes" in describe_beside(one)


def test_a_better_one_is_seen_to_be_better(tmp_path: Path, spec: DatasetSpec) -> None:
    """300 users with a click and none: the second bundle is always right, the first one half of the time."""
    workspace = Workspace.at(tmp_path)
    rows, events = [], []
    for number in range(300):
        good = 0.6 if number % 2 else 0.4
        rows += [(f"u{number}", "a", 1.0, good, 0.8), (f"u{number}", "b", 1.0, 0.5, 0.2)]
        events += [(f"u{number}", "a", 2.0, 1), (f"u{number}", "b", 2.0, 0)]
    served(workspace, spec, rows)
    happened(workspace, spec, events)
    one = found(workspace, spec)
    assert (one.auc, one.shadow_auc) == (0.5, 1.0)
    assert one.gain is not None
    assert 0.4 < one.gain[0] < 0.5 < one.gain[1] < 0.6
    item_first = spec.model_copy(update={"entities": dict(reversed(spec.entities.items()))})
    assert found(workspace, item_first).gain == one.gain, "over users, whatever the spec names first"


def test_logs_of_before_and_of_services_without_a_second_bundle_say_nothing(tmp_path: Path, spec: DatasetSpec) -> None:
    workspace = Workspace.at(tmp_path)
    assert shadowed(workspace, spec, "one") == ()
    write(workspace, spec, "served", "old", {"user_id": ["u1"], "served_bundle": ["one"]})
    served(workspace, spec, [("u1", "a", 1, 0.9, None)])
    happened(workspace, spec, [("u1", "a", 3, 1)])
    assert shadowed(workspace, spec, "one") == ()
    (workspace.offline_table(spec.name, "served") / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"bad.parquet cannot be read"):
        shadowed(workspace, spec, "one")
