from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.ctr import Bundle
from llactr.ctr import predict as bundle_predict
from llactr.ctr.scoring import RowScorer
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.join import join
from llactr.datasets import append_offline_tables
from llactr.diagnostics.agreement import chosen_rows, offline_scores
from llactr.errors import ConsistencyError, DataError, InputError, NotReadyError
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.config import EvaluateConfig
from llactr.jobs import check, diagnose, encode, encode_values, evaluate, ingest, materialize, train, tune_values
from llactr.jobs import run as run_all
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.config import RunConfig, load_config
from llactr.pieces import Workers
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.steps import Advance, Job
from llactr.store import stored_texts
from llactr.store.tables import value_files
from llactr.store.vectors.summaries import current_values_version
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset

UNTUNED = ValueSemanticsConfig(tune=False)
TRAINING = {"max_epochs": 6, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02}


def _spec_fields() -> list[dict[str, Any]]:
    texts = {"dish": ["tags"], "tags": True, "job": True}
    return [
        {**field, **({"value_text": texts[field["name"]]} if field["name"] in texts else {})}
        for field in SPEC["fields"]
    ]


@dataclass(frozen=True)
class Valued:
    """A workspace with value vectors and a model that was trained with them."""

    job: Job
    folder: Path
    bundle: Path


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Valued:
    folder = tmp_path_factory.mktemp("valued")
    spec = write_dataset(folder, fields=_spec_fields())
    job = Job(Workspace.at(folder / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(job)
    encoded = encode_values.run(job, "tiny", UNTUNED, piece=8)
    assert encoded.result.values == {"job": 3, "dish": 20, "tags": 4}
    config = TrainJobConfig(backbone="fm", arm="values", training=TRAINING)
    trained = train.run(job, "tiny", config)
    assert trained.result.values_version == encoded.result.version
    return Valued(job, folder, trained.folder)


def _scores(valued: Valued, dishes: list[str]) -> tuple[list[float], int]:
    rows = pa.table(
        {
            "person": ["p3"] * len(dishes),
            "dish": dishes,
            "device": ["phone"] * len(dishes),
            "event_timestamp": ["2023-11-20T12:00:00+00:00"] * len(dishes),
        }
    )
    found = RowScorer.online(valued.job.workspace, "tiny", str(valued.bundle)).score(rows)
    return list(found.scores), found.unseen_values_placed


def test_a_new_dish_is_ranked_by_its_text_without_retraining(valued: Valued) -> None:
    """A new item comes with text; incremental encode and materialize; another text ranks it elsewhere."""
    materialize.materialize(valued.job)
    before, placed = _scores(valued, ["new-1", "new-2", "d1"])
    assert before[0] == before[1], "the store knows neither of them"
    assert placed == 0
    late = valued.folder / "late"
    late.mkdir()
    with (late / "dishes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dish", "tags"], ["new-1", "fish|rice"], ["new-2", "leek|beef"]])
    from llactr.store.ingested import dataset_spec

    append_offline_tables(dataset_spec(valued.job.workspace, "tiny"), valued.job.workspace, late)
    encoded = encode_values.run(valued.job, "tiny", UNTUNED)
    assert not encoded.skipped
    assert encoded.result.new_texts == 2, "only the new dishes are encoded"
    assert not materialize.materialize(valued.job).skipped
    after, placed = _scores(valued, ["new-1", "new-2", "d1"])
    assert placed == 2
    assert abs(after[0] - after[1]) > 1e-4
    assert after[2] == before[2], "known dishes keep their scores"
    # With the value vectors taken out of the bundle, only what the tags say is left of the difference.
    bundle = Bundle.load(valued.bundle)
    assert bundle.values is not None
    with (valued.folder / "people.csv").open(newline="") as file:
        person = next(row for row in csv.DictReader(file) if row["person"] == "p3")
    with (valued.folder / "dishes.csv").open(newline="") as file:
        known = next(row["tags"] for row in csv.DictReader(file) if row["dish"] == "d1")
    rows = pa.table(
        {
            "person": ["p3"] * 3,
            "job": [person["job"]] * 3,
            "age": [float(person["age"])] * 3,
            "dish": ["new-1", "new-2", "d1"],
            "tags": ["fish|rice", "leek|beef", known],
            "device": ["phone"] * 3,
            "event_timestamp": pa.array([datetime(2023, 11, 20, 12, tzinfo=UTC)] * 3, pa.timestamp("us", "UTC")),
        }
    )
    without = bundle_predict(bundle.model, bundle.transform.ids(rows))
    assert without[2] == pytest.approx(after[2], abs=1e-6), "a known dish needs no vector"
    assert without[0] != pytest.approx(without[1], abs=1e-6), "their tags were seen"
    for number in (0, 1):
        assert abs(after[number] - without[number]) > 1e-4, "a new dish is placed by its own text"
    assert encode_values.run(valued.job, "tiny", UNTUNED).skipped


