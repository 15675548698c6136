"""What the answer says of a person's past, and of each field's part in a score."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llactr.ctr import Bundle
from llactr.ctr.model import predict
from llactr.history import key_hashes
from llactr.serving.explaining import leave_out
from llactr.serving.recent import ItemNames
from llactr.store import events_table
from llactr.transforms import NULL, PAD, FieldLayout
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_workspace import EVENTS, START, spec_of

LATER = START + timedelta(minutes=17 * (EVENTS + 10))
ROW = {"user": "u1", "item": "3", "timestamp": LATER.isoformat()}


@pytest.fixture(scope="module")
def past_workspace(built_history: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One copy for all tests here: what they push is later than what the others ask for."""
    root = tmp_path_factory.mktemp("explaining") / "past-ws"
    shutil.copytree(built_history.root, root)
    return Workspace.at(root)


@pytest.fixture(scope="module")
def asgi(past_workspace: Workspace) -> Iterator[Asgi]:
    with started(past_workspace) as asgi:
        yield asgi


def test_each_row_but_the_first_lacks_another_field() -> None:
    layout = FieldLayout(("a", "b"), (9, 9), (1, 2))
    ids = np.tile(np.array([[5, 6, 7]], np.int32), (5, 1))
    numbers = np.tile(np.array([[0.5, 2.0]], np.float32), (5, 1))
    found, past = leave_out(layout, ids, numbers, [0, 1])
    assert found.tolist() == [[5, 6, 7], [NULL, 6, 7], [5, NULL, PAD], [5, 6, 7], [5, 6, 7]]
    assert past is not None
    assert [[None if math.isnan(one) else one for one in row] for row in past.tolist()] == [
        [0.5, 2], [0.5, 2], [0.5, 2], [None, 2], [0.5, None]
    ]  # fmt: skip
    assert (ids[0].tolist(), ids[1].tolist()) == ([5, 6, 7], [5, 6, 7]), "what was given is as it was"
    assert leave_out(layout, ids[:3], None)[1] is None


def test_parts_are_what_the_bundle_says_without_the_field(asgi: Asgi, past_workspace: Workspace) -> None:
    bundle = Bundle.load(past_workspace.artifact("bundles", "past"))
    body = {"rows": [ROW], "return_ids": True, "return_features": True}
    scored = asgi.ask("POST", "/v1/predict", body).json
    answer = asgi.ask("POST", "/v1/explain", ROW)
    assert answer.status == 200, answer.body
    assert answer.json["score"] == pytest.approx(scored["scores"][0], abs=1e-6)
    assert [part["field"] for part in answer.json["fields"]] == list(bundle.transform.layout.names)
    assert [part["field"] for part in answer.json["history"]] == list(scored["history"])
    ids = np.array(scored["ids"], np.int32)
    numbers = np.array([[np.nan if v[0] is None else v[0] for v in scored["history"].values()]], np.float32)
    layout = bundle.transform.layout

    def without(ids: Any, numbers: Any) -> float:
        return float(predict(bundle.model, bundle.rows(ids, numbers))[0])

    place = layout.names.index("genres")  # three slots
    changed, start = ids.copy(), int(layout.slot_starts[place])
    changed[0, start : start + 3] = [NULL, PAD, PAD]
    part = answer.json["fields"][place]
    assert part["without"] == pytest.approx(without(changed, numbers), abs=1e-6)
    whole = answer.json["score"]
    lost = math.log(whole / (1 - whole)) - math.log(part["without"] / (1 - part["without"]))
    assert part["contribution"] == pytest.approx(lost, abs=1e-9)
    changed = numbers.copy()
    changed[0, 2] = np.nan
    assert answer.json["history"][2]["without"] == pytest.approx(without(ids, changed), abs=1e-6)


def test_a_row_that_is_none_is_refused_and_nothing_is_counted_as_served(asgi: Asgi) -> None:
    before = asgi.metric("llactr_request_rows_count")
    assert asgi.ask("POST", "/v1/explain", ROW).status == 200
    assert asgi.metric("llactr_request_rows_count") == before
    refused = asgi.ask("POST", "/v1/explain", {"user": "u1"})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/item")
    assert asgi.ask("POST", "/v1/explain", {"rows": [ROW]}).status == 422
    assert "/v1/explain" in asgi.ask("GET", "/openapi.json").json["paths"]


def test_without_history_there_is_none_in_the_answers(workspace: Workspace) -> None:
    with started(workspace) as asgi:
        answer = asgi.ask("POST", "/v1/explain", ROW)
        assert answer.status == 200, answer.body
        assert answer.json["history"] is None
        assert len(answer.json["fields"]) == len(asgi.ask("GET", "/v1/model").json["fields"])
        assert asgi.ask("GET", "/v1/model").json["history"] is None
        ranked = asgi.ask("POST", "/v1/rank", {"user": "u1", "items": ["3"], "return_features": True})
        assert "recent" not in ranked.json


def test_unseen_values_are_scored_as_elsewhere(unseen_workspace: Workspace) -> None:
    row = ROW | {"item": "new-1"}
    with started(unseen_workspace) as asgi:
        expected = asgi.ask("POST", "/v1/predict", {"rows": [row]}).json["scores"][0]
        assert asgi.ask("POST", "/v1/explain", row).json["score"] == pytest.approx(expected, abs=1e-6)


def recent(asgi: Asgi, user: str, minutes: float = 0, **more: Any) -> Any:
    moment = (LATER + timedelta(minutes=minutes)).isoformat()
    body = {"user": user, "items": ["3"], "timestamp": moment, "return_features": True} | more
    return asgi.ask("POST", "/v1/rank", body).json.get("recent")


def test_the_last_events_are_those_of_the_dataset_newest_first(asgi: Asgi, past_workspace: Workspace) -> None:
    spec = spec_of()
    table = events_table(past_workspace, spec).to_pylist()
    user, item = spec.entities["user"].join_key, spec.entities["item"].join_key
    mine = [row for row in table if row[user] == "u2"]
    mine.sort(key=lambda row: row["event_timestamp"], reverse=True)
    found = recent(asgi, "u2")
    assert len(found) == min(20, len(mine)), "the definition keeps 20"
    trained = set(Bundle.load(past_workspace.artifact("bundles", "past")).transform.values("item_id"))
    for event, row in zip(found, mine, strict=False):
        assert datetime.fromisoformat(event["timestamp"]) == row["event_timestamp"]
        assert event["item"] == (row[item] if row[item] in trained else None)
        assert event["outcome"] == int(row["label"])
    assert recent(asgi, "nobody") == []
    assert recent(asgi, "u2", return_features=False) is None


def test_pushed_events_come_first_and_only_after_their_time(asgi: Asgi) -> None:
    event = {"user": "u5", "item": "9", "timestamp": LATER.isoformat(), "outcome": 1}
    assert asgi.ask("POST", "/v1/events", event).status == 200
    assert recent(asgi, "u5", 0)[0]["timestamp"] != event["timestamp"].replace("+00:00", "Z")
    newest = recent(asgi, "u5", 1)[0]
    assert (newest["item"], newest["outcome"]) == ("9", 1)
    assert datetime.fromisoformat(newest["timestamp"]) == LATER


def test_names_of_items_are_known_by_training_and_by_ranking(tmp_path: Path) -> None:
    names = ItemNames(lambda: ["a", "b"])
    hashes = key_hashes(["b", "c", "d"])
    assert names.of(hashes, {"c": int(hashes[1]), "e": 5}) == ["b", "c", None]
    assert ItemNames(list).of(hashes, {}) == [None, None, None]
