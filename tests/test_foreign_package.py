"""A package of someone else's, installed beside llactr: its backbone, encoder kind, recipe and reader are found by name."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from llactr.ctr import BACKBONES, Bundle, CTRModel, ModelConfig, TrainConfig, TrainingSet, check_backbone, train
from llactr.datasets import RECIPES, fetch
from llactr.errors import InputError, ModelError, SpecError
from llactr.registry import Registry
from llactr.semantics import EncoderConfig, load_encoder
from llactr.semantics.encoders.kinds import ENCODERS
from llactr.serving.readers.base import READERS
from llactr.store import apply, events_table, materialize, training_rows
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import release_version, write_offline

PYPROJECT = """\
[project]
name = "acme-ctr"
version = "1.0"

[project.entry-points."llactr.backbones"]
crossnet = "acme_ctr:CrossNet"

[project.entry-points."llactr.encoders"]
letters = "acme_ctr:Letters"

[project.entry-points."llactr.datasets"]
acme-dishes = "acme_ctr:DISHES"

[project.entry-points."llactr.readers"]
acme = "acme_ctr:AcmeReader"
"""

SOURCE = '''\
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from llactr.ctr.backbones import BackboneSettings
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.pairs import weighted_pairs
from llactr.semantics.encoders.torch_encoder import TorchEncoder
from llactr.serving.readers.sqlite import SqliteReader


class CrossNetSettings(BackboneSettings):
    depth: int = 2


class CrossNet(Backbone):
    settings = CrossNetSettings
    training_defaults = {"weight_decay": 1e-4}
    linear = False

    def __init__(self, settings, *, field_count, dim):
        super().__init__(settings, field_count=field_count, dim=dim)
        size = field_count * dim
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(settings.depth))
        self.last = nn.Linear(size, 1)

    def forward(self, embedded, *, first_order, pairs):
        x = start = embedded.flatten(1)
        for layer in self.layers:
            x = x + start * layer(x)
        logits = self.last(x).squeeze(1)
        return logits if pairs is None else logits + weighted_pairs(embedded, pairs)


class Letters(TorchEncoder):
    """The mean of a row per letter."""

    kind = "letters"
    pooling = "mean"

    def __init__(self, *, name, folder, prompts, device, dtype):
        super().__init__(name=name, folder=folder, prompts=prompts, device=device, dtype=dtype)
        self.rows = nn.EmbeddingBag.from_pretrained(load_file(folder / "model.safetensors")["rows"])

    @classmethod
    def recognises(cls, folder):
        return json.loads((folder / "config.json").read_text()).get("letters", False)

    @property
    def dim(self):
        return self.rows.embedding_dim

    @property
    def module(self):
        return self.rows

    def embed(self, texts):
        return functional.normalize(torch.stack([self.rows(torch.tensor([[ord(c) % 64 for c in t]]))[0] for t in texts]))


@dataclass(frozen=True)
class Dishes:
    name: str = "acme-dishes"
    credit: str = "Acme, by their kind permission"

    def fetch(self, *, folder, cache):
        return folder or cache / self.name


DISHES = Dishes()


class AcmeReader(SqliteReader):
    @classmethod
    def reads(cls, store):
        return False
'''

REGISTRIES: tuple[Registry[type] | Registry[object], ...] = (BACKBONES, ENCODERS, RECIPES, READERS)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, installed: what an installer makes of its pyproject lies beside it on Python's path."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "acme_ctr.py").write_text(SOURCE)
    project = tomllib.loads(PYPROJECT)["project"]
    facts = site / "acme_ctr-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups))
    monkeypatch.syspath_prepend(site)
    before = [registry._entries for registry in REGISTRIES]
    for registry in REGISTRIES:  # what is loaded in a test is gone after it, but for ours, which are imported once
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    yield
    for registry, kept in zip(REGISTRIES, before, strict=True):
        kept.update({name: entry for name, entry in registry._entries.items() if name in registry._ours()})
    sys.modules.pop("acme_ctr", None)


@pytest.mark.usefixtures("acme")
def test_a_foreign_backbone_is_trained_saved_loaded_and_served(tmp_path: Path) -> None:
    workspace, spec = write_offline(tmp_path / "ws")
    vectors = release_version(workspace, spec, "v-one", seed=5)
    apply(workspace)
    materialize(workspace)
    rows = training_rows(workspace, spec)
    training_set = TrainingSet.build(spec, rows, lambda version: vectors)
    config = ModelConfig.model_validate(
        {"backbone": "crossnet", "embedding_dim": 8, "settings": {"depth": 3}, "enhancement": {"fre": False}}
    )
    assert config.model_dump(mode="json")["settings"] == {"depth": 3}
    model = CTRModel(config, training_set.transform.layout, training_set.field_vectors(), seed=1)
    before = model.backbone.last.weight.detach().clone()  # type: ignore[union-attr]
    defaults = TrainConfig.of("crossnet", max_epochs=2, min_steps=0, batch_size=256, device="cpu")
    assert defaults.weight_decay == 1e-4
    train(model, training_set.data, defaults)
    assert not torch.equal(before, model.backbone.last.weight)  # type: ignore[union-attr]
    bundle = Bundle.of(
        model, spec=spec, transform=training_set.transform, vectors=training_set.current_vectors, metrics={}
    )
    folder = workspace.artifact("bundles", "foreign")
    with workspace.writing(folder) as draft:
        bundle.save(draft)
    workspace.set_current(spec.name, "train", folder)
    loaded = Bundle.load(folder)
    assert type(loaded.model.backbone).__module__ == "acme_ctr"
    assert loaded.model.config == model.config
    assert model.config.model_copy(update={"calibrated": False}) == config, "few clicks: it was calibrated"
    expected = bundle.score(rows)
    assert np.array_equal(loaded.score(rows), expected)
    assert len(set(expected.tolist())) > 100
    from llactr.diagnostics.service_agreement import request_rows

    with started(workspace) as service:
        body = {"rows": request_rows(events_table(workspace, spec).slice(0, 500), spec)}
        answer = service.ask("POST", "/v1/predict", body)
    assert answer.status == 200, answer.body
    assert np.abs(np.array(answer.json["scores"]) - expected[:500]).max() <= 1e-6


@pytest.mark.usefixtures("acme")
def test_an_unknown_name_lists_what_the_package_offers() -> None:
    with pytest.raises(
        InputError, match=r"fm, fwfm, fmfm, deepfm, finalmlp, wukong, din, crossnet; did you mean 'crossnet'"
    ):
        check_backbone("crosnet")
    with pytest.raises(SpecError, match=r"there is no recipe 'acme': known are .*movielens-100k.*, acme-dishes"):
        RECIPES["acme"]
    with pytest.raises(
        ModelError, match=r"encoder kind 'bert' is not known: choose one of sentence_transformer, causal_lm, letters"
    ):
        ENCODERS["bert"]
    assert READERS["acme"].__module__ == "acme_ctr"
    assert "acme" in READERS


def test_without_the_package_its_bundle_says_what_is_missing() -> None:
    with pytest.raises(InputError, match="backbone 'crossnet' is not known: choose one of fm"):
        ModelConfig.model_validate({"backbone": "crossnet"})


@pytest.mark.usefixtures("acme")
def test_a_foreign_encoder_is_recognised_and_encodes(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"letters": True}))
    rows = torch.randn(64, 12, generator=torch.Generator().manual_seed(0))
    save_file({"rows": rows}, folder / "model.safetensors")
    encoder = load_encoder(EncoderConfig(model=str(folder), device="cpu"))
    assert encoder.kind == "letters"
    mean = rows[[ord("a") % 64, ord("b") % 64]].mean(0)
    assert np.allclose(encoder.encode(["ab"])[0], (mean / mean.norm()).numpy(), atol=1e-6)
    assert load_encoder(EncoderConfig(model=str(folder), kind="letters")).fingerprint == encoder.fingerprint


@pytest.mark.usefixtures("acme")
def test_a_foreign_recipe_is_fetched(tmp_path: Path) -> None:
    assert fetch("acme-dishes", cache=tmp_path) == tmp_path / "acme-dishes"
    assert RECIPES["acme-dishes"].credit == "Acme, by their kind permission"