def test_the_check_places_new_items_on_both_paths(tmp_path: Path) -> None:
    """Test rows hold dishes that training never saw; a vector that was lost online is found."""
    spec = write_dataset(tmp_path, fields=_spec_fields())
    with (tmp_path / "dishes.csv").open("a", newline="") as file:
        csv.writer(file).writerows([["late-1", "fish|rice"], ["late-2", "leek|beef"]])
    with (tmp_path / "events.csv").open("a", newline="") as file:
        rows = [(f"p{n % 30}", f"late-{1 + n % 2}", "phone", 1_700_900_000 + n, 5) for n in range(12)]
        csv.writer(file).writerows(rows)
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(job)
    encoded = encode_values.run(job, "tiny", UNTUNED).result
    materialize.materialize(job)
    trained = train.run(job, "tiny", TrainJobConfig(backbone="fm", training=TRAINING))
    assert trained.result.arm == "values", "the default where values have been encoded"
    checked = check.check_store(job, "tiny", bundle=str(trained.folder), rows=1000)
    facts = checked.result.as_json()
    assert facts["rows_with_placed_values"] == 12
    assert facts["unseen_values_placed"] == {"online": 2, "offline": 2}
    assert (facts["rows_with_other_ids"], facts["holds"]) == (0, True)
    assert "12 of them hold new values" in check.describe_store(checked)
    bundle = Bundle.load(trained.folder)
    _, training_set = join(job, "tiny")
    offline = offline_scores(job.workspace, bundle.spec, bundle, chosen_rows(training_set, 1000))
    report = diagnose.run(job, "tiny", device="cpu")
    page = (report.folder / "report.html").read_text()
    assert f"12 of the {facts['rows']} test rows that were compared online and offline hold such values" in page
    assert "nearest other, quartiles" in page
    assert {name: one.values for name, one in report.result.values.items()} == encoded.values
    assert {(one.index, one.recall) for one in report.result.values.values()} == {("flat", 1.0)}
    assert "flat, recall 1.000" in diagnose.describe(report)
    cold = bundle_predict(bundle.model, offline.ids)
    assert int((np.abs(cold - offline.scores) > 1e-6).sum()) == 12, "cold, these rows would score otherwise"
    with sqlite3.connect(job.workspace.feast / "online.db") as online:
        online.execute("DELETE FROM llactr_value_semantics")
    with pytest.raises(ConsistencyError, match="run 'llactr materialize', then check again"):
        check.check_store(job, "tiny", bundle=str(trained.folder), rows=1000)


def test_run_encodes_values_and_trains_with_them_where_the_spec_gives_texts(tmp_path: Path) -> None:
    spec = write_dataset(tmp_path, fields=_spec_fields())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    config = RunConfig.model_validate(
        {
            "semantics": {"tune": False},
            "values": {"tune": True, "colike": {"steps": 2, "batch_size": 3}},
            "train": {"backbone": "fm", "arm": "values", "training": TRAINING},
            "evaluate": {"backbones": ["fm"], "seeds": 1, "arms": ["plain", "paper"], "training": {"fm": TRAINING}},
        }
    )
    summary = run_all.run(job, str(spec), config)
    assert summary["served"] == "values"
    assert summary["choice"] == "served: fm values. Rule: the arm was given. values was asked for."
    made = {step["step"]: step["result"] for step in summary["steps"]}
    assert list(made) == [
        "ingest", "encode", "tune_values", "encode_values", "apply", "train", "materialize", "evaluate", "check",
        "diagnose",
    ]  # fmt: skip
    assert made["encode_values"]["adapter"]
    assert made["train"]["arm"] == "values"
    assert made["train"]["values_version"] == made["encode_values"]["version"]
    assert "value_semantics" in made["materialize"]["views"]
    with sqlite3.connect(job.workspace.feast / "online.db") as online:
        ((vectors,),) = online.execute("SELECT count(DISTINCT entity_key) FROM llactr_value_semantics").fetchall()
    assert vectors == 3 + 20 + 4, "of jobs, dishes and tags"
    page = Path(summary["report"]).read_text()
    assert "tuned on what people liked in close succession" in page
    assert "The model trained last uses them" in page
    (judged,) = made["evaluate"]["comparisons"]
    assert [one["arm"] for one in judged["arms"]] == ["plain", "paper", "values"], "what is served is judged"


