"""`llactr skew` on a bundle with history: silent where online is what the events say, loud where an event is amiss."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.errors import InputError, NotReadyError
from llactr.history import key_hashes
from llactr.jobs import skew
from llactr.jobs.cli.console import Terminal
from llactr.sampling import in_share
from llactr.steps import Job
from llactr.store import apply, events_table
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_workspace import DATASET, EVENTS, START, TIMESTAMP, spec_of, write_table

LATER = START + timedelta(minutes=17 * (EVENTS + 10))
ITEMS = [str(i) for i in range(0, 60, 3)]
LAST = 20


@pytest.fixture
def job(past_workspace: Workspace) -> Job:
    apply(past_workspace)
    return Job(past_workspace, Terminal())


def rank(asgi: Asgi, user: str, minutes: float = 30) -> None:
    body = {"user": user, "items": ITEMS, "timestamp": (LATER + timedelta(minutes=minutes)).isoformat()}
    assert asgi.ask("POST", "/v1/rank", body).status == 200


def push(asgi: Asgi, user: str, item: str, minutes: float) -> None:
    body = {"user": user, "item": item, "outcome": 1, "timestamp": (LATER + timedelta(minutes=minutes)).isoformat()}
    assert asgi.ask("POST", "/v1/events", body).status == 200


def logged(workspace: Workspace) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in workspace.offline_table(DATASET, "served").glob("*")])


def past_of(workspace: Workspace, owner: str, key: str) -> list[dict[str, Any]]:
    """The dataset's events of a key, each once, oldest first."""
    table = events_table(workspace, spec_of()).to_pylist()
    return sorted((e for e in table if e[f"{owner}_id"] == key), key=lambda event: event["event_timestamp"])


def offline_events(workspace: Workspace, *events: tuple[str, str, datetime, float]) -> None:
    """Events that only the dataset gets."""
    users, items, times, labels = zip(*events, strict=True)
    columns = {
        "user_id": pa.array(users), "item_id": pa.array(items), "event_timestamp": pa.array(times, TIMESTAMP),
        "label": pa.array(labels, pa.float32()), "Device (type)": pa.array(["tv"] * len(users)),
        "seconds": pa.array([1.0] * len(users)),
    }  # fmt: skip
    write_table(workspace, DATASET, "events", columns, part=7)


def test_an_unchanged_store_has_no_skew_and_the_log_holds_what_was_read(job: Job) -> None:
    with started(job.workspace, log_rate=1.0) as asgi:
        for user in ("u1", "u7", "nobody"):
            rank(asgi, user)
        rows = [{"user": u, "item": "3", "timestamp": LATER.isoformat()} for u in ("u1", "u2", "u1")]
        assert asgi.ask("POST", "/v1/predict", {"rows": rows}).status == 200
    found = skew.run(job, DATASET)
    assert found["holds"]
    users, items = found["histories"]["user"], found["histories"]["item"]
    assert (users["compared"], users["equal"], items["compared"], items["equal"]) == (5, 5, 63, 63)
    assert users["events"] == {"missing": 0, "extra": 0}
    assert users["length"] == {"served": 4 * LAST / 5, "offline": 4 * LAST / 5}
    assert {"user_count", "taste_similarity_item_item"} <= set(found["fields"])
    assert found["scores"][0]["max_difference"] <= 1e-6
    assert "past of users" in skew.describe(found)

    table = logged(job.workspace)
    lists = [row for row in table.to_pylist() if row["served_past"] is not None]
    assert [row["user_id"] for row in lists] == ["u1", "u7", "nobody", "u1", "u2"], "one list a user and moment"
    mine = past_of(job.workspace, "user", "u1")
    hashes = key_hashes([event["item_id"] for event in mine[-LAST:]]).tolist()
    assert [(event["item"], event["time"], event["clicked"]) for event in lists[0]["served_past"]] == [
        (hashed, event["event_timestamp"], event["label"] == 1)
        for hashed, event in zip(hashes, mine[-LAST:], strict=True)
    ]
    assert lists[2]["served_past"] == []
    assert (lists[0]["served_user_events"], lists[0]["served_user_clicks"]) == (
        len(mine),
        sum(e["label"] for e in mine),
    )
    for row in table.slice(0, 20).to_pylist():
        its = past_of(job.workspace, "item", row["item_id"])
        assert (row["served_item_events"], row["served_item_clicks"]) == (len(its), sum(e["label"] for e in its))


