"""MLflow is told of models and evaluations where it is asked for, and a bundle comes back from it as a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import llactr
from llactr.errors import DataError, StepError
from tests.jobs.tiny_dataset import CONFIG
from tests.ports import free_port
from tests.serving.serving_process import ROOT

pytestmark = pytest.mark.filterwarnings("ignore")
EVALUATION = {"backbones": ["fm"], "arms": ["plain", "paper"], "seeds": 2,
              "training": {"fm": {"max_epochs": 2, "min_steps": 0, "batch_size": 128}}}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store in local files, which MLflow wants to be asked for twice, and its client."""
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "runs").as_uri()
    return uri, MlflowClient(uri)


def runs_of(client) -> list:
    return [run for one in client.search_experiments() for run in client.search_runs([one.experiment_id])]


def whole_rows(shop: Path) -> pd.DataFrame:
    people, dishes = (pd.read_csv(shop / f"{name}.csv") for name in ("people", "dishes"))
    events = pd.DataFrame({"person": ["p3", "p7", "p3"], "dish": ["d4", "d1", "d9"], "device": ["phone", "desk", None]})
    rows = events.merge(people, on="person", how="left").merge(dishes, on="dish", how="left")
    return rows.assign(event_timestamp="2023-11-20T12:00:00+00:00")


def test_a_model_is_told_once_and_scores_as_the_bundle_does(ws, shop, store) -> None:
    import mlflow

    uri, client = store
    before = mlflow.get_tracking_uri()
    made = llactr.open("shop", mlflow=uri).train(CONFIG["train"])
    llactr.open("shop", mlflow=uri).train(CONFIG["train"])
    assert mlflow.get_tracking_uri() == before
    assert "MLFLOW_TRACKING_URI" not in os.environ, "what a process starts would tell as well"
    (run,) = runs_of(client)
    assert client.get_experiment(run.info.experiment_id).name == "llactr/tiny"
    assert run.info.run_name == run.data.tags["llactr.bundle"] == made.folder.name
    assert run.data.metrics["test_auc"] == made.result.metrics.test.auc
    assert run.data.metrics["test_rows"] == 78
    assert run.data.params["training.batch_size"] == "128"
    assert run.data.params["arm"] == "paper"
    curve = client.get_metric_history(run.info.run_id, "curve.validation_auc")
    assert [one.value for one in curve] == [one.validation_auc for one in made.result.curve]
    kept = client.get_logged_model(run.data.tags["llactr.model"].removeprefix("models:/"))
    assert kept.source_run_id == run.info.run_id
    model = mlflow.pyfunc.load_model(kept.artifact_location)
    rows = whole_rows(shop)
    assert np.array_equal(model.predict(rows), llactr.Scorer.load(made.folder).score(rows))
    with pytest.raises(Exception, match="age"):
        model.predict(rows.drop(columns="age"))


def test_an_evaluation_is_told_with_its_arms_intervals_and_verdict(ws, store) -> None:
    uri, client = store
    found = llactr.evaluate(llactr.open("shop", mlflow=uri), EVALUATION)
    (parent,) = [run for run in runs_of(client) if run.data.tags["llactr.step"] == "evaluate"]
    arms = {run.data.params["arm"]: run for run in runs_of(client) if run.data.tags["llactr.step"] == "arm"}
    assert sorted(arms) == ["paper", "plain"]
    assert {run.data.tags["mlflow.parentRunId"] for run in arms.values()} == {parent.info.run_id}
    comparison = found.result.comparisons[0]
    gain = comparison.difference("paper")
    assert parent.data.metrics["fm.paper-over-plain.auc"] == gain.mean
    assert parent.data.metrics["fm.paper-over-plain.auc.seeds_low"] == gain.over_seeds[0]
    assert parent.data.metrics["fm.paper-over-plain.auc.users_high"] == gain.over_rows[1]
    assert parent.data.tags["llactr.verdict.fm.paper"] == comparison.judgements[0].verdict.value
    assert arms["plain"].data.metrics["test_auc"] == comparison.arm("plain").mean()
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} == {"evaluation.json", "evaluation.txt"}