def test_the_bundle_scores_known_values_from_a_plain_table(valued: Valued) -> None:
    bundle = Bundle.load(valued.bundle)
    assert type(bundle.model.embedding).__name__ == "FusedEmbedding"
    assert set(bundle.values.fields) == {"job", "dish", "tags"}
    facts = json.loads((valued.bundle / "bundle.json").read_text())
    assert facts["values_version"] == bundle.values.version
    assert "value_projections/value_projections.safetensors" in facts["files"]


def test_each_distinct_text_has_one_vector(valued: Valued) -> None:
    version = current_values_version(valued.job.workspace, "tiny")
    texts = stored_texts(valued.job.workspace, "tiny", version)
    assert texts["tags", "fish"] == "what is in the dish: fish"
    assert texts["dish", "d1"].startswith("the identity of the dish: ")
    assert len(value_files(valued.job.workspace, "tiny", version)) >= 3


class Recorded(Terminal):
    """Keeps what a step shows."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.seen: list[tuple[int, int]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        yield lambda done, total, note: self.seen.append((done, total))


def test_shards_write_the_same_vectors(valued: Valued, tmp_path: Path) -> None:
    spec = write_dataset(tmp_path, fields=_spec_fields())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    shown = Recorded()
    outcome = encode_values.run(Job(job.workspace, shown), "tiny", UNTUNED, workers=Workers(2), piece=8)
    total = outcome.result.new_texts
    progress = [done for done, of in shown.seen if of == total]
    assert progress == sorted(progress)
    assert progress[-1] == total
    version = outcome.result.version
    texts = stored_texts(job.workspace, "tiny", version)
    assert len(texts) == 27
    assert outcome.result.new_texts == len(set(texts.values()))
    sharded, alone = _stored_vectors(job, version), _stored_vectors(valued.job, version)
    assert sharded.keys() <= alone.keys()
    for key, vector in sharded.items():
        np.testing.assert_allclose(vector, alone[key], atol=1e-5)


def test_shards_end_when_the_process_that_began_them_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent: the shards end, what they have kept is whole, and the next run does the rest."""
    spec = write_dataset(tmp_path, fields=_spec_fields())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    version = encode_values.run(job, "tiny", UNTUNED).result.version
    for path in value_files(job.workspace, "tiny", version):
        path.unlink()
    marks = tmp_path / "marks"
    marks.mkdir()
    script = tmp_path / "sharded.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        "from llactr.store.vectors import encode_values as e\nfrom llactr.semantics import ValueSemanticsConfig\n"
        "from llactr.pieces import Workers\n"
        "from llactr.jobs.cli.console import Terminal\nfrom llactr.steps import Job\nfrom llactr.workspace import Workspace\n"
        "keep = e._Keep.__call__\n"
        "def slow(self, piece, moment=None):\n"
        "    keep(self, piece, moment)\n    (Path(sys.argv[2]) / str(os.getpid())).touch()\n    time.sleep(2)\n"
        "e._Keep.__call__ = slow\n"
        "if __name__ == '__main__':\n"
        "    job = Job(Workspace.at(sys.argv[1]), Terminal(as_json=True), force=True)\n"
        "    e.encode_dataset_values(job, 'tiny', ValueSemanticsConfig(tune=False), workers=Workers(2), piece=3)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(job.workspace.root), str(marks)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shards = _until(lambda: [int(mark.name) for mark in marks.iterdir()], lambda found: len(found) == 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _until(lambda: [pid for pid in shards if _alive(pid)], lambda alive: not alive)
    left = len(stored_texts(job.workspace, "tiny", version))
    assert 6 <= left < 27
    encode_values.run(Job(job.workspace, Terminal(as_json=True), force=True), "tiny", UNTUNED)
    assert len(stored_texts(job.workspace, "tiny", version)) == 27


