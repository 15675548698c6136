"""Every backbone, FRE and FIE against numbers computed with the authors' published code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from llactr.ctr import BACKBONES, BackboneName, CTRModel, EnhancementConfig, ModelConfig
from llactr.transforms import FieldLayout

FIXTURES = Path(__file__).parent / "fixtures"
TOLERANCE = 1e-5


PUBLISHED = tuple(name for name in BACKBONES if name != "din")
"""The authors' code has no DIN; `test_attention` works it out by hand."""


class Published:
    """One fixture: the authors' weights, ids, vectors and expected outputs."""

    def __init__(self, backbone: BackboneName) -> None:
        with safe_open(FIXTURES / f"{backbone}.safetensors", "pt") as file:
            self.tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            meta = file.metadata()
        self.backbone = backbone
        self.fields = json.loads(meta["fields"])
        self.sizes = json.loads(meta["vocab_sizes"])
        self.config = json.loads(meta["config"])
        self.lambda_fre, self.lambda_fie = float(meta["lambda_fre"]), float(meta["lambda_fie"])
        self.ids = self.tensors["input.ids"].int()
        self.label = self.tensors["input.label"]
        self.vectors = self.tensors["input.field_vectors"]

    def param(self, name: str) -> Tensor:
        return self.tensors[f"param.{name}"]

    def tables(self, prefix: str) -> Tensor:
        """The fields' tables, in the order of the fields, one below the other."""
        return torch.cat([self.param(f"{prefix}embedding_layer.embedding_layer.{f}.weight") for f in self.fields])

    def settings(self) -> dict[str, object]:
        c = self.config
        match self.backbone:
            case "deepfm":
                return {"hidden_units": c["hidden_units"]}
            case "finalmlp":
                return {
                    "first_hidden_units": c["mlp1_hidden_units"],
                    "second_hidden_units": c["mlp2_hidden_units"],
                    "gate_hidden_units": c["fs_hidden_units"],
                    "num_heads": c["num_heads"],
                    "dropout": 0,
                }
            case "wukong":
                names = ("num_layers", "project_dim", "fmb_units", "fmb_dim", "compression_dim", "mlp_hidden_units")
                return {name: c[name] for name in names}
            case _:
                return {}

    def model(self, *, enhanced: bool) -> CTRModel:
        enhancement = EnhancementConfig(lambda_fre=self.lambda_fre, lambda_fie=self.lambda_fie) if enhanced else None
        settings = self.settings()
        if self.backbone == "deepfm":
            settings["dropout"] = 0  # the authors' layers are numbered without dropout between them
        config = ModelConfig(backbone=self.backbone, settings=settings, enhancement=enhancement)
        layout = FieldLayout(tuple(self.fields), tuple(self.sizes), (1,) * len(self.sizes))
        model = CTRModel(config, layout, self.vectors if enhanced else None)
        state = {f"backbone.{ours}": value for ours, value in self.backbone_state().items()}
        state["embedding.weight"] = self.tables("embedding_layer.")
        if (linear := self.linear()) is not None:
            state["embedding.linear"] = linear.squeeze(1)
        if enhanced:
            for ours, theirs in (("projection", "fc_4096_32"), ("interaction", "sim_weight")):
                for part in ("weight", "bias"):
                    state[f"enhancement.{ours}.{part}"] = self.param(f"{theirs}.{part}")
        model.load_state_dict(state, strict=True)
        return model.eval()

    def linear(self) -> Tensor | None:
        prefix = {"fm": "fm_layer.lr_layer.", "deepfm": "fm_layer.lr_layer.", "fmfm": "lr_layer."}.get(self.backbone)
        return None if prefix is None else self.tables(prefix)

    def backbone_state(self) -> dict[str, Tensor]:
        """The backbone's own weights under our names."""
        p = self.param
        match self.backbone:
            case "fm":
                return {"bias": p("fm_layer.lr_layer.bias")[0]}
            case "fwfm":
                return {
                    "pair_weight": p("interaction_weight_layer.weight")[0],
                    "bias": p("interaction_weight_layer.bias")[0],
                    "linear_weight": p("linear_weight_layer.weight").view(len(self.fields), 1, -1),
                }
            case "fmfm":
                return {"interaction": p("interaction_weight")}
            case "deepfm":
                return self._renamed({"dnn.dnn.": "mlp."})
            case "finalmlp":
                state = self._renamed(
                    {
                        "mlp1.dnn.": "first.",
                        "mlp2.dnn.": "second.",
                        "fs_module.fs1_ctx_bias": "first_gate.context",
                        "fs_module.fs2_ctx_bias": "second_gate.context",
                        "fs_module.fs1_gate.dnn.": "first_gate.mlp.",
                        "fs_module.fs2_gate.dnn.": "second_gate.mlp.",
                        "fusion_module.w_x.": "fusion.x.",
                        "fusion_module.w_y.": "fusion.y.",
                    }
                )
                heads = self.config["num_heads"]
                x_units = self.config["mlp1_hidden_units"][-1] // heads
                return state | {"fusion.bilinear": p("fusion_module.w_xy").view(heads, x_units, -1)}
            case "wukong":
                names = {"final_mlp.dnn.": "mlp."}
                for i in range(self.config["num_layers"]):
                    names |= {
                        f"interaction_layers.{i}.fmb.fm_block.projection_matrix": f"layers.{i}.projection",
                        f"interaction_layers.{i}.fmb.layer_norm.": f"layers.{i}.fm_norm.",
                        f"interaction_layers.{i}.fmb.mlp.": f"layers.{i}.fm_mlp.",
                        f"interaction_layers.{i}.lcb.linear.": f"layers.{i}.compression.",
                        f"interaction_layers.{i}.layer_norm.": f"layers.{i}.norm.",
                        f"interaction_layers.{i}.transform.": f"layers.{i}.transform.",
                    }
                return self._renamed(names)

    def _renamed(self, names: dict[str, str]) -> dict[str, Tensor]:
        found = {}
        for theirs, value in self.tensors.items():
            for prefix, ours in names.items():
                if theirs.startswith(f"param.{prefix}"):
                    found[ours + theirs.removeprefix(f"param.{prefix}")] = value
        return found

    def authors_constant(self) -> float:
        """What the authors' FinalMLP and WuKong add to every logit: lambda * sum of A c + a."""
        unit = self.vectors / self.vectors.norm(dim=1, keepdim=True)
        cosines = (unit @ unit.T)[np.triu_indices(len(self.fields), 1)]
        weights = self.param("sim_weight.weight") @ cosines + self.param("sim_weight.bias")
        return self.lambda_fie * float(weights.sum())


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_backbone_gives_the_published_probabilities(backbone: BackboneName) -> None:
    published = Published(backbone)
    with torch.no_grad():
        probability = torch.sigmoid(published.model(enhanced=False)(published.ids))
    expected = published.tensors["expected.probability_backbone"]
    assert (probability - expected).abs().max() < TOLERANCE
    assert expected.std() > 0.01, "the expected numbers differ between rows, so the comparison says something"


