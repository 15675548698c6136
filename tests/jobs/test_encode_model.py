"""`llactr encode` uses the model that is named, with an adapter of that model, or says what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from llactr.lifecycle.config import load_config
from llactr.semantics import EncoderConfig
from llactr.semantics.encoders.models import resolve_model
from llactr.store.vectors import encode_fields, encode_values
from tests.jobs.conftest import Answer, Ran

Command = Callable[..., Answer]


@pytest.fixture
def workspace(ran: Ran, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ran.workspace, tmp_path / "copy"))


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[EncoderConfig]:
    """The encoders that were asked for."""
    asked: list[EncoderConfig] = []
    load = encode_fields.load_encoder

    def loading(config: EncoderConfig) -> object:
        asked.append(config)
        return load(config)

    for module in (encode_fields, encode_values):
        monkeypatch.setattr(module, "load_encoder", loading)
    return asked


def _config(folder: Path, **encoder: str) -> Path:
    path = folder / "encoder.yaml"
    path.write_text(yaml.safe_dump({"semantics": {"encoder": encoder}}), encoding="utf-8")
    return path


def _tuned_on(workspace: Path, model: str) -> Path:
    """Has the adapter's manifest say that it was tuned on another model."""
    (adapter,) = (workspace / "adapters").glob("tiny-*")
    manifest = json.loads((adapter / "manifest.json").read_text(encoding="utf-8"))
    manifest["config"]["encoder"]["model"] = model
    (adapter / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return adapter


@pytest.mark.parametrize("by", ["flag", "configuration"])
def test_the_model_that_is_named_is_not_exchanged_for_the_adapters(
    llactr: Command, workspace: Path, tmp_path: Path, loaded: list[EncoderConfig], by: str
) -> None:
    """`encode --model` was ignored where an adapter existed: the vectors were those of the model tuned before."""
    named = ("--model", "smollm2") if by == "flag" else ("--config", _config(tmp_path, model="smollm2"))
    before = sorted(path.name for path in (workspace / "semantics").iterdir())
    answer = llactr("encode", *named, "--workspace", workspace)
    assert answer.code == 2
    assert " ".join(answer.err.split()).endswith(
        "llactr: the adapter tuned last is of the model 'minilm', the model named is 'smollm2': run 'llactr finetune "
        "--model smollm2' first, encode with --untuned, or name 'minilm' or no model"
    )
    assert loaded == []
    assert sorted(path.name for path in (workspace / "semantics").iterdir()) == before


@pytest.mark.parametrize("name", ["minilm", "sentence-transformers/all-MiniLM-L6-v2", "a folder"])
def test_every_name_of_the_adapters_model_is_that_model(
    llactr: Command, ran: Ran, workspace: Path, loaded: list[EncoderConfig], name: str
) -> None:
    model = str(resolve_model("minilm")) if name == "a folder" else name
    answer = llactr("encode", "--model", model, "--force", "--workspace", workspace, "--json")
    assert answer.code == 0, answer.err
    assert [config.model for config in loaded] == [model]
    assert loaded[0].adapter is not None
    made = next(step for step in ran.summary["steps"] if step["step"] == "encode")["result"]
    assert answer.json["result"]["version"] == made["version"]


def test_where_no_model_is_named_it_is_the_adapters(
    llactr: Command, workspace: Path, loaded: list[EncoderConfig]
) -> None:
    adapter = _tuned_on(workspace, str(resolve_model("minilm")))
    assert llactr("encode", "--force", "--workspace", workspace).code == 0
    assert [(config.model, config.adapter) for config in loaded] == [
        (str(resolve_model("minilm")), adapter / "adapter")
    ]


def test_the_model_that_is_named_is_encoded_untuned(
    llactr: Command, workspace: Path, loaded: list[EncoderConfig]
) -> None:
    _tuned_on(workspace, "smollm2")
    assert llactr("encode", "--model", "minilm", "--untuned", "--workspace", workspace).code == 0
    assert [(config.model, config.adapter) for config in loaded] == [("minilm", None)]


def test_a_folder_of_another_model_is_told_by_its_content(llactr: Command, workspace: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(resolve_model("minilm"), other)
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    answer = llactr("encode", "--model", other, "--workspace", workspace)
    assert answer.code == 2
    said = " ".join(answer.err.split())
    assert "use the same model, or run 'llactr finetune' again" in said


def test_the_adapter_that_the_configuration_names_is_used(
    llactr: Command, workspace: Path, tmp_path: Path, loaded: list[EncoderConfig]
) -> None:
    """It was exchanged for the one tuned last."""
    (tuned,) = (workspace / "adapters").glob("tiny-*")
    own = shutil.copytree(tuned / "adapter", tmp_path / "own")
    config = _config(tmp_path, adapter=str(own))
    answer = llactr("encode", "--config", config, "--workspace", workspace, "--json")
    assert answer.code == 0, answer.err
    assert [one.adapter for one in loaded] == [own]
    assert llactr("encode", "--config", config, "--workspace", workspace, "--json").json["skipped"]
    refused = llactr("encode", "--config", config, "--untuned", "--workspace", workspace)
    assert refused.code == 2
    assert "--untuned was given, and the configuration names the adapter" in " ".join(refused.err.split())


def test_the_model_of_values_is_named_apart(tmp_path: Path) -> None:
    given = load_config(_config(tmp_path, model="first"), values={"model": "second"})
    assert (given.semantics.encoder.model, given.values.encoder.model) == ("first", "second")
