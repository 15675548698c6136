"""What a warm start carries over, asserted row by row on tables written by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from llactr.ctr import CTRModel, ModelConfig, TrainConfig
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import Moments, TrainingStep
from llactr.ctr.training.trainer import train
from llactr.ctr.training.warm.start import moved_moments, take_over, unlike_fields, unlike_models
from llactr.ctr.training.warm.state import TrainedState, TrainingFacts
from llactr.errors import BundleError, InputError
from llactr.spec import DatasetSpec
from llactr.transforms import Transform
from tests import specs
from tests.ctr.training_fakes import clicks, model

NOON = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
FACTS = TrainingFacts(until_us=5, history_before_us=6, tables="t", base=None, config={"arm": "plain"})


def spec(*, kind: str = "categorical", name: str = "c") -> DatasetSpec:
    one = {"name": name, "kind": kind, "owner": "context", "description": "some words"}
    return specs.spec_of(one, {"name": "hour", "kind": "timestamp_part", "part": "hour", "owner": "context",
                               "description": "the hour"})  # fmt: skip


def fitted(values: str) -> Transform:
    times = pa.array([NOON] * len(values), pa.timestamp("us", "UTC"))
    return Transform.fit(spec(), pa.table({"event_timestamp": times, "c": list(values)}))


def fm(transform: Transform, seed: int = 0) -> CTRModel:
    config = ModelConfig.model_validate({"backbone": "fm", "embedding_dim": 2})
    return CTRModel(config, transform.layout, seed=seed)


OLD, NEW = fitted("aabbc"), fitted("dddbba")
"""Rows of c: pad 0, oov 1, null 2, then a 3, b 4, c 5 in the old one; d 3, b 4, a 5 in the new one."""


def numbered(model_: CTRModel) -> dict[str, Tensor]:
    """Weights that say where they come from: row r of the table is (r, r + .5), its first-order weight 10 r."""
    weights = {name: value.clone() for name, value in model_.state_dict().items()}
    rows = torch.arange(len(weights["embedding.weight"]), dtype=torch.float32)
    weights["embedding.weight"] = torch.stack([rows, rows + 0.5], 1)
    weights["embedding.linear"] = 10 * rows
    return weights


def test_known_values_keep_their_rows_and_new_ones_get_theirs() -> None:
    made = fm(NEW, seed=4)
    fresh = made.embedding.weight.detach().clone()
    take_over(made, numbered(fm(OLD)), own=NEW, other=OLD)
    assert made.embedding.linear is not None
    assert made.embedding.weight[:6].tolist()[:3] == [[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]
    assert made.embedding.weight[3].tolist() == fresh[3].tolist(), "d is new: as it was made"
    assert made.embedding.weight[4].tolist() == [4.0, 4.5]
    assert made.embedding.weight[5].tolist() == [3.0, 3.5], "a was row 3"
    assert made.embedding.linear[:6].tolist() == [0.0, 10.0, 20.0, 0.0, 40.0, 30.0]
    # The hours come behind 6 rows in both.
    assert made.embedding.weight[6].tolist() == [6.0, 6.5]
    assert made.embedding.weight[-1].tolist() == [32.0, 32.5]


def test_moments_move_with_their_rows_and_are_zero_for_new_values() -> None:
    rows = torch.arange(33, dtype=torch.float32)
    before = {
        "embedding.weight.first": torch.stack([rows, rows], 1), "embedding.weight.second": torch.stack([rows, rows], 1),
        "embedding.weight.steps": torch.tensor(7.0), "embedding.linear.first": rows,
        "backbone.bias.first": torch.tensor([3.0]),
    }  # fmt: skip
    moved = moved_moments(before, own=NEW, other=OLD)
    assert moved["embedding.weight.first"][:7, 0].tolist() == [0.0, 1.0, 2.0, 0.0, 4.0, 3.0, 6.0]
    assert moved["embedding.linear.first"][:7].tolist() == [0.0, 1.0, 2.0, 0.0, 4.0, 3.0, 6.0]
    assert moved["embedding.weight.steps"].item() == 7.0
    assert moved["backbone.bias.first"].tolist() == [3.0]


def test_a_grown_vocabulary_keeps_values_that_vanished() -> None:
    grown = OLD.grown(pa.table({"event_timestamp": pa.array([NOON], pa.timestamp("us", "UTC")), "c": ["d"]}))
    made = fm(grown)
    take_over(made, numbered(fm(OLD)), own=grown, other=OLD)
    assert made.embedding.weight[3:6].tolist() == [[3.0, 3.5], [4.0, 4.5], [5.0, 5.5]]
    assert made.embedding.weight[7].tolist() == [6.0, 6.5], "the hours moved by one row"


def test_weights_of_another_shape_are_refused() -> None:
    weights = numbered(fm(OLD))
    weights["embedding.weight"] = torch.zeros(33, 3)
    with pytest.raises(InputError, match=r"'embedding.weight' is \(33, 3\), expected \(33, 2\); train anew"):
        take_over(fm(NEW), weights, own=NEW, other=OLD)
    del weights["embedding.weight"]
    with pytest.raises(InputError, match=r"'embedding\.weight' is missing"):
        take_over(fm(NEW), weights, own=NEW, other=OLD)


def test_why_not() -> None:
    assert unlike_fields(spec(), spec()) == ""
    assert unlike_fields(spec(), spec(name="d")).startswith("the fields are others (without ['c'], with ['d']")
    assert unlike_fields(spec(), spec(kind="numeric")) == "field 'c' was categorical and is numeric"
    plain = ModelConfig.model_validate({"backbone": "fm"})
    assert unlike_models(plain, plain.model_copy(update={"calibrated": True})) == ""
    assert unlike_models(plain, ModelConfig.model_validate({"backbone": "fwfm"})) == "its backbone is fm, not fwfm"
    wider = ModelConfig.model_validate({"backbone": "fm", "embedding_dim": 8})
    assert unlike_models(plain, wider) == "its embeddings have 32 dimensions, not 8"
    enhanced = ModelConfig.model_validate({"backbone": "fm", "enhancement": {}})
    assert unlike_models(plain, enhanced) == "its model has another enhancement"
    small = ModelConfig.model_validate({"backbone": "deepfm", "settings": {"hidden_units": [4]}})
    assert unlike_models(ModelConfig.model_validate({"backbone": "deepfm"}), small) == "its model has other settings"


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
def test_two_trainings_of_one_epoch_are_one_of_two(optimizer: str) -> None:
    """With the moments carried over nothing is lost in between: to the bit, where rows come in the same order."""
    data = clicks(900)
    config = TrainConfig.model_validate(
        {"batch_size": 10_000, "learning_rate": 0.02, "min_steps": 0, "device": "cpu", "embedding_optimizer": optimizer}
    )
    whole, halves, moments = model("deepfm", dropout=False), model("deepfm", dropout=False), Moments()
    steps = TrainingStep(whole, config, Processes())
    rows = data.split.train
    batch = Batch(*(torch.from_numpy(part[rows]) for part in (data.ids, data.label, data.version)))
    whole.train()
    steps(batch), steps(batch)
    for _ in range(2):  # a batch of all rows, in another order, sums up otherwise: the same batch by hand
        one = TrainingStep(halves, config, Processes())
        one.take_moments(moments.tensors)
        halves.train()
        one(batch)
        moments.tensors = {name: value.clone() for name, value in one.moments().items()}
    for name, value in whole.state_dict().items():
        assert torch.equal(value, halves.state_dict()[name]), name
    assert moments.tensors["embedding.weight.steps"].item() == 2


def test_moments_of_one_optimizer_serve_the_other() -> None:
    data, lazy = clicks(600), {"embedding_optimizer": "lazy"}
    config = {"batch_size": 256, "max_epochs": 1, "min_steps": 0, "device": "cpu"}
    moments = Moments()
    train(model("fm"), data, TrainConfig.model_validate(config), moments=moments)
    step = TrainingStep(model("fm"), TrainConfig.model_validate({**config, **lazy}), Processes())
    step.take_moments(moments.tensors)
    assert torch.equal(step.moments()["embedding.weight.second"], moments.tensors["embedding.weight.second"])


def test_kept_moments_are_those_of_the_best_epoch() -> None:
    data = clicks(1200)
    config = TrainConfig.model_validate(
        {"batch_size": 256, "learning_rate": 0.05, "max_epochs": 12, "patience": 11, "min_steps": 0, "device": "cpu"}
    )
    long, best = Moments(), Moments()
    result = train(model("fm"), data, config, moments=long)
    assert result.best_epoch < 12
    train(model("fm"), data, config.model_copy(update={"max_epochs": result.best_epoch}), moments=best)
    assert {name: value.tolist() for name, value in long.tensors.items()} == {
        name: value.tolist() for name, value in best.tensors.items()
    }


def test_a_state_is_kept_and_a_bit_of_damage_is_seen(tmp_path: Path) -> None:
    state = TrainedState(FACTS, {"embedding.weight.first": torch.ones(78, 8)})
    assert state.save(tmp_path) == sum(path.stat().st_size for path in tmp_path.iterdir())
    loaded = TrainedState.load(tmp_path)
    assert loaded is not None
    assert loaded.facts == FACTS
    assert torch.equal(loaded.moments["embedding.weight.first"], torch.ones(78, 8))
    content = bytearray((tmp_path / "warm.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "warm.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match=r"warm\.safetensors is not the file that was saved; train anew"):
        TrainedState.load(tmp_path)
    (tmp_path / "warm.json").write_text("{}")
    with pytest.raises(BundleError, match=r"warm\.json cannot be read"):
        TrainedState.facts_in(tmp_path)
    (tmp_path / "warm.json").unlink()
    assert TrainedState.load(tmp_path) is None


def test_nothing_is_remembered_of_a_value_that_left() -> None:
    state = TrainedState(FACTS, {"embedding.linear.first": torch.arange(6.0), "embedding.linear.steps": torch.ones(())})
    assert state.without([4]).moments["embedding.linear.first"].tolist() == [0, 1, 2, 3, 0, 5]
    assert state.moments["embedding.linear.first"].tolist() == [0, 1, 2, 3, 4, 5], "the state itself is as it was"