def _until(look: Callable[[], list[int]], enough: Callable[[list[int]], bool]) -> list[int]:
    """Looks until it is enough, at most two minutes."""
    for _ in range(1200):
        found = look()
        if enough(found):
            return found
        time.sleep(0.1)
    raise AssertionError(f"still {found} after two minutes")


def _alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _stored_vectors(job: Job, version: str) -> dict[tuple[str, str], np.ndarray]:
    found = {}
    for path in value_files(job.workspace, "tiny", version):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            found[row["field"], row["value"]] = np.array(row["vector"], np.float32)
    return found


def test_a_killed_encode_goes_on_where_it_was(tmp_path: Path) -> None:
    spec = write_dataset(tmp_path, fields=_spec_fields())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    code = (
        "import time, sys; from pathlib import Path; from llactr.store.vectors import encode_values as e; from llactr.steps import Job;"
        "from llactr.jobs.cli.console import Terminal; from llactr.semantics import ValueSemanticsConfig as C;"
        "from llactr.workspace import Workspace; keep = e._Keep.__call__\n"
        "def slow(self, piece):\n    keep(self, piece); print('kept', flush=True); time.sleep(60)\n"
        "e._Keep.__call__ = slow\n"
        "e.encode_dataset_values(Job(Workspace.at(sys.argv[1]), Terminal(as_json=True)), 'tiny', C(tune=False), piece=5)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(job.workspace.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    version = value_files_version(job)
    before = stored_texts(job.workspace, "tiny", version)
    assert 5 <= len(before) < 27
    outcome = encode_values.run(job, "tiny", UNTUNED)
    assert outcome.result.version == version
    assert outcome.result.new_texts == len(set(stored_texts(job.workspace, "tiny", version).values())) - 5
    assert len(stored_texts(job.workspace, "tiny", version)) == 27


def value_files_version(job: Job) -> str:
    names = [path.name for path in job.workspace.semantics_table("value_semantics").glob("tiny@*.parquet")]
    assert len(names) == 1
    return names[0].split("@")[1]


def test_what_is_missing_is_said_with_the_command(valued: Valued, tmp_path: Path) -> None:
    goes_on = encode_values.run(valued.job, "tiny", ValueSemanticsConfig())
    assert goes_on.skipped, "values that were encoded untuned go on so where nothing has been tuned"
    job = Job(Workspace.at(tmp_path / "with texts"), Terminal(as_json=True))
    ingest.run(job, str(write_dataset(tmp_path, fields=_spec_fields())), data_folder=None)
    with pytest.raises(NotReadyError, match="run 'llactr finetune --objective colike'"):
        encode_values.run(job, "tiny", ValueSemanticsConfig())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(write_dataset(tmp_path)), data_folder=None)
    with pytest.raises(InputError, match="no field of 'tiny' has a value_text"):
        encode_values.run(job, "tiny", UNTUNED)
    with pytest.raises(NotReadyError, match="'llactr encode --values' first"):
        current_values_version(job.workspace, "tiny")
    with pytest.raises(InputError, match="collaborative tuning of 'tiny' needs users, and a value_text"):
        tune_values.run(job, "tiny", ValueSemanticsConfig())


def test_collaborative_tuning_makes_an_adapter_and_a_version(valued: Valued) -> None:
    config = ValueSemanticsConfig.model_validate({"colike": {"steps": 2, "batch_size": 3}})
    tuned = tune_values.run(valued.job, "tiny", config)
    assert tuned.result.windows > 0
    assert (tuned.folder / "adapter" / "adapter_model.safetensors").is_file()
    untuned = encode_values.run(valued.job, "tiny", UNTUNED)
    encoded = encode_values.run(valued.job, "tiny", config)
    assert encoded.result.version != untuned.result.version
    encode_values.run(valued.job, "tiny", UNTUNED)


HELD_OUT = EvaluateConfig.model_validate(
    {
        "design": "items", "backbones": ["fm"], "seeds": 2, "draws": 2, "bootstrap": 20,
        "arms": ["plain", "values untuned", "values words", "paper", "paper random", "both words"],
        "training": {"fm": TRAINING},
    }
)  # fmt: skip


