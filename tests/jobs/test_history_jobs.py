"""Models with history, from the events to scores: trained, brought online, scored, checked, and brought up to date."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr import Bundle, predict
from llactr.ctr.scoring import RowScorer
from llactr.ctr.search.space import SearchConfig
from llactr.ctr.search.tune import BEST
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.history import HistorySummary
from llactr.errors import InputError, NotReadyError, SpecError
from llactr.evaluation.config import EvaluateConfig
from llactr.history import states_of_events
from llactr.jobs import check, encode, encode_values, evaluate, ingest, materialize, train, tune
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.config import load_config
from llactr.lifecycle.monitoring.profile import read_profile, write_profile
from llactr.lifecycle.monitoring.watch import monitor
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.steps import Job, Step, outcome_of
from llactr.store import training_rows
from llactr.store.history import events_of, history_of_rows, known_versions
from llactr.transforms import chronological_split
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset

TRAINING = {"max_epochs": 4, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02}


@dataclass(frozen=True)
class Place:
    """A workspace whose events are ingested, encoded and applied."""

    job: Job
    folder: Path
    spec: Path

    def train(self, arm: str | None, **settings: Any) -> Any:
        config = TrainJobConfig(backbone="fm", arm=arm, training=TRAINING, **settings)
        return train.run(self.job, "tiny", config)

    def check(self, bundle: Path) -> dict[str, Any]:
        materialize.apply(self.job)
        materialize.materialize(self.job)
        return check.check_store(self.job, "tiny", bundle=str(bundle), rows=60).result.as_json()


def made(folder: Path, **changes: Any) -> Place:
    spec = write_dataset(folder, **changes)
    job = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(job)
    return Place(job, folder, spec)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("history")
    fields = [{**f, **({"value_text": ["tags"]} if f["name"] == "dish" else {})} for f in SPEC["fields"]]
    return made(folder, fields=fields, history={"outcome_delay": "20m", "last": 8})


def test_every_arm_is_trained_and_scores_online_as_offline(place: Place) -> None:
    bundles = {}
    for arm in ("items", "history", "paper items taste categories", "history taste item-item"):
        trained = place.train(arm)
        assert trained.result.arm == arm
        bundles[arm] = Bundle.load(trained.folder)
        definition = bundles[arm].history
        assert definition is not None
        assert trained.result.history_version == definition.version
        found = place.check(trained.folder)
        assert (found["rows_with_other_ids"], found["max_score_difference"], found["rows"]) == (0, 0.0, 60)
    assert bundles["items"].history.spec.field_names == ("item_count", "item_rate")  # type: ignore[union-attr]
    assert bundles["paper items taste categories"].model.enhancement is not None
    assert len(known_versions(place.job.workspace, "tiny")) == 4, "states of all of them lie side by side"
    summary = outcome_of(place.job.workspace.current("tiny")[Step.HISTORY], HistorySummary)
    assert summary is not None
    assert summary.result.rows == 777
    assert place.train("items").skipped


def test_scores_of_a_model_with_history_are_profiled_and_watched(place: Place) -> None:
    """Mean score and label rate are those of the newest rows, scored one by one from states that were pushed."""
    folder = place.train("history taste item-item").folder
    profile, bundle = read_profile(folder), Bundle.load(folder)
    assert profile is not None
    assert profile.scores is not None
    table = training_rows(place.job.workspace, bundle.spec, with_release=False)
    split = chronological_split(table.num_rows, bundle.spec.split)
    rows = table.take(pa.array(np.concatenate([split.validation, split.test])))
    events, expected = events_of(bundle.spec, table), []
    for row in rows.to_pylist():
        moment = int(row["event_timestamp"].timestamp() * 1e6)
        before = events.take(np.flatnonzero(events.time < moment))
        numbers = history_of_rows(bundle.spec, bundle.history, pa.Table.from_pylist([row], rows.schema),
                                  states_of_events(bundle.history, before))  # type: ignore[arg-type]  # fmt: skip
        ids = bundle.transform.ids(pa.Table.from_pylist([row], rows.schema))
        expected.append(float(predict(bundle.model, bundle.rows(ids, numbers))[0]))
    assert profile.rows == len(expected) == sum(profile.scores.counts)
    mean = float(np.dot(profile.scores.counts, profile.scores.means)) / profile.rows
    assert mean == pytest.approx(np.mean(expected), abs=1e-5)

    found = monitor(place.job.workspace, folder, source="events", rows=profile.rows, windows=1)
    watched = {one.what: one for one in found.windows[0].findings}
    assert watched["scores"].distance < 0.01, "of the same rows"
    assert watched["calibration"].found == pytest.approx(mean - profile.label_rate, abs=1e-5)
    kept = place.job.workspace.artifact("histories", "").parent / "histories"
    kept.rename(kept.with_name("gone"))
    try:
        again = write_profile(place.job.workspace, folder)
    finally:
        kept.with_name("gone").rename(kept)
    assert again.scores is not None
    assert again.scores.counts == profile.scores.counts
    np.testing.assert_allclose(again.scores.means, profile.scores.means, atol=1e-6)


def test_texts_come_in_when_they_are_encoded(tmp_path: Path, place: Place) -> None:
    before = place.train("history taste")
    assert before.result.history_notes == (
        "no texts of items have been encoded: taste compares items by their categories",
    )
    with pytest.raises(SpecError, match="history fields read vectors of text, which are not there: run 'llactr encode"):
        place.train("history taste text")
    encode_values.run(place.job, "tiny", ValueSemanticsConfig(tune=False))
    after = place.train("history taste")
    assert after.result.history_notes == ()
    assert after.result.history_version != before.result.history_version
    both = place.train("values history taste text", cold_share=0.1)
    assert both.result.values_version is not None
    assert place.check(both.folder)["max_score_difference"] == 0.0


def test_several_processes_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="trains in one process, and torchrun has started several"):
        place.train("items")


def scores(place: Place, bundle: Path, person: str, dishes: list[str]) -> list[float]:
    rows = pa.table(
        {
            "person": [person] * len(dishes),
            "dish": dishes,
            "device": ["phone"] * len(dishes),
            "event_timestamp": ["2023-12-20T12:00:00+00:00"] * len(dishes),
        }
    )
    return list(RowScorer.online(place.job.workspace, "tiny", str(bundle)).score(rows).scores)


def test_new_events_change_what_is_predicted(tmp_path: Path) -> None:
    """Without a `history` section: its defaults are read. New people and dishes have a past from their first events on."""
    place = made(tmp_path)
    materialize.materialize(place.job)
    trained = place.train("history taste")
    with pytest.raises(
        NotReadyError, match="'tiny__user_history' of 'tiny' is not registered: run 'llactr apply' first"
    ):
        scores(place, trained.folder, "p3", ["d1"])
    materialize.apply(place.job)
    with pytest.raises(NotReadyError, match=r"'tiny__.*' is not online as a whole: run 'llactr materialize' first"):
        scores(place, trained.folder, "p3", ["d1"])
    materialize.materialize(place.job)
    before = scores(place, trained.folder, "p3", ["d1", "d2"])
    late = tmp_path / "late"
    late.mkdir()
    with (late / "events.csv").open("w", newline="") as file:
        header = ["person", "dish", "device", "at", "stars"]
        rows = [("p3" if n % 2 else "new", "d1", "desk", 1_701_000_000 + 60 * n, 5) for n in range(40)]
        csv.writer(file).writerows([header, *rows])
    ingest.append(place.job, str(place.spec), data_folder=late)
    assert scores(place, trained.folder, "p3", ["d1", "d2"]) == before, "what is online is as it was"
    assert not materialize.materialize(place.job).skipped
    after = scores(place, trained.folder, "p3", ["d1", "d2"])
    assert after[0] > before[0], "the dish was liked forty times more"
    assert after[1] != before[1], "the person has another level"
    assert len(known_versions(place.job.workspace, "tiny")) == 1
    assert materialize.materialize(place.job).skipped
    found = check.check_store(place.job, "tiny", bundle=str(trained.folder), rows=60).result
    assert found.max_score_difference == 0.0
    assert np.isfinite(scores(place, trained.folder, "nobody", ["no dish"])).all()
    table = pa.table(
        {"person": ["p3", "p3"], "dish": ["d1", "d1"], "device": ["phone", "phone"],
         "event_timestamp": ["2023-12-20T12:00:00+00:00", "2023-11-26T12:00:00+00:00"]}
    )  # fmt: skip
    late_score, early_score = RowScorer.offline(place.job.workspace, "tiny", str(trained.folder)).score(table).scores
    assert late_score == pytest.approx(after[0], abs=1e-6), "all has happened by then"
    assert early_score < late_score, "point in time: before the forty likes"


def test_history_without_items_is_refused(tmp_path: Path) -> None:
    fields = [field for field in SPEC["fields"] if field["owner"] != "item"]
    place = made(tmp_path, fields=fields, entities={"user": SPEC["entities"]["user"]})
    with pytest.raises(InputError, match="history is of users and items, and 'tiny' has no entity 'item'"):
        place.train("items")


def evaluated(place: Place, *arms: str, **config: Any) -> dict[str, Any]:
    settings = {"backbones": ["fm"], "seeds": 1, "bootstrap": 10, "training": {"fm": TRAINING}, **config}
    made = evaluate.run(
        place.job, "tiny", EvaluateConfig.model_validate({"arms": ["plain", *arms], **settings}),
        semantics=ValueSemanticsConfig(tune=False),
    )  # fmt: skip
    comparison = made.result.comparisons[0]
    found: dict[str, Any] = {str(runs.arm): runs.mean("logloss") for runs in comparison.arms}
    found["pairs"] = {(str(one.arm), str(one.baseline)) for one in comparison.differences}
    return found


def test_arms_with_history_are_compared_with_their_placebos(place: Place) -> None:
    """Runs after the texts have been encoded."""
    arms = (
        "items",
        "history",
        "history taste",
        "history taste permuted",
        "history taste words",
        "history taste random",
    )
    found = evaluated(place, *arms)
    assert len({found[arm] for arm in arms}) == len(arms), "each reads something else"
    assert ("history taste", "history") in found["pairs"], "what taste adds"
    assert ("history taste", "history taste words") in found["pairs"]
    late = evaluated(place, "items", outcome_delay="10d")
    assert late["plain"] == found["plain"]
    assert late["items"] != found["items"]
    made = place.train("history taste")
    assert made.result.metrics.test.logloss == pytest.approx(found["history taste"], abs=1e-6), "as the bundle's"


def test_an_arm_with_history_is_tuned(place: Place) -> None:
    pytest.importorskip("optuna")
    search = SearchConfig(backbone="fm", arm="history taste", trials=2, training=TRAINING)
    found = tune.run(place.job, "tiny", search)
    assert [one.name for one in found.result.dimensions] == ["learning_rate", "weight_decay"]
    assert found.folder.name.startswith("tiny-fm-history_taste-")
    best = load_config(found.folder / BEST).train
    assert best.arm == "history taste"
    trained = train.run(place.job, "tiny", best)
    assert trained.result.metrics.validation.auc == pytest.approx(found.result.best.auc, abs=1e-6)
    with pytest.raises(InputError, match="the search is not valid: 'arm': arm 'items text' cannot be trained"):
        tune.search_config(TrainJobConfig(), {"arm": "items text"})


def test_a_rival_reads_the_same_past(place: Place) -> None:
    pytest.importorskip("lightgbm")
    found = evaluated(place, "history", "lightgbm", "lightgbm history")
    assert found["lightgbm"] != found["lightgbm history"]
    assert ("history", "lightgbm history") in found["pairs"]


def test_held_out_items_have_no_past_in_training(place: Place) -> None:
    found = evaluated(place, "history taste", "history taste permuted", design="items", draws=1)
    assert found["history taste"] != found["history taste permuted"]
    rows = evaluated(place, "items", design="rows30", draws=1)
    assert rows["items"] is not None
