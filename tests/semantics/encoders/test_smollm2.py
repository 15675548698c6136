from __future__ import annotations

import numpy as np
import pytest

from llactr.semantics import EncoderConfig, FinetuneConfig, finetune, load_encoder, resolve_model

pytestmark = pytest.mark.slow


def test_the_packaged_causal_model_is_converted_once_and_knows_language():
    folder = resolve_model("smollm2")
    weights = folder / "model.safetensors"
    made = weights.stat().st_mtime_ns
    assert resolve_model("HuggingFaceTB/SmolLM2-135M-Instruct") == folder
    assert weights.stat().st_mtime_ns == made
    encoder = load_encoder(EncoderConfig(model="smollm2"))
    assert (encoder.kind, encoder.dim) == ("causal_lm", 576)
    scores = encoder.log_probability_of_each(["The capital of France is"], [" Paris.", " Berlin.", " cheese."])[0]
    assert scores.argmax() == 0
    vectors = encoder.encode(["The field is: age of the user.", "The field is: age of users.", "The field is: price."])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@pytest.mark.parametrize("loss", ["contrastive", "generative"])
def test_a_short_tuning_of_the_causal_model(loss: str, toy_values, toy_descriptions):
    encoder = load_encoder(EncoderConfig(model="smollm2"))
    config = FinetuneConfig.model_validate(
        {"loss": loss, "values_per_field": 16, "validation_per_field": 0, "held_out_per_field": 4, "epochs": 2,
         "batch_size": 8, "learning_rate": 1e-3}
    )  # fmt: skip
    result = finetune(encoder, toy_descriptions, toy_values, config)
    assert result.after.accuracy >= max(result.before.accuracy, 0.7)
    assert np.mean(result.run.losses[-3:]) < np.mean(result.run.losses[:3])