def test_the_test_split_is_read_once_after_all_training(
    valued: Valued, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/llactr", "evaluate", "--name", "two words"])
    results = tmp_path / "results" / "items.json"
    outcome = evaluate.run(valued.job, "tiny", HELD_OUT, results=results)
    facts = json.loads(results.read_text())
    reading = facts["test_reading"]
    assert reading["models_before"] == 24
    assert reading["rows"] > 0
    assert reading["slice_rows"]["all"] == [reading["rows"]] * 2
    assert facts["command"] == "llactr evaluate --name 'two words'"
    assert len(facts["validation"]) == 24
    (comparison,) = facts["comparisons"]
    one = next(
        d for d in comparison["differences"]
        if (d["arm"], d["baseline"], d["slice"], d["metric"]) == ("values untuned", "plain", "unseen items", "auc")
    )  # fmt: skip
    assert len(one["by_draw"]) == len(one["by_seed"]) == 2
    assert one["over_draws"][0] <= one["mean"] <= one["over_draws"][1]
    auc = {
        (arm["arm"], run["draw"], run["seed"]): run["metrics"]["unseen items"]["auc"]
        for arm in comparison["arms"]
        for run in arm["runs"]
    }
    gaps = [auc["values untuned", d, s] - auc["plain", d, s] for d in (0, 1) for s in (0, 1)]
    assert one["mean"] == pytest.approx(np.mean(gaps), abs=1e-11)
    assert [said["arm"] for said in comparison["judgements"]] == ["paper", "values untuned"]
    assert evaluate.run(valued.job, "tiny", HELD_OUT).skipped
    assert "read once at" in evaluate.describe(outcome)


def test_no_test_row_is_looked_at_before_all_models_are_trained(valued: Valued, monkeypatch) -> None:
    from llactr.evaluation import runs as evaluate_runs

    events = []
    real_train, real_predict = evaluate_runs.train, evaluate_runs.predict
    monkeypatch.setattr(evaluate_runs, "train", lambda *given: events.append("train") or real_train(*given))
    monkeypatch.setattr(evaluate_runs, "predict", lambda *given: events.append("test") or real_predict(*given))
    config = HELD_OUT.model_copy(update={"arms": (PLAIN, Arm.parse("values untuned")), "held_share": 0.3, "seeds": 1})
    evaluate.run(valued.job, "tiny", config)
    assert events == ["train"] * 4 + ["test"] * 4


def test_a_rival_is_searched_once_for_all_backbones_and_told_beside_ours(valued: Valued) -> None:
    pytest.importorskip("lightgbm")
    training = {name: TRAINING | {"max_epochs": 1} for name in ("fm", "fwfm")}
    config = EvaluateConfig.model_validate(
        {"backbones": ["fm", "fwfm"], "arms": ["plain", "lightgbm"], "seeds": 1, "bootstrap": 10, "training": training}
    )
    outcome = evaluate.run(valued.job, "tiny", config)
    fm, fwfm = outcome.result.comparisons
    first, second = fm.arm("lightgbm"), fwfm.arm("lightgbm")
    assert first is not None
    assert first == second, "one model, told twice"
    assert len(list(valued.job.workspace.root.glob("evaluation_runs/*/0-lightgbm-0-*.safetensors"))) == 1
    gap = fm.difference("lightgbm")
    plain = fm.arm("plain")
    assert gap is not None
    assert plain is not None
    assert gap.mean == pytest.approx(first.mean() - plain.mean(), abs=1e-11)
    assert {one.arm for one in outcome.result.curves} == {PLAIN}, "a rival has no epochs"
    assert [one.backbone for one in outcome.result.validation if str(one.arm) == "lightgbm"] == ["fm", "fwfm"]
    said = evaluate.describe(outcome)
    assert "rivals, test rows" in said
    assert said.count("\n  lightgbm ") == 3, "once a backbone, and once in the table of rivals"
    assert "lightgbm" in Path(diagnose.run(valued.job, "tiny", device="cpu").result.report).read_text(encoding="utf-8")


def test_values_are_those_that_were_encoded(valued: Valued, monkeypatch) -> None:
    """`evaluate` tuned an encoder of its own for what a bundle has otherwise."""
    from llactr.evaluation.draws import Draws

    def none(*_: object, **__: object) -> None:
        raise AssertionError("nothing is encoded anew")

    encode_values.run(valued.job, "tiny", UNTUNED)
    monkeypatch.setattr(Draws, "_vectors", none)
    arms = {"arms": ["plain", "values", "values words"], "seeds": 1, "bootstrap": 10}
    config = EvaluateConfig.model_validate({"backbones": ["fm"], "training": {"fm": TRAINING}} | arms)
    outcome = evaluate.run(valued.job, "tiny", config)
    assert [str(one.arm) for one in outcome.result.comparisons[0].arms] == ["plain", "values", "values words"]
    same = config.model_copy(update={"arms": (PLAIN, Arm.parse("values"), Arm.parse("values untuned"))})
    with pytest.raises(InputError, match="the values were encoded untuned, so 'values' is 'values untuned': leave one"):
        evaluate.run(valued.job, "tiny", same)


def test_what_cannot_work_is_said_before_anything_is_done(tmp_path: Path, monkeypatch) -> None:
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    spec = str(write_dataset(tmp_path))  # without texts
    values = {"arms": ["plain", "values"]}
    for given, message in (
        ({"values": {"tune": True}}, "collaborative tuning of 'tiny' needs users, and a value_text"),
        ({"train": {"arm": "values"}}, "arm 'values' needs texts of values: no field of 'tiny' has a value_text"),
        ({"evaluate": values}, "arm 'values' needs texts of values: no field of 'tiny' has a value_text"),
    ):
        with pytest.raises(InputError, match=message):
            run_all.run(job, spec, RunConfig.model_validate(given))
    assert not job.workspace.root.exists() or not job.workspace.datasets()
    with_texts = write_dataset(tmp_path, fields=_spec_fields())
    ingest.run(job, str(with_texts), data_folder=None)
    encode.run(job, "tiny", SemanticsConfig(tune=False), untuned=True, effective_from="start")
    materialize.apply(job)
    from llactr.evaluation import prepared

    monkeypatch.setattr(prepared, "join", lambda *_: pytest.fail("it comes to the join"))
    with pytest.raises(NotReadyError, match="run 'llactr encode --values' first"):
        evaluate.run(job, "tiny", EvaluateConfig.model_validate(values))


def test_too_few_likes_leave_the_encoder_as_it_was_published(tmp_path: Path) -> None:
    """A log with few likes a user ended `run` after minutes."""
    spec = write_dataset(tmp_path, fields=_spec_fields())
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    config = RunConfig.model_validate(
        {
            "semantics": {"tune": False},
            "values": {"tune": True, "colike": {"steps": 2, "batch_size": 1000}},
            "train": {"backbone": "fm", "arm": "values", "training": TRAINING | {"max_epochs": 1}},
            "evaluate": {"seeds": 1, "arms": ["plain", "values"], "bootstrap": 10},
        }
    )
    summary = run_all.run(job, str(spec), config)
    made = {step["step"]: step["result"] for step in summary["steps"]}
    assert "tune_values" not in made
    assert made["encode_values"]["adapter"] is None
    assert summary["served"] == "values"
    with pytest.raises(DataError, match="windows of 4 successive likes, collaborative tuning needs at least 2000"):
        tune_values.run(job, "tiny", config.values)


def test_the_report_of_held_out_items(valued: Valued) -> None:
    from llactr.jobs import diagnose

    evaluate.run(valued.job, "tiny", HELD_OUT)
    report = Path(diagnose.run(valued.job, "tiny", device="cpu").result.report).read_text(encoding="utf-8")
    assert "2 draws x 2 seeds" in report
    assert "By what training had seen" in report


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"arms": ["values"]}, "evaluate.arms: the arm 'plain' is needed"),
        ({"arms": ["plain", "magic"]}, "evaluate.arms.1: arm 'magic' is not known: choose plain, fre"),
        ({"arms": ["plain", "values cold"]}, "arm 'values cold' is not known: .*; did you mean 'values words'"),
        (
            {"design": "cold"},
            "evaluate.design: design 'cold' is not known: choose chronological, items, or",
        ),
        ({"draws": 0}, "evaluate.draws: input should be greater than or equal to 1"),
        ({"backbones": ["dnn"]}, "backbone 'dnn' is not known: choose one of fm, fwfm"),
    ],
)
def test_an_evaluation_refuses_what_it_does_not_know(flags, message):
    with pytest.raises(InputError, match=message):
        load_config(None, evaluate=flags)


