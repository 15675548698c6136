from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from llactr.evaluation.arms import PLAIN, Arm
from tests.jobs.tiny_dataset import write_dataset

STEPS = ["ingest", "finetune", "encode", "apply", "choose", "train", "materialize", "evaluate", "check", "diagnose"]


def test_run_makes_every_artifact_with_its_manifest(ran):
    assert [step["step"] for step in ran.summary["steps"]] == STEPS
    spent = []
    for step in ran.summary["steps"]:
        manifest = json.loads((Path(step["folder"]) / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["step"] == step["step"]
        assert manifest["key"] == step["key"]
        assert manifest["packages"]["feast"].startswith("0.67")
        spent.append(manifest["seconds"])
        assert "config" in manifest
        assert "inputs" in manifest
    assert min(spent) > 0
    assert sum(spent) <= ran.seconds, "they are seconds, and of this run"


def test_the_arm_that_validation_chose_is_trained_and_judged(ran):
    made = {step["step"]: step["result"] for step in ran.summary["steps"]}
    choice = made["choose"]
    offered = [
        "plain",
        "paper",
        "items",
        "history",
        "history taste",
    ]  # 23 earlier events of a row's person, at the median
    assert [one["arm"] for one in choice["candidates"]] == offered
    best = max(one["auc"] for one in choice["candidates"] if {"simplest"} & {*one["behind"]} <= {*one["within"]})
    for one in choice["candidates"]:
        assert one["behind"]["auc"] == pytest.approx(best - one["auc"])
    assert choice["served"] in offered
    assert ran.summary["served"] == made["train"]["arm"] == choice["served"]
    assert choice["rule"].startswith("the simplest arm within one standard error of the best on validation")
    validated = [one["auc"] for one in made["evaluate"]["validation"] if one["arm"] == "paper"]
    assert choice["candidates"][1]["auc"] == pytest.approx(np.mean(validated), abs=1e-9), "the same models"
    assert ran.summary["choice"].splitlines()[0].startswith(f"served: fm {choice['served']}. Rule: the simplest arm")


def test_second_run_skips_what_did_not_change(ran, llactr):
    answer = llactr("run", ran.spec, "--config", ran.config, "--workspace", ran.workspace, "--json")
    skipped = {step["step"]: step["skipped"] for step in answer.json["steps"]}
    # The check reads a mutable store, so it is never skipped; the report shows its time, so it is made anew.
    assert {step for step, flag in skipped.items() if not flag} <= {"check", "diagnose"}
    first = {step["step"]: step["key"] for step in ran.summary["steps"]}
    assert {s["step"]: s["key"] for s in answer.json["steps"] if s["skipped"]}.items() <= first.items()
    assert "unchanged, skipped" in answer.err


def test_check_compares_ids_and_scores(ran, llactr):
    answer = llactr("check", "--rows", 50, "--workspace", ran.workspace, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["result"]["rows"] == 50
    assert answer.json["result"]["rows_with_other_ids"] == 0
    assert answer.json["result"]["max_score_difference"] <= 1e-6


def test_predict_scores_rows_from_the_online_store(ran, llactr):
    row = {"person": "p3", "dish": "d4", "device": "phone", "event_timestamp": "2023-11-20T12:00:00+00:00"}
    unknown = {**row, "person": "nobody", "dish": "nothing"}
    answer = llactr(
        "score", "--row", json.dumps(row), "--row", json.dumps(unknown), "--workspace", ran.workspace, "--json"
    )
    assert answer.code == 0, answer.err
    scores = answer.json["scores"]
    assert len(scores) == 2
    assert all(0 < score < 1 for score in scores)
    assert scores[0] != scores[1]


def test_predict_reads_files(ran, llactr, tmp_path):
    rows = [
        {"person": f"p{n}", "dish": "d1", "device": "desk", "event_timestamp": "2023-11-20T12:00:00Z"} for n in range(3)
    ]
    as_json, lines = tmp_path / "rows.json", tmp_path / "rows.jsonl"
    as_json.write_text(json.dumps(rows), encoding="utf-8")
    lines.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    as_csv = tmp_path / "rows.csv"
    as_csv.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]), encoding="utf-8")
    found = [
        llactr("score", path, "--workspace", ran.workspace, "--json").json["scores"]
        for path in (as_json, lines, as_csv)
    ]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"person": "p1"}', "no 'dish'"),
        ('{"person": "p1", "dish": "d1", "device": "x", "job": "cook"}', "'job', which is not asked for"),
        ("{", "is not JSON"),
        ("[1]", "holds no rows"),
        ('{"person": "p1", "dish": "d1", "device": "x", "event_timestamp": "yesterday"}', "no time with a zone"),
        (
            '{"person": "p1", "dish": "d1", "device": "x", "event_timestamp": "2023-11-20T12:00:00"}',
            "no time with a zone",
        ),
    ],
)
def test_predict_refuses_bad_rows(ran, llactr, row, message):
    answer = llactr("score", "--row", row, "--workspace", ran.workspace)
    assert answer.code == 2
    assert message in " ".join(answer.err.split())


