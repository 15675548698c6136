"""Bad input of every kind: exit code 2, one sentence that says what to do, and what was there before stays."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import yaml

from tests.jobs.tiny_dataset import SPEC, write_dataset


def _state(root: Path) -> dict[str, str]:
    # The log says what was refused; all else stays as it was.
    files = [path for path in root.rglob("*") if path.is_file() and path.name not in {".lock", "llactr.log"}]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _said(answer) -> str:
    lines = [line for line in answer.err.splitlines() if line.strip()]
    return " ".join(" ".join(lines).split())


def _spec_without(column: str) -> dict:
    return {"fields": [field for field in SPEC["fields"] if field["name"] != column]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": {"column": "score", "above": 3}}, "score"),
        ({"label": {"column": "stars"}}, "not binary"),
        ({"fields": [*SPEC["fields"], SPEC["fields"][0]]}, "listed twice"),
        ({"fields": [*SPEC["fields"], {**SPEC["fields"][1], "name": "height"}]}, "height"),
        ({"fields": [*SPEC["fields"][:2], {**SPEC["fields"][1], "name": "job2", "kind": "numeric", "source_column": "job"}]}, "nurse"),
        ({"timestamp": {"column": "at"}}, "unit"),
        ({"colour": "red"}, "colour"),
        ({"events": "nowhere"}, "nowhere"),
    ],
)  # fmt: skip
def test_ingest_refuses_and_leaves_what_was_there(llactr, ran, tmp_path, changes, message):
    before = _state(ran.workspace)
    answer = llactr("ingest", write_dataset(tmp_path, **changes), "--workspace", ran.workspace)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert message in _said(answer), _said(answer)
    assert _state(ran.workspace) == before


def test_empty_table(llactr, ran, tmp_path):
    spec = write_dataset(tmp_path)
    (tmp_path / "events.csv").write_text("person,dish,device,at,stars\n", encoding="utf-8")
    before = _state(ran.workspace)
    answer = llactr("ingest", spec, "--workspace", ran.workspace)
    assert answer.code == 2
    assert "no rows" in _said(answer)
    assert _state(ran.workspace) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--backbone", "deepdream"), "choose one of fm, fwfm, fmfm, deepfm, finalmlp, wukong, din"),
        (("train", "--arm", "golden"), "plain"),
        (("evaluate", "--backbone", "fm", "--backbone", "nope"), "choose one of"),
        (("finetune", "--model", "no-such-model-anywhere"), "cannot be resolved"),
        (("finetune", "--loss", "hope"), "contrastive"),
        (("encode", "--effective-from", "tomorrow"), "--effective-from"),
        (("encode", "--ray", "local"), "--ray goes with --values"),
        (("score", "--row", "{}", "--bundle", "lost"), "no bundle 'lost'"),
        (("score", "--row", "{}", "--ray", "local"), "--ray goes with --out"),
        (("export", "--to", "parquet", "--buckets", "2"), "buckets go with training_set"),
        (("export", "--to", "training_set", "--ray", "local"), "say how many with --buckets"),
        (("ingest", "no-such-spec"), "no dataset spec"),
        (("train", "--dataset", "other"), "no dataset 'other'"),
        (("train", "--config", "missing.yaml"), "missing.yaml"),
    ],
)
def test_commands_refuse_and_leave_what_was_there(llactr, ran, monkeypatch, arguments, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = _state(ran.workspace)
    answer = llactr(*arguments, "--workspace", ran.workspace)
    assert answer.code == 2
    assert message in _said(answer), _said(answer)
    assert _state(ran.workspace) == before


def test_unknown_configuration_key(llactr, ran, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump({"train": {"learning": 1}}), encoding="utf-8")
    answer = llactr("train", "--config", config, "--workspace", ran.workspace)
    assert answer.code == 2
    assert "train.learning" in _said(answer)


def test_corrupted_bundle(llactr, ran, tmp_path):
    bundle = shutil.copytree(ran.summary["bundle"], tmp_path / "bundle")
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    row = '{"person": "p1", "dish": "d1", "device": "desk"}'
    answer = llactr("score", "--row", row, "--bundle", bundle, "--workspace", ran.workspace)
    assert answer.code == 2
    assert "damaged" in _said(answer) or "corrupt" in _said(answer), _said(answer)