def test_a_run_that_was_cut_off_is_told_anew(ws, store) -> None:
    uri, client = store
    held = llactr.open("shop").train(CONFIG["train"])
    cut = client.create_run(client.create_experiment("llactr/tiny"), tags={"llactr.key": held.key})
    llactr.open("shop", mlflow=uri).train(CONFIG["train"])
    (run,) = runs_of(client)
    assert run.info.run_id != cut.info.run_id
    assert run.info.status == "FINISHED"


def test_a_store_that_refuses_is_named_and_the_step_stands(ws, monkeypatch, tmp_path) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    uri = (tmp_path / "runs").as_uri()
    with pytest.raises(StepError, match=r"MLflow at file:.*/runs failed \(.*maintenance mode"):
        llactr.open("shop", mlflow=uri).apply()
    with pytest.raises(StepError, match=r"MLflow at http://127.0.0.1:9 failed"):
        llactr.open("shop", mlflow="http://me:secret@127.0.0.1:9").apply()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = llactr.open("shop").train(CONFIG["train"])
    assert made.skipped
    assert "MLFLOW_TRACKING_URI names it" in str(said[-1].message)


def test_without_mlflow_nothing_happens_and_the_flag_names_the_extra(shop, tmp_path) -> None:
    code = (
        "import sys; sys.modules['mlflow'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'mlflow' else real(name, *more)\n"
        "from llactr.jobs.cli import main; sys.argv[1:] = %r; main()"
    )
    environment = {"MLFLOW_TRACKING_URI": "sqlite:///x.db", "PATH": "/usr/bin"}
    command = ["apply", "--workspace", str(shop / "shop")]
    done = subprocess.run([sys.executable, "-c", code % command], env=environment, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "x.db").exists()
    train = ["train", "--backbone", "fm", "--mlflow", "sqlite:///x.db", "--workspace", str(shop / "shop")]
    done = subprocess.run(
        [sys.executable, "-c", code % train], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "the package 'mlflow' is not installed: run pip install 'llactr[mlflow]'" in done.stderr.replace("\n", " ")


def answered(url: str, body: dict, served: subprocess.Popen[bytes]) -> dict:
    """What a server that is starting answers."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            assert served.poll() is None, "the server has ended"
            time.sleep(0.5)


@pytest.mark.slow
def test_mlflow_serves_the_bundle(ws, shop, tmp_path) -> None:
    """`mlflow models serve`, with a SQLite store and the environment that runs this."""
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    made = llactr.open("shop", mlflow=uri).train(CONFIG["train"])
    (run,) = runs_of(MlflowClient(uri))
    port = free_port()
    command = ["models", "serve", "-m", run.data.tags["llactr.model"], "-p", str(port), "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts `uvicorn` by its name
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "PATH": path, "PYTHONPATH": str(ROOT)}
    rows = whole_rows(shop)
    body = {"dataframe_split": json.loads(rows.to_json(orient="split"))}
    with subprocess.Popen([sys.executable, "-m", "mlflow", *command], env=environment, cwd=tmp_path) as served:
        try:
            found = answered(f"http://127.0.0.1:{port}/invocations", body, served)
        finally:
            served.terminate()
    assert np.allclose(found["predictions"], llactr.Scorer.load(made.folder).score(rows), atol=1e-6)


def test_rows_that_the_model_cannot_read_are_refused(ws) -> None:
    from llactr.lifecycle.tracking.pyfunc import _load_pyfunc

    model = _load_pyfunc(str(ws.workspace.current("tiny")["train"]))
    with pytest.raises(DataError, match="the rows have no 'person'"):
        model.predict(pd.DataFrame({"dish": ["d1"]}))
    with pytest.raises(DataError, match="a column of mixed kinds"):
        model.predict(pd.DataFrame({"person": ["p1", 3]}))