def test_predict_wants_rows(ran, llactr):
    answer = llactr("score", "--workspace", ran.workspace)
    assert answer.code == 2
    assert "--row" in answer.err


def test_same_seed_gives_the_same_bundle(ran, llactr, tmp_path):
    before = load_file(Path(ran.summary["bundle"]) / "model.safetensors")
    answer = llactr("train", "--config", ran.config, "--workspace", ran.workspace, "--force", "--json")
    assert answer.code == 0, answer.err
    after = load_file(Path(answer.json["folder"]) / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_evaluate_tells_plain_paper_and_the_served_arm_with_its_placebos(ran):
    evaluated = next(step for step in ran.summary["steps"] if step["step"] == "evaluate")
    comparison = evaluated["result"]["comparisons"][0]
    served = Arm.parse(ran.summary["served"])
    assert served.is_treatment
    treated = {PLAIN, Arm.parse("paper"), served, served.without_taste, *served.placebos}
    assert [arm["arm"] for arm in comparison["arms"]] == [str(arm) for arm in sorted(treated, key=Arm.place)]
    plain, paper = ([run["metrics"]["all"]["auc"] for run in arm["runs"]] for arm in comparison["arms"][:2])
    gain = next(
        d
        for d in comparison["differences"]
        if (d["arm"], d["baseline"], d["slice"], d["metric"]) == ("paper", "plain", "all", "auc")
    )
    assert gain["mean"] == pytest.approx(np.mean(paper) - np.mean(plain), abs=1e-9)
    assert gain["over_rows"][0] <= gain["mean"] <= gain["over_rows"][1]
    users, moment = (
        {arm["arm"]: [run["metrics"]["all"].get(metric) for run in arm["runs"]] for arm in comparison["arms"]}
        for metric in ("user_auc", "moment_auc")
    )
    assert {arm for arm in users if Arm.parse(arm).history is None and users[arm] != moment[arm]} == set()
    assert users["history"] != moment["history"], "a person's own past moves scores between two moments"
    judged = [str(arm) for arm in sorted(treated, key=Arm.place) if arm.is_treatment]
    assert [one["arm"] for one in comparison["judgements"]] == judged
    assert evaluated["result"]["test_reading"]["models_before"] == 2 * len(treated)
    assert {curve["arm"] for curve in evaluated["result"]["curves"]} == {arm["arm"] for arm in comparison["arms"]}


def test_the_models_of_an_evaluation_are_trained_once(ran, llactr, monkeypatch):
    """More arms train the new ones alone; --force trains all."""
    from llactr.evaluation import runs as evaluate_runs

    trained = []

    def spying(model, data, config):
        trained.append(config.seed)
        return train(model, data, config)

    train = evaluate_runs.train
    monkeypatch.setattr(evaluate_runs, "train", spying)
    arms = [part for arm in ("plain", "fre", "paper") for part in ("--arm", arm)]
    given = ("evaluate", "--config", ran.config, "--workspace", ran.workspace, *arms, "--json")
    answer = llactr(*given)
    assert answer.code == 0, answer.err
    assert trained == [0, 1], "plain and paper are there already"
    reading = answer.json["result"]["test_reading"]
    first = next(step for step in ran.summary["steps"] if step["step"] == "evaluate")["result"]["test_reading"]
    assert (reading["models_before"], reading["earlier_readings"]) == (6, [first["read_at"]])
    assert llactr(*given).json["skipped"]
    again = llactr(*given, "--force")
    assert trained == [0, 1] + [0, 1] * 3
    means = [
        {
            (d["arm"], d["baseline"], d["slice"], d["metric"]): d["mean"]
            for d in one.json["result"]["comparisons"][0]["differences"]
        }
        for one in (again, answer)
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-5)


def test_evaluate_prints_arms_slices_and_verdicts(ran, llactr):
    answer = llactr("evaluate", "--config", ran.config, "--workspace", ran.workspace)
    assert answer.code == 0, answer.err
    words = " ".join(answer.out.split())
    assert "chronological, 2 seeds: " in words
    served = ran.summary["served"]
    placebo = str(Arm.parse(served).placebos[0])
    models = next(step for step in ran.summary["steps"] if step["step"] == "evaluate")["result"]["test_reading"]
    assert f"after {models['models_before']} models were trained" in words
    expected = (placebo, "AUC against plain", f"fm {served} all", f"With {served} instead of plain, fm's test AUC")
    for part in expected:
        assert part in words


def test_a_changed_description_makes_a_new_version(ran, llactr, tmp_path_factory):
    """Two versions live side by side; the bundle of the old one still scores."""
    folder = tmp_path_factory.mktemp("changed")
    workspace = shutil.copytree(ran.workspace, folder / "workspace")
    for source in ran.spec.parent.glob("*.csv"):
        shutil.copy(source, folder)
    spec = yaml.safe_load(ran.spec.read_text(encoding="utf-8"))
    spec["fields"][1]["description"] = "what the person does for a living"
    (folder / "tiny.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    old = next(step for step in ran.summary["steps"] if step["step"] == "encode")["result"]["version"]
    assert llactr("ingest", folder / "tiny.yaml", "--workspace", workspace).code == 0
    encoded = llactr("encode", "--untuned", "--workspace", workspace, "--json")
    assert encoded.code == 0, encoded.err
    assert encoded.json["result"]["version"] != old
    assert llactr("materialize", "--workspace", workspace).code == 0
    row = {"person": "p3", "dish": "d4", "device": "phone", "event_timestamp": "2023-11-20T12:00:00+00:00"}
    scored = llactr("score", "--row", json.dumps(row), "--workspace", workspace, "--json")
    assert scored.code == 0, scored.err
    assert scored.json["semantics_version"] == old


def test_the_console_script_exits_with_2_and_one_sentence(tmp_path):
    found = subprocess.run(
        [sys.executable, "-m", "llactr.jobs.cli", "train", "--workspace", str(tmp_path / "none"), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert json.loads(found.stdout) == {
        "error": f"the workspace {tmp_path / 'none'} holds no dataset: run 'llactr ingest SPEC' first",
        "kind": "NotReadyError",
    }
    assert "Traceback" not in found.stderr


def test_training_with_values_names_the_step_that_is_missing(ran, llactr):
    answer = llactr("train", "--arm", "values", "--workspace", ran.workspace)
    assert answer.code == 2
    assert "the values of 'tiny' have no vectors: run 'llactr encode --values' first" in " ".join(answer.err.split())
    answer = llactr("encode", "--values", "--workspace", ran.workspace)
    assert answer.code == 2
    assert "no field of 'tiny' has a value_text" in " ".join(answer.err.split())


def test_a_copied_workspace_is_applied_and_materialized_anew(ran, llactr, tmp_path):
    """The registry of a copy named the tables of the original; apply and materialize said that nothing had changed."""
    copy = tmp_path / "copy"
    shutil.copytree(ran.workspace, copy)
    for step in ("apply", "materialize"):
        assert not llactr(step, "--workspace", copy, "--json").json["skipped"]
        assert llactr(step, "--workspace", copy, "--json").json["skipped"]
        assert llactr(step, "--workspace", ran.workspace, "--json").json["skipped"]


def test_a_test_split_of_one_class_is_refused_before_anything_is_encoded_or_trained(llactr, tmp_path):
    """All models of the choice were trained, for 25 seconds of a small table, before it was said."""
    spec = write_dataset(tmp_path)
    header, *events = (tmp_path / "events.csv").read_text(encoding="utf-8").splitlines()
    liked = [line.rsplit(",", 1)[0] + ",5" for line in events[-150:]]
    (tmp_path / "events.csv").write_text("\n".join([header, *events[:-150], *liked]), encoding="utf-8")
    place = ("--workspace", tmp_path / "workspace")
    said = "the test split has 80 clicks in 80 rows, it needs both clicks and non-clicks"
    answer = llactr("run", spec, *place)
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert "encode" not in answer.err
    for step in (("encode", "--untuned"), ("apply",)):
        assert llactr(*step, *place).code == 0
    answer = llactr("evaluate", *place)
    assert (answer.code, said in " ".join(answer.err.split())) == (2, True)
    assert not list((tmp_path / "workspace").glob("evaluation_runs/*"))


def test_what_was_judged_by_other_rules_is_judged_anew_with_the_models_there_are(ran, llactr, tmp_path, monkeypatch):
    """A verdict of an earlier version stood in every report that was made later."""
    from llactr.evaluation import runs, step

    workspace = shutil.copytree(ran.workspace, tmp_path / "copy")
    given = ("evaluate", "--config", ran.config, "--workspace", workspace, "--json")
    first = llactr(*given)
    assert llactr(*given).json["skipped"]
    monkeypatch.setattr(step, "RULES", "others")
    monkeypatch.setattr(runs, "train", None)  # nothing is trained
    again = llactr(*given)
    assert not again.json["skipped"]
    earlier = again.json["result"]["test_reading"]["earlier_readings"]
    assert first.json["result"]["test_reading"]["read_at"] in earlier, "and the report says that test was read before"
