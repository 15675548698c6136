from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from llactr.errors import StepError
from llactr.semantics import EncoderConfig, LoraSettings, TorchEncoder, TuningConfig, TuningProgress, load_encoder
from llactr.semantics.tuning.loop import rate_at, tune


def test_learning_rates_by_hand():
    config = TuningConfig(learning_rate=1.0, warmup_share=0.2, schedule="linear")
    found = [rate_at(step, steps=10, config=config) for step in range(10)]
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    cosine = config.model_copy(update={"schedule": "cosine"})
    assert rate_at(6, steps=10, config=cosine) == pytest.approx(0.5)
    assert rate_at(9, steps=10, config=cosine) == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)
    constant = config.model_copy(update={"schedule": "constant"})
    assert rate_at(9, steps=10, config=constant) == 1.0


@pytest.fixture
def encoder(tiny_causal: Path) -> TorchEncoder:
    return load_encoder(EncoderConfig(model=str(tiny_causal)))


def towards(encoder: TorchEncoder, text: str = "abc") -> torch.Tensor:
    vector = encoder.embed([text])[0]
    return 1 - vector[0]


def test_the_best_epoch_is_kept_and_patience_ends_the_run(encoder: TorchEncoder):
    scores, seen = iter([0.1, 0.5, 0.4, 0.3, 0.9]), []

    def validate() -> float:
        seen.append(encoder.encode(["abc"]))
        return next(scores)

    config = TuningConfig(epochs=9, patience=2, batch_size=2, learning_rate=0.01)
    run = tune(encoder, example_count=4, loss=lambda _: towards(encoder), validate=validate, config=config)
    assert (run.best_epoch, run.stopped_early) == (1, True)
    assert run.validation == (0.1, 0.5, 0.4, 0.3)
    assert len(run.losses) == 3 * 2
    assert np.array_equal(encoder.encode(["abc"]), seen[1])
    assert not np.array_equal(seen[1], seen[3])


def test_a_tuning_that_only_harms_leaves_the_start(encoder: TorchEncoder):
    base = encoder.encode(["abc"])
    scores = iter([0.9, 0.1, 0.1])
    config = TuningConfig(epochs=5, patience=2)
    run = tune(encoder, example_count=3, loss=lambda _: towards(encoder), validate=lambda: next(scores), config=config)
    assert run.best_epoch == 0
    assert np.array_equal(encoder.encode(["abc"]), base)


def test_every_example_is_seen_once_an_epoch(encoder: TorchEncoder):
    seen: list[np.ndarray] = []

    def loss(rows: np.ndarray) -> torch.Tensor:
        seen.append(rows)
        return towards(encoder)

    steps: list[TuningProgress] = []
    config = TuningConfig(epochs=2, batch_size=4)
    tune(encoder, example_count=10, loss=loss, validate=None, config=config, progress=steps.append)
    assert [sorted(np.concatenate(seen[i : i + 3]).tolist()) for i in (0, 3)] == [list(range(10))] * 2
    assert [(p.phase, p.step, p.steps) for p in steps] == [("tuning", n, 6) for n in range(1, 7)]


def test_the_random_state_of_the_caller_is_left_alone(encoder: TorchEncoder):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    config = TuningConfig(epochs=1, lora=LoraSettings(dropout=0.5))
    run = tune(encoder, example_count=2, loss=lambda _: towards(encoder), validate=None, config=config)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert run.cpu_s > 0 < run.wall_s


def test_a_loss_that_is_not_a_number(encoder: TorchEncoder):
    config = TuningConfig(learning_rate=0.5)
    with pytest.raises(StepError, match=r"the loss of a tuning step is nan: lower the learning rate \(it is 0\.5\)"):
        tune(encoder, example_count=1, loss=lambda _: towards(encoder) * math.nan, validate=None, config=config)


def test_settings_are_checked():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        TuningConfig.model_validate({"learning_rat": 1})
    with pytest.raises(ValidationError, match="Input should be 'constant', 'linear' or 'cosine'"):
        TuningConfig.model_validate({"schedule": "steps"})
