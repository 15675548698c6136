"""Training goes on from a bundle: with value vectors and history, its rows counted, its refusals, its champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llactr.ctr import Bundle
from llactr.ctr.forget import forget_in_bundle
from llactr.ctr.scoring import RowScorer
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.state import TrainedState
from llactr.errors import InputError
from llactr.jobs import advance, check, encode, encode_values, ingest, materialize, train
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.config import RunConfig
from llactr.lifecycle.gates import Gates
from llactr.lifecycle.promotions import promote as make_champion
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.steps import Job
from llactr.store import events_table
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset

TRAINING = {"max_epochs": 4, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02, "few_clicks": 0}
LATER_DISHES = ("d18", "d19")
UNTUNED = ValueSemanticsConfig(tune=False)
ALL = Gates(auc=-1, logloss=1, calibration=1, min_positives=1)


@dataclass(frozen=True)
class Place:
    """A workspace with a bundle of 600 events; `day` holds 300 later ones, of which some are of two new dishes."""

    job: Job
    day: Path
    base: str

    def config(self, **changes: Any) -> TrainJobConfig:
        return TrainJobConfig(
            **{"backbone": "fm", "arm": "values history taste", "training": TRAINING, **changes}  # type: ignore[arg-type]
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("warm")
    fields = [{**f, **({"value_text": ["tags"]} if f["name"] == "dish" else {})} for f in SPEC["fields"]]
    spec = write_dataset(folder, fields=fields, history={"last": 8})
    head, *rows = (folder / "events.csv").read_text(encoding="utf-8").splitlines()
    first = [row for row in rows[:600] if row.split(",")[1] not in LATER_DISHES]
    (folder / "events.csv").write_text("\n".join([head, *first]) + "\n", encoding="utf-8")
    day = folder / "day"
    day.mkdir()
    (day / "events.csv").write_text("\n".join([head, *rows[600:]]) + "\n", encoding="utf-8")
    job = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    encode_values.run(job, "tiny", UNTUNED, untuned=True)
    materialize.apply(job)
    made = train.run(job, "tiny", Place(job, day, "").config())
    assert made.result.base is None
    ingest.append(job, str(spec), data_folder=day)
    return Place(job, day, made.folder.name)


def test_rows_that_came_since_are_trained_on_and_new_values_get_rows(place: Place) -> None:
    base = place.job.workspace.artifact("bundles", place.base)
    before = {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()}
    warm = WarmConfig(replay_share=0.5, epochs=2)
    made = train.run(place.job, "tiny", place.config(), base=place.base, warm=warm)
    spec = dataset_spec(place.job.workspace, "tiny")
    events = events_table(place.job.workspace, spec).num_rows
    known = int(0.8 * (events - _labelled(place.day)))
    assert made.result.new_rows == int(0.8 * events) - known
    assert made.result.replayed_rows == round(made.result.new_rows / 2)
    assert (made.result.base, len(made.result.curve)) == (place.base, 2)
    assert made.result.metrics.test.rows == events - int(0.9 * events)
    old, new = Bundle.load(base), Bundle.load(made.folder)
    assert new.transform.values("dish")[: len(old.transform.values("dish"))] == old.transform.values("dish")
    assert set(LATER_DISHES) & set(new.transform.values("dish"))
    assert not set(LATER_DISHES) & set(old.transform.values("dish"))
    assert new.history is not None
    assert old.history is not None
    assert new.history.version == old.history.version
    state = TrainedState.load(made.folder)
    assert state is not None
    assert state.facts.base == place.base
    assert state.moments["embedding.weight.first"].shape[0] == new.transform.layout.total_rows
    assert made.result.state_bytes is not None
    assert {path.name: path.read_bytes() for path in base.iterdir() if path.is_file()} == before
    # Bit by bit the same when it is done again, and online what it is offline.
    weights = (made.folder / "model.safetensors").read_bytes()
    again = train.run(Job(place.job.workspace, place.job.terminal, force=True), "tiny", place.config(),
                      base=place.base, warm=warm)  # fmt: skip
    assert again.folder == made.folder
    assert (again.folder / "model.safetensors").read_bytes() == weights
    materialize.apply(place.job)
    materialize.materialize(place.job)
    found = check.check_store(place.job, "tiny", bundle=str(made.folder), rows=40).result
    assert (found.rows_with_other_ids, found.rows) == (0, 40)
    assert found.max_score_difference < 1e-6


def _labelled(day: Path) -> int:
    rows = (day / "events.csv").read_text(encoding="utf-8").splitlines()[1:]
    return sum(row.split(",")[4] != "3" for row in rows)


def test_a_training_that_moves_nothing_scores_as_before(place: Place) -> None:
    """Weights under value vectors, their PCA, the history's numbers: all that is carried over, and nothing else."""
    slow = place.config(training={**TRAINING, "learning_rate": 1e-12, "calibration": "off"})
    made = train.run(place.job, "tiny", slow, base=place.base, warm=WarmConfig(epochs=1, replay_share=0))
    spec = dataset_spec(place.job.workspace, "tiny")
    events = events_table(place.job.workspace, spec)
    rows = events.slice(0, 200).select(["person", "dish", "device", "event_timestamp"])
    scores = [
        np.array(RowScorer.offline(place.job.workspace, "tiny", name).score(rows).scores)
        for name in (place.base, made.folder.name)
    ]
    # However often values were seen meanwhile, which says how much their vectors count.
    assert np.abs(scores[0] - scores[1]).max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone": "fwfm"}, "its backbone is fm, not fwfm"),
        ({"arm": "plain"}, "its arm is 'values history taste', not 'plain'"),
        ({"values": {"tau": 3.0}}, "its value vectors enter by other settings"),
    ],
)
def test_what_cannot_be_warm_is_refused(place: Place, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=f"cannot go on from {place.base}: {reason}; train anew, without --warm"):
        train.run(place.job, "tiny", place.config(**changes), base=place.base)