@pytest.mark.parametrize("backbone", PUBLISHED)
@pytest.mark.parametrize("grad", [True, False], ids=["training", "scoring"])
def test_fie_gives_the_published_probabilities(backbone: BackboneName, grad: bool) -> None:
    published = Published(backbone)
    expected = published.tensors["expected.probability_enhanced"]
    with torch.set_grad_enabled(grad):
        if backbone in ("finalmlp", "wukong"):
            logits = published.model(enhanced=False)(published.ids) + published.authors_constant()
        else:
            logits = published.model(enhanced=True)(published.ids)
    assert (torch.sigmoid(logits) - expected).abs().max() < TOLERANCE


@pytest.mark.parametrize("backbone", PUBLISHED)
def test_losses_are_the_published_ones(backbone: BackboneName) -> None:
    published = Published(backbone)
    loss = published.model(enhanced=True).loss(published.ids, published.label)
    assert loss.representation is not None
    expected = {name: float(published.tensors[f"expected.loss_{name}"]) for name in ("bce", "kl", "total")}
    assert loss.representation.item() == pytest.approx(expected["kl"], rel=TOLERANCE)
    assert loss.total.item() == pytest.approx(
        loss.clicks.item() + published.lambda_fre * loss.representation.item(), rel=TOLERANCE
    )
    if backbone not in ("finalmlp", "wukong"):  # their FIE term is one number for all rows, ours is per row
        assert loss.clicks.item() == pytest.approx(expected["bce"], rel=TOLERANCE)
        assert loss.total.item() == pytest.approx(expected["total"], rel=TOLERANCE)


@pytest.mark.parametrize("backbone", ["finalmlp", "wukong"])
def test_fie_differs_between_rows_in_every_backbone(backbone: BackboneName) -> None:
    published = Published(backbone)
    with torch.no_grad():
        term = published.model(enhanced=True)(published.ids) - published.model(enhanced=False)(published.ids)
        embedded = published.tables("embedding_layer.")[
            published.ids.long() + torch.tensor(np.concatenate([[0], np.cumsum(published.sizes)[:-1]]))
        ]
    unit = published.vectors / published.vectors.norm(dim=1, keepdim=True)
    i, j = np.triu_indices(len(published.fields), 1)
    weights = published.param("sim_weight.weight") @ (unit @ unit.T)[i, j] + published.param("sim_weight.bias")
    by_hand = published.lambda_fie * ((embedded[:, i] * embedded[:, j]).sum(2) * weights).sum(1)
    torch.testing.assert_close(term, by_hand, rtol=1e-4, atol=TOLERANCE)
    assert term.std() > 0
