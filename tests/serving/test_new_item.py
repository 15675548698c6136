"""Two new items come in while the service runs: cold and equal at first, ranked by their texts once these are there."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from llactr.jobs.cli import app
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import SPEC, write_dataset
from tests.serving.serving_asgi import started

CONFIG = {
    "semantics": {"tune": False},
    "values": {"colike": {"steps": 2, "batch_size": 3}},
    "train": {
        "backbone": "fm",
        "arm": "values",
        "training": {"max_epochs": 6, "min_steps": 0, "batch_size": 64, "learning_rate": 0.02},
    },
}
TEXTS = {"dish": ["tags"], "tags": True}


def test_two_new_dishes_are_told_apart_without_retraining(tmp_path: Path) -> None:
    fields = [{**f, **({"value_text": TEXTS[f["name"]]} if f["name"] in TEXTS else {})} for f in SPEC["fields"]]
    spec = write_dataset(tmp_path, fields=fields)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    workspace = tmp_path / "workspace"

    def llactr(*arguments: object) -> Any:
        done = CliRunner().invoke(app, [*map(str, arguments), "--workspace", str(workspace), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    llactr("ingest", spec)
    llactr("encode", "--config", config)
    llactr("finetune", "--objective", "colike", "--config", config)
    first = llactr("encode", "--values", "--config", config)["result"]
    assert first["adapter"], "values are encoded by the encoder that was tuned for them"
    llactr("apply")
    llactr("materialize")
    trained = llactr("train", "--config", config)["result"]
    assert trained["values_version"] == first["version"]

    body = {"user": "p3", "items": ["new-1", "new-2", "d1"], "context": {"device": "phone"}}
    body["timestamp"] = "2023-11-20T12:00:00Z"
    with started(Workspace.at(workspace), cache_ttl_s=60) as asgi:
        before = asgi.ask("POST", "/v1/rank", body).json
        assert before["cold"]["item"] == 2
        assert before["unseen"] == {"placed": {}, "cold": {"dish": 2}}
        assert before["scores"][0] == before["scores"][1]

        folder = tmp_path / "late"
        folder.mkdir()
        with (folder / "dishes.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["dish", "tags"], ["new-1", "fish|rice"], ["new-2", "leek|beef"]])
        assert llactr("ingest", spec, "--append", "--data", folder)["result"]["new_rows"]["item"] == 2
        second = llactr("encode", "--values", "--config", config)["result"]
        assert second["version"] == first["version"]
        assert second["new_texts"] == 2, "nothing but the new dishes is encoded"
        still = asgi.ask("POST", "/v1/rank", body).json
        assert still["scores"] == before["scores"], "nothing is online yet"

        llactr("materialize")
        after = asgi.ask("POST", "/v1/rank", body).json
        assert after["cold"]["item"] == 0
        assert after["unseen"] == {"placed": {"dish": 2}, "cold": {}}
        assert abs(after["scores"][0] - after["scores"][1]) > 1e-4
        assert after["scores"][2] == pytest.approx(before["scores"][2], abs=1e-7)
        assert after["bundle"] == before["bundle"]
    checked = llactr("check", "--rows", "200")["result"]
    assert checked["holds"]
    # The rows that were added are part of the dataset from now on.
    assert llactr("ingest", spec)["skipped"]
    assert llactr("ingest", spec, "--append", "--data", folder)["result"]["new_rows"]["item"] == 0
    refused = CliRunner().invoke(app, ["ingest", str(spec), "--append", "--workspace", str(workspace)])
    assert refused.exit_code == 2
    assert "--append needs --data FOLDER" in refused.output