def test_nothing_new_and_no_state_are_refused(place: Place, tmp_path: Path) -> None:
    made = train.run(place.job, "tiny", place.config(), base=place.base)
    with pytest.raises(InputError, match="no row of the training split has come since; append rows first"):
        train.run(place.job, "tiny", place.config(), base=made.folder.name)
    folder = place.job.workspace.artifact("bundles", place.base)
    kept = (folder / "warm.json").read_text(encoding="utf-8")
    (folder / "warm.json").unlink()
    try:
        with pytest.raises(InputError, match="has no training state to go on from"):
            train.run(place.job, "tiny", place.config(), base=place.base)
    finally:
        (folder / "warm.json").write_text(kept, encoding="utf-8")


def test_a_forgotten_user_leaves_the_state_too(place: Place) -> None:
    made = train.run(place.job, "tiny", place.config(seed=3), base=place.base)
    assert forget_in_bundle(place.job.workspace, made.folder, ["p3"]) == 1
    state, bundle = TrainedState.load(made.folder), Bundle.load(made.folder)
    assert state is not None
    row = 3 + [value.startswith("\ufdd0") for value in bundle.transform.values("person")].index(True)
    assert not state.moments["embedding.weight.first"][row].any()


def test_a_day_goes_on_from_the_champion_and_the_same_day_is_the_same(place: Place) -> None:
    workspace, config = place.job.workspace, RunConfig(train=place.config(seed=5), values=UNTUNED, promote=ALL)
    make_champion(workspace, "tiny", workspace.artifact("bundles", place.base), because="a test")
    assert f"train fm on from {place.base}" in " ".join(advance.plan(place.job, "tiny", config, data=None))
    found = [advance.run(place.job, "tiny", config, data=None) for _ in range(2)]
    assert [one["trained_anew"] for one in found] == [None, None]
    assert found[0]["challenger"] == found[1]["challenger"] != place.base
    assert [_step(one, "train")["skipped"] for one in found] == [False, True]
    assert _step(found[0], "train")["result"]["base"] == place.base
    # Once it is champion, the rows are no longer new: training goes on from what it went on from itself.
    make_champion(workspace, "tiny", workspace.artifact("bundles", found[0]["challenger"]), because="a test")
    third = advance.run(place.job, "tiny", config, data=None)
    assert (third["challenger"], third["champion"]) == (found[0]["challenger"],) * 2


def test_anew_where_it_was_asked_for_or_nothing_else_is_possible(place: Place) -> None:
    workspace, config = place.job.workspace, RunConfig(train=place.config(seed=6), values=UNTUNED, promote=ALL)
    made = advance.run(place.job, "tiny", config, data=None, cold=True)
    assert made["trained_anew"] == "it was asked for"
    make_champion(workspace, "tiny", workspace.artifact("bundles", made["challenger"]), because="a test")
    again = advance.run(place.job, "tiny", config, data=None)
    assert again["trained_anew"] == f"{made['challenger']} was trained anew on the same rows"
    assert again["challenger"] == made["challenger"]
    make_champion(workspace, "tiny", workspace.artifact("bundles", place.base), because="a test")
    other = RunConfig(train=place.config(backbone="fwfm"), values=UNTUNED, promote=ALL)
    changed = advance.run(place.job, "tiny", other, data=None)
    assert changed["trained_anew"] == (f"training cannot go on from {place.base}: its backbone is fm, not fwfm")
    assert _step(changed, "train")["result"]["backbone"] == "fwfm"
    assert advance.describe(changed).startswith("trained anew: training cannot go on from")


def _step(found: dict[str, Any], name: str) -> Any:
    return next(one for one in found["steps"] if one["step"] == name)