def test_events_that_were_pushed_and_are_not_offline_are_extra(job: Job) -> None:
    with started(job.workspace, log_rate=1.0) as asgi:
        push(asgi, "u1", "3", 0)
        push(asgi, "visitor", "6", 1)
        for user in ("u1", "u2", "visitor"):
            rank(asgi, user)
    found = skew.run(job, DATASET)
    assert not found["holds"]
    users, items = found["histories"]["user"], found["histories"]["item"]
    assert [users[name] for name in ("compared", "equal", "different", "missing", "extra")] == [3, 1, 1, 0, 1]
    # u1's list is full: the event came in at its end and pushed the oldest one out, 2 edits; the visitor's came in, 1.
    assert users["events"] == {"missing": 1, "extra": 2}
    assert users["edit_distance"] == {"mean": 1.0, "max": 2}
    assert users["length"] == {"served": (LAST + LAST + 1) / 3, "offline": (LAST + LAST + 0) / 3}
    known = {item: bool(past_of(job.workspace, "item", item)) for item in ("3", "6")}
    assert items["mismatches"] == 6  # items 3 and 6 in three rankings
    assert items["extra"] == 3 * list(known.values()).count(False)
    assert users["examples"][1] == {"key": "visitor", "served": "1 events, 1 clicks", "offline": "0 events, 0 clicks"}
    counts = found["fields"]["user_count"]
    assert [counts[name] for name in ("equal", "different", "missing", "extra")] == [20, 40, 0, 0]
    assert found["scores"][0]["max_difference"] > 1e-4
    said = skew.describe(found)
    assert "2 were served and are not in the dataset" in said
    assert "come into the dataset with 'llactr push'" in said


def test_events_that_never_reached_the_store_are_missing(job: Job) -> None:
    third = past_of(job.workspace, "user", "u2")[-3]
    offline_events(
        job.workspace,
        ("u2", "9", third["event_timestamp"] + timedelta(seconds=1), 1.0),  # between the third and the second last
        ("newcomer", "12", LATER, 0.0),
        ("u3", "9", LATER + timedelta(hours=1), 1.0),  # after the request
    )
    with started(job.workspace, log_rate=1.0) as asgi:
        for user in ("u2", "u3", "newcomer"):
            rank(asgi, user)
    users = skew.run(job, DATASET)["histories"]["user"]
    assert [users[name] for name in ("compared", "equal", "different", "missing", "extra")] == [3, 1, 1, 1, 0]
    assert users["events"] == {"missing": 2, "extra": 1}  # u2's oldest served one is out offline
    assert users["edit_distance"] == {"mean": 1.0, "max": 2}


def test_what_was_folded_in_after_the_requests_moment_is_extra(job: Job) -> None:
    """States go forward only: a request that says an earlier moment sees what came since."""
    before = past_of(job.workspace, "user", "u5")[-2]["event_timestamp"]  # folded in when the newest one came
    with started(job.workspace, log_rate=1.0) as asgi:
        body = {"user": "u5", "items": ["3"], "timestamp": before.isoformat()}
        assert asgi.ask("POST", "/v1/rank", body).status == 200
    users = skew.run(job, DATASET)["histories"]["user"]
    assert (users["different"], users["events"]) == (1, {"missing": 1, "extra": 1})


def test_a_share_holds_all_requests_of_its_users(job: Job) -> None:
    people = [f"u{n}" for n in range(12)]
    with started(job.workspace, log_rate=0.7) as asgi:
        for user in (*people, *people):
            rank(asgi, user)
    kept = [user for user, chosen in zip(people, in_share(people, 0.7), strict=True) if chosen]
    table = logged(job.workspace)
    assert sorted(table["user_id"].to_pylist()) == sorted(kept * 40)
    some = [user for user, chosen in zip(people, in_share(people, 0.4), strict=True) if chosen]
    assert 0 < len(some) < len(kept)
    found = skew.run(job, DATASET, share=0.4)
    assert (found["rows"], found["requests"], found["histories"]["user"]["compared"]) == (
        40 * len(some), 2 * len(some), 2 * len(some)
    )  # fmt: skip
    assert "of 40.0% of the users" in skew.describe(found)
    with pytest.raises(InputError, match="give a share of the users above 0 and up to 1"):
        skew.run(job, DATASET, share=0)
    with pytest.raises(
        NotReadyError, match=r"none of the [0-9,]+ logged rows is of the share 1e-09: give a larger one"
    ):
        skew.run(job, DATASET, share=1e-9)


def test_rows_logged_before_pasts_were_told_are_compared_without(job: Job) -> None:
    with started(job.workspace, log_rate=1.0) as asgi:
        rank(asgi, "u1")
    (path,) = job.workspace.offline_table(DATASET, "served").glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.select([name for name in table.schema.names if not _of_history(name)]), path)
    found = skew.run(job, DATASET)
    assert found["histories"] is None
    assert found["holds"]
    assert np.isfinite(found["scores"][0]["max_difference"])


def _of_history(name: str) -> bool:
    return name in {"served_history", "served_past"} or name.endswith(("_events", "_clicks"))