def test_flags_that_were_not_given_leave_the_defaults():
    config = load_config(None, evaluate={"draws": None, "seeds": 2, "backbones": ["all"]}).evaluate
    assert (config.draws, config.seeds, str(config.design), config.draw_count) == (5, 2, "chronological", 1)
    assert len(config.backbones) == 7


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (
            "values permuted",
            "train.arm: arm 'values permuted' cannot be trained into a bundle: choose plain",
        ),
        (
            "values untuned",
            "train.arm: arm 'values untuned' cannot be trained into a bundle: choose plain",
        ),
        ("value", "train.arm: arm 'value' is not known: .*; did you mean 'values'"),
    ],
)
def test_a_bundle_is_no_placebo(arm, message):
    """Its value vectors are those that were encoded last, tuned or not: the arm does not choose."""
    with pytest.raises(InputError, match=message):
        load_config(None, train={"arm": arm})


def test_a_bundle_may_have_one_of_both_enhancements(valued: Valued) -> None:
    config = TrainJobConfig(backbone="fm", arm=Arm.parse("fie"), training=TRAINING)
    trained = train.run(valued.job, "tiny", config)
    assert trained.result.arm == "fie"
    enhancement = Bundle.load(trained.folder).model.config.enhancement
    assert enhancement is not None
    assert (enhancement.fre, enhancement.fie) == (False, True)
    train.run(valued.job, "tiny", TrainJobConfig(backbone="fm", arm=Arm.parse("values"), training=TRAINING))


