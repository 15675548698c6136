from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llactr.errors import DataError, ModelError
from llactr.semantics import (
    EncoderConfig,
    FinetuneConfig,
    FinetuneResult,
    LoraSettings,
    TuningProgress,
    finetune,
    load_encoder,
)
from llactr.semantics.tuning.accuracy import field_accuracy
from llactr.semantics.tuning.value_split import LabelledValues

Values = dict[str, tuple[str, ...]]
QUICK = FinetuneConfig(epochs=6, patience=6, batch_size=16, learning_rate=1e-2, temperature=0.1)


def test_accuracy_by_hand():
    values = LabelledValues(
        texts=("a", "b", "c", "d"),
        positives=np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=bool),
        drawn_for=np.array([0, 0, 1, 2]),
    )
    scores = np.array([[9, 1, 1], [1, 9, 1], [1, 2, 9], [9, 1, 1]], dtype=np.float32)
    found = field_accuracy(("x", "y", "z"), scores, values)
    # a: right. b: named y, one of its fields. c: named z, drawn for y. d: named x, drawn for z.
    assert found.confusion.tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert found.accuracy == 0.5
    nothing = LabelledValues((), np.zeros((0, 3), bool), np.zeros(0, np.int64))
    assert np.isnan(field_accuracy(("x", "y", "z"), np.zeros((0, 3), np.float32), nothing).accuracy)


def test_tuning_teaches_fields_and_reloads_to_the_same_bits(
    tiny_model: Path, toy_values: Values, toy_descriptions: dict[str, str], tmp_path: Path
):
    encoder = load_encoder(EncoderConfig(model=str(tiny_model)))
    steps: list[TuningProgress] = []
    result = finetune(encoder, toy_descriptions, toy_values, QUICK, progress=steps.append)
    assert result.after.accuracy > max(result.before.accuracy, 0.7)
    assert result.run.losses[-1] < result.run.losses[0]
    assert result.values_held_out == result.before.confusion.sum() == result.after.confusion.sum()
    assert [steps[0].phase, steps[-1].phase] == ["before", "after"]
    assert steps[-2].step == steps[-2].steps == len(result.run.losses)
    encoder.save_adapter(tmp_path)
    again = load_encoder(EncoderConfig(model=str(tiny_model), adapter=tmp_path))
    texts = [encoder.prompts.field_text(text) for text in toy_descriptions.values()]
    assert np.array_equal(again.encode(texts), encoder.encode(texts))


def test_the_same_seed_gives_the_same_bits(
    tiny_model: Path, toy_values: Values, toy_descriptions: dict[str, str], tmp_path: Path
):
    short = QUICK.model_copy(update={"epochs": 1})
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        encoder = load_encoder(EncoderConfig(model=str(tiny_model)))
        result = finetune(encoder, toy_descriptions, toy_values, short.model_copy(update={"seed": seed}))
        encoder.save_adapter(tmp_path / name)
        runs.append((encoder.fingerprint, result.run.losses, encoder.encode(["The field is: x."]).tobytes()))
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in "abc"]
    assert runs[0] == runs[1]
    assert weights[0] == weights[1]
    assert (tmp_path / "a" / "adapter_config.json").read_text() == (tmp_path / "b" / "adapter_config.json").read_text()
    assert runs[0][0] != runs[2][0]
    assert weights[0] != weights[2]


def test_the_generative_loss_teaches_fields(tiny_causal: Path, toy_values: Values, toy_descriptions: dict[str, str]):
    encoder = load_encoder(EncoderConfig(model=str(tiny_causal)))
    config = FinetuneConfig(
        loss="generative", epochs=15, patience=15, batch_size=16, learning_rate=3e-2,
        lora=LoraSettings(rank=16, dropout=0),
    )  # fmt: skip
    result = finetune(encoder, toy_descriptions, toy_values, config)
    assert result.loss == "generative"
    assert result.after.accuracy > max(result.before.accuracy, 0.7)
    assert np.mean(result.run.losses[-4:]) < 0.5 * result.run.losses[0]


def test_a_sentence_encoder_cannot_generate(tiny_sentence: Path, toy_values: Values, toy_descriptions: dict[str, str]):
    encoder = load_encoder(EncoderConfig(model=str(tiny_sentence)))
    with pytest.raises(
        ModelError, match=r"the generative loss needs a model that generates, .* is a sentence_transformer"
    ):
        finetune(encoder, toy_descriptions, toy_values, FinetuneConfig(loss="generative"))
    assert not encoder.adapted


def test_descriptions_and_values_of_different_fields(tiny_sentence: Path, toy_values: Values):
    encoder = load_encoder(EncoderConfig(model=str(tiny_sentence)))
    with pytest.raises(DataError, match=r"the field values are of \['age', .* give both for the same fields"):
        finetune(encoder, {"age": "age of the user"}, toy_values)


def test_a_result_is_kept_as_json(
    tiny_sentence: Path, toy_values: Values, toy_descriptions: dict[str, str], tmp_path: Path
):
    encoder = load_encoder(EncoderConfig(model=str(tiny_sentence)))
    result = finetune(encoder, toy_descriptions, toy_values, QUICK.model_copy(update={"epochs": 1}))
    result.save(tmp_path)
    again = FinetuneResult.load(tmp_path)
    assert (
        again.to_json()
        == result.to_json()
        == json.loads((tmp_path / "finetune.json").read_text()) | {"run": result.to_json()["run"]}
    )
    assert again.after.accuracy == result.after.accuracy
    (tmp_path / "finetune.json").write_text("{")
    with pytest.raises(ModelError, match=r"finetune\.json cannot be read .*: run 'llactr finetune' again"):
        FinetuneResult.load(tmp_path)


def test_minilm_tells_fields_apart_after_a_short_tuning(toy_values: Values, toy_descriptions: dict[str, str]):
    encoder = load_encoder(EncoderConfig(model="minilm"))
    result = finetune(encoder, toy_descriptions, toy_values, FinetuneConfig(batch_size=16, values_per_field=30))
    assert result.after.accuracy >= 0.9
    assert result.trained_parameters == 337_920
