"""Settings of models and of training, and what they refuse."""

from __future__ import annotations

import pytest
import torch
import yaml
from pydantic import ValidationError

from llactr.ctr import BACKBONES, BackboneName, CTRModel, EnhancementConfig, ModelConfig, TrainConfig, check_backbone
from llactr.ctr.backbones.deepfm import DeepFMSettings
from llactr.ctr.training.build import train_config
from llactr.errors import InputError
from tests.ctr.training_fakes import layout


def test_an_unknown_backbone_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="backbone 'dcn' is not known: choose one of fm, fwfm, fmfm, deepfm"):
        check_backbone("dcn")
    with pytest.raises(InputError, match="backbone 'dcn' is not known"):
        ModelConfig.model_validate({"backbone": "dcn"})


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_configuration_survives_json(backbone: BackboneName) -> None:
    config = ModelConfig.model_validate({"backbone": backbone, "enhancement": EnhancementConfig(fre=False)})
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    assert TrainConfig.model_validate_json(TrainConfig.of(backbone).model_dump_json()) == TrainConfig.of(backbone)


def test_settings_differ_from_the_defaults_where_given() -> None:
    config = ModelConfig.model_validate({"backbone": "deepfm", "settings": {"hidden_units": [7]}})
    assert config.settings == DeepFMSettings(hidden_units=(7,))
    assert TrainConfig.of("deepfm", seed=9).seed == 9


@pytest.mark.parametrize(
    ("backbone", "arm", "decay"),
    [
        ("fm", "plain", 0.0),
        ("fm", "values items", 0.0),
        ("fm", "history", 1e-3),
        ("fwfm", "paper history taste", 1e-3),
        ("deepfm", "history", 1e-3),
        ("wukong", "history taste", 1e-2),
    ],
)
def test_the_weight_decay_is_larger_where_a_person_s_past_is_read(
    backbone: BackboneName, arm: str, decay: float
) -> None:
    assert train_config(backbone, 0, {}, arm=arm).weight_decay == decay
    assert train_config(backbone, 0, {"weight_decay": 1e-5}, arm=arm).weight_decay == 1e-5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"backbone": "fm", "settings": {"hidden_units": [7]}}, "hidden_units"),
        ({"backbone": "fm", "colour": 1}, "colour"),
        ({"backbone": "finalmlp", "settings": {"num_heads": 3}}, "which 3 heads do not divide"),
        ({"backbone": "fm", "enhancement": {"fre": False, "fie": False}}, "does nothing: leave the enhancement out"),
        ({"backbone": "fm", "embedding_dim": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(content)


def test_an_enhanced_model_needs_vectors_that_fit() -> None:
    config = ModelConfig.model_validate({"backbone": "fm", "enhancement": EnhancementConfig()})
    with pytest.raises(InputError, match="needs field vectors: run 'llactr encode' first"):
        CTRModel(config, layout())
    with pytest.raises(InputError, match=r"have the shape \(3, 12\), expected \(versions, 4 fields, L\)"):
        CTRModel(config, layout(), torch.ones(3, 12))
    with pytest.raises(InputError, match="not finite: run 'llactr encode --force'"):
        CTRModel(config, layout(), torch.full((4, 12), float("nan")))


def test_a_model_of_several_versions_asks_which() -> None:
    config = ModelConfig.model_validate({"backbone": "fm", "enhancement": EnhancementConfig()})
    model = CTRModel(config, layout(), torch.randn(2, 4, 12))
    with pytest.raises(InputError, match="holds 2 semantics versions: say which one each row has"):
        model(torch.full((3, 4), 3, dtype=torch.int32))


def test_the_seed_makes_the_weights_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    models = [CTRModel(ModelConfig.model_validate({"backbone": "deepfm"}), layout(), seed=s) for s in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [model.embedding.weight for model in models]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_embeddings_start_at_a_hundredth(backbone: BackboneName) -> None:
    model = CTRModel(ModelConfig.model_validate({"backbone": backbone}), layout())
    assert model.embedding.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_off_without_quotes_is_off() -> None:
    """YAML 1.1 reads `off` and `on` as false and true, and a configuration with either was refused."""
    given = TrainConfig.model_validate(yaml.safe_load("{calibration: off, prior: on}"))
    assert (given.calibration, given.prior) == ("off", "on")
    with pytest.raises(ValidationError, match="calibration"):
        TrainConfig.model_validate(yaml.safe_load("{calibration: on}"))
