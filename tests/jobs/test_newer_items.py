"""Dishes that came after training: a model with history reads their texts and categories wherever it is asked.

It is a DIN, which reads a sequence besides all else.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr import Bundle
from llactr.ctr.scoring import RowScorer
from llactr.ctr.training.config import TrainJobConfig
from llactr.datasets.rows import request_table
from llactr.jobs import check, encode, encode_values, ingest, materialize, push, train
from llactr.jobs.cli.console import Terminal
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.spec import HistorySpec
from llactr.steps import Job
from llactr.store.history import stored_newer, write_snapshots
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset
from tests.serving.serving_asgi import Asgi, started

MOMENT = "2023-12-20T12:00:00+00:00"
UNTUNED = ValueSemanticsConfig(tune=False)
DEFAULTS = HistorySpec().model_dump(mode="json", exclude_none=True)["fields"]
SEQUENCE = {"name": "past", "kind": "sequence", "last": 5, "description": "the last dishes"}
NEW = {"d90": "fish|rice", "d91": "leek|beef"}


def asked(dishes: list[str]) -> pa.Table:
    count = len(dishes)
    columns = {"person": ["p3"] * count, "dish": dishes, "device": ["phone"] * count}
    return pa.table({**columns, "event_timestamp": [MOMENT] * count})


class Place:
    """A workspace with a model that reads taste, served where it is asked."""

    def __init__(self, folder: Path) -> None:
        fields = [{**f, **({"value_text": ["tags"]} if f["name"] == "dish" else {})} for f in SPEC["fields"]]
        self.spec = write_dataset(folder, fields=fields, history={"last": 8, "fields": [*DEFAULTS, SEQUENCE]})
        self.folder = folder
        self.job = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True))
        ingest.run(self.job, str(self.spec), data_folder=None)
        encode.run(self.job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
        materialize.apply(self.job)
        encode_values.run(self.job, "tiny", UNTUNED)
        training = {"max_epochs": 4, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02}
        config = TrainJobConfig(backbone="din", arm="history taste", training=training)
        self.bundle = train.run(self.job, "tiny", config).folder
        materialize.apply(self.job)
        materialize.materialize(self.job)
        history = Bundle.load(self.bundle).history
        assert history is not None
        self.definition = history

    def append(self, name: str, table: str, header: list[str], rows: list[Any]) -> None:
        late = self.folder / name
        late.mkdir()
        with (late / table).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        ingest.append(self.job, str(self.spec), data_folder=late)

    def numbers(self, dishes: list[str], *, online: bool) -> np.ndarray:
        open_scorer = RowScorer.online if online else RowScorer.offline
        scorer = open_scorer(self.job.workspace, "tiny", str(self.bundle))
        raw = scorer.source.features(request_table(asked(dishes), scorer.spec))
        return scorer.source.history(self.definition, raw)

    def ranked(self, asgi: Asgi, dishes: list[str]) -> np.ndarray:
        body = {"user": "p3", "items": dishes, "timestamp": MOMENT, "context": {"device": "phone"}}
        answer = asgi.ask("POST", "/v1/rank", body | {"return_features": True}).json
        rows = dict(zip(answer["items"], zip(*answer["history"].values(), strict=True), strict=True))
        return np.array([[np.nan if v is None else v for v in rows[dish]] for dish in dishes], np.float32)

    def pushed(self, name: str, rows: list[tuple[str, str, str]]) -> None:
        file = self.folder / f"{name}.csv"
        with file.open("w", newline="") as written:
            csv.writer(written).writerows([["person", "dish", "event_timestamp", "outcome"], *rows])
        push.run(self.job, "tiny", file=file, url=None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("newer"))


def same_everywhere(place: Place, asgi: Asgi, dishes: list[str]) -> np.ndarray:
    """The numbers of some dishes, which the store, the offline pass and the service agree on to the bit."""
    found = place.numbers(dishes, online=True)
    np.testing.assert_array_equal(place.numbers(dishes, online=False), found)
    np.testing.assert_array_equal(place.ranked(asgi, dishes), found)
    return found


def test_new_dishes_are_told_apart_without_a_new_model(place: Place) -> None:
    """Runs first. A running service, an event before its dish is known, another after it."""
    dishes = ["d90", "d91", "d1"]
    at = place.definition.spec.columns.index("taste_similarity")
    with started(place.job.workspace, anyway=True, catch_up_s=0.05, store_timeout_s=30) as asgi:
        before = same_everywhere(place, asgi, dishes)
        assert np.isnan(before[:2, at]).all(), "nothing is known of them"
        place.pushed("early", [("p3", "d90", "2023-12-10T10:00:00+00:00", "1")])
        early = same_everywhere(place, asgi, dishes)
        assert np.isnan(early[:2, at]).all()
        place.append("late", "dishes.csv", ["dish", "tags"], list(NEW.items()))
        assert encode_values.run(place.job, "tiny", UNTUNED).result.new_texts == 2
        materialize.materialize(place.job)
        after = same_everywhere(place, asgi, dishes)
        assert np.isfinite(after[:2, at]).all()
        assert after[0, at] != after[1, at]
        assert after[2, at] != early[2, at], "what was done with the new dish counts for a known one by now"
        place.pushed("again", [("p3", d, f"2023-12-11T1{n}:00:00+00:00", "0") for n, d in enumerate(["d91", "d2"])])
        pushed = same_everywhere(place, asgi, dishes)
        assert pushed[0, at] != after[0, at]
    assert materialize.materialize(place.job).skipped is False, "the pushed events were taken in"
    assert materialize.materialize(place.job).skipped
    with started(place.job.workspace, anyway=True, store_timeout_s=30) as asgi:
        np.testing.assert_array_equal(same_everywhere(place, asgi, dishes), pushed)
    stored = stored_newer(place.job.workspace, "tiny", place.definition.version)
    assert stored is not None
    assert len(stored.items) == 2
    found = check.check_store(place.job, "tiny", bundle=str(place.bundle), rows=60).result
    assert found.max_score_difference == 0.0


def test_events_and_dishes_that_come_together(place: Place) -> None:
    """Runs second. Appended events of a dish whose text is encoded a day later."""
    place.append("dish", "dishes.csv", ["dish", "tags"], [("d92", "leek|rice")])
    place.append("events", "events.csv", ["person", "dish", "device", "at", "stars"],
                 [("p3", "d92", "desk", 1_702_300_000, 5)])  # fmt: skip
    materialize.materialize(place.job)
    with started(place.job.workspace, anyway=True, store_timeout_s=30) as asgi:
        by_tags = same_everywhere(place, asgi, ["d92", "d90", "d1"])
        encode_values.run(place.job, "tiny", UNTUNED)
        materialize.materialize(place.job)
        by_text = same_everywhere(place, asgi, ["d92", "d90", "d1"])
    assert (by_text != by_tags).any(axis=1).all(), "every state of the person was made anew with the text"
    workspace = place.job.workspace
    write_snapshots(workspace, dataset_spec(workspace, "tiny"), place.definition)
    materialize.materialize(place.job)
    np.testing.assert_array_equal(place.numbers(["d92", "d90", "d1"], online=True), by_text, "snapshots know them, too")