def test_a_value_has_its_first_text_as_corrected_last(tmp_path: Path) -> None:
    """text_over_time: the newest text was the vector of all events, also of those before it changed."""
    dishes = {
        "user": {"join_key": "person", "source": "people"},
        "item": {
            "join_key": "dish",
            "source": "dishes",
            "timestamp": {"column": "since", "unit": "s"},
            "created": {"column": "noted", "unit": "s"},
        },
    }
    spec = write_dataset(tmp_path, fields=_spec_fields(), entities=dishes)
    with (tmp_path / "dishes.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    early, later = 1_690_000_000, 1_700_400_000
    lines = [[*row, early, early] for row in rows]
    lines += [["d0", "gold", later, later], ["d1", "corrected", early, later], ["late", "new", later, later]]
    with (tmp_path / "dishes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["dish", "tags", "since", "noted"], *lines])
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    from llactr.store.ingested import dataset_spec
    from llactr.store.value_texts import read_texts

    texts = read_texts(job.workspace, dataset_spec(job.workspace, "tiny"))["dish"]
    words = {dish: text.split(": ")[1] for dish, text in texts.items()}
    assert words["d0"] == rows[0][1].replace("|", " "), "not gold, which came later"
    assert words["d1"] == "corrected"
    assert words["late"] == "new"


def test_of_a_catalogue_that_no_event_has_the_newest_are_encoded_and_the_rest_on_demand(tmp_path: Path) -> None:
    """Thirty dishes more than were ever ordered, of which no event says anything."""
    spec = write_dataset(tmp_path, fields=_spec_fields())
    with (tmp_path / "dishes.csv").open("a", newline="") as file:
        csv.writer(file).writerows([[f"z{n:02d}", f"only{n}|fish"] for n in range(30)])
    job = Job(Workspace.at(tmp_path / "workspace"), Terminal(as_json=True))
    ingest.run(job, str(spec), data_folder=None)
    some = encode_values.run(job, "tiny", UNTUNED, untuned=True, unseen=4).result
    # 20 dishes of events and 4 others; of the tags the 4 known ones and the new one of each of the 4.
    assert some.values == {"job": 3, "dish": 24, "tags": 8}
    assert some.left_out == {"item": 26}
    assert encode_values.run(job, "tiny", UNTUNED, untuned=True, unseen=4).skipped
    every = encode_values.run(job, "tiny", UNTUNED, untuned=True).result
    assert every.version == some.version, "bundles read the new vectors as they read the old ones"
    assert every.values == {"job": 3, "dish": 50, "tags": 34}
    assert every.new_texts == 26 + 26
    assert every.left_out == {}
    assert set(stored_texts(job.workspace, "tiny", every.version)) >= {("dish", f"z{n:02d}") for n in range(30)}
