from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from llactr.errors import ModelError
from llactr.semantics import EncoderConfig, LoraSettings, Prompts, TorchEncoder, load_encoder

TEXTS = ["The field is: age of the user.", "25", "the river"]


def with_random_adapter(model: Path, *, prompts: Prompts | None = None) -> TorchEncoder:
    encoder = load_encoder(EncoderConfig(model=str(model), prompts=prompts))
    encoder.add_adapter(LoraSettings())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.trainable_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return encoder


@pytest.fixture
def saved(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    with_random_adapter(tiny_model).save_adapter(folder)
    return folder


def test_a_fresh_adapter_changes_nothing_and_a_moved_one_does(tiny_model: Path):
    encoder = load_encoder(EncoderConfig(model=str(tiny_model)))
    base = encoder.encode(TEXTS)
    assert encoder.trainable_parameters() == []
    encoder.add_adapter(LoraSettings())
    assert np.array_equal(encoder.encode(TEXTS), base)
    assert encoder.adapter_size == sum(p.numel() for p in encoder.trainable_parameters()) > 0
    assert np.abs(with_random_adapter(tiny_model).encode(TEXTS) - base).max() > 0.01


def test_an_adapter_reloads_to_the_same_bits(tiny_model: Path, tmp_path: Path):
    prompts = Prompts(field="Column: {description}")
    tuned = with_random_adapter(tiny_model, prompts=prompts)
    tuned.save_adapter(tmp_path / "a b")
    again = load_encoder(EncoderConfig(model=str(tiny_model), adapter=tmp_path / "a b"))
    assert np.array_equal(again.encode(TEXTS), tuned.encode(TEXTS))
    assert again.fingerprint == tuned.fingerprint
    assert again.prompts == prompts
    assert again.trainable_parameters() == []
    assert {path.name for path in (tmp_path / "a b").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "encoder.json"
    }  # fmt: skip


def test_the_adapter_is_peft_s_own_format(tiny_causal: Path, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tuned = with_random_adapter(tiny_causal)
    tuned.save_adapter(tmp_path / "adapter")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_causal), tmp_path / "adapter").eval()
    tokens = AutoTokenizer.from_pretrained(tiny_causal)(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        state = model(**tokens, output_hidden_states=True).hidden_states[-1][0, -1]
    np.testing.assert_allclose(tuned.encode([TEXTS[0]])[0], (state / state.norm()).numpy(), atol=2e-6)


def test_lora_by_hand(tiny_causal: Path):
    encoder = load_encoder(EncoderConfig(model=str(tiny_causal)))
    encoder.add_adapter(LoraSettings(rank=4, alpha=6, dropout=0, target_modules=("q_proj",)))
    assert encoder.adapter_size == 2 * (4 * 32 + 32 * 4)  # two layers, A (4, 32) and B (32, 4)
    layer = encoder.module.get_submodule("model.layers.0.self_attn.q_proj")
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        b.normal_(generator=torch.Generator().manual_seed(0))
        x = torch.randn(3, 32, generator=torch.Generator().manual_seed(1))
        expected = x @ layer.base_layer.weight.T + 6 / 4 * (x @ a.T @ b.T)
        torch.testing.assert_close(layer(x), expected)


def test_a_second_adapter_is_refused(tiny_causal: Path):
    encoder = with_random_adapter(tiny_causal)
    with pytest.raises(ModelError, match="has an adapter already: tune the base model, or load it anew"):
        encoder.add_adapter(LoraSettings())


def test_nothing_to_save(tiny_causal: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="has no adapter to save: fine-tune it first"):
        load_encoder(EncoderConfig(model=str(tiny_causal))).save_adapter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_target_modules_that_are_not_there(tiny_causal: Path):
    encoder = load_encoder(EncoderConfig(model=str(tiny_causal)))
    with pytest.raises(ModelError, match="the adapter does not fit the model"):
        encoder.add_adapter(LoraSettings(target_modules=("no_such_layer",)))


def test_no_adapter_in_the_folder(tiny_model: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"holds no adapter \(encoder\.json is missing\): run 'llactr finetune'"):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=tmp_path))


def test_an_adapter_of_another_model(tiny_causal: Path, tiny_sentence: Path, tmp_path: Path):
    with_random_adapter(tiny_causal).save_adapter(tmp_path)
    with pytest.raises(
        ModelError, match=r"was tuned on .*tiny-causal.* with fingerprint .*this model is .*tiny-sentence"
    ):
        load_encoder(EncoderConfig(model=str(tiny_sentence), adapter=tmp_path))


def test_truncated_adapter_weights(tiny_model: Path, saved: Path):
    weights = saved / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"the adapter in .* is damaged .*: run 'llactr finetune' again"):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved))


def test_missing_adapter_weights(tiny_model: Path, saved: Path):
    (saved / "adapter_model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"holds no adapter \(adapter_config\.json and adapter_model\.safetensors were"
    ):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved))


def test_an_adapter_that_lacks_a_tensor(tiny_model: Path, saved: Path):
    tensors = load_file(saved / "adapter_model.safetensors")
    lost = sorted(tensors)[0]
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, saved / "adapter_model.safetensors")
    with pytest.raises(
        ModelError, match=f"was made for another model: it lacks {lost.removeprefix('base_model.model.')}"
    ):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved))


def test_changed_adapter_weights(tiny_model: Path, saved: Path):
    tensors = load_file(saved / "adapter_model.safetensors")
    tensors[sorted(tensors)[0]] += 1e-3
    save_file(tensors, saved / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"it was saved with .*: its files or prompts were changed"):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved))


@pytest.mark.parametrize("content", ["{", "[]", '{"model": "x"}'])
def test_a_damaged_encoder_file(tiny_model: Path, saved: Path, content: str):
    (saved / "encoder.json").write_text(content)
    with pytest.raises(ModelError, match=r"is damaged \(encoder\.json: .*run 'llactr finetune' again"):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved))


def test_other_prompts_than_the_adapter_was_tuned_with(tiny_model: Path, saved: Path):
    with pytest.raises(ModelError, match="its files or prompts were changed"):
        load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved, prompts=Prompts(feature="v={value}")))


def test_an_adapter_moves_with_its_folder(tiny_model: Path, saved: Path, tmp_path: Path):
    before = load_encoder(EncoderConfig(model=str(tiny_model), adapter=saved)).encode(TEXTS)
    shutil.move(saved, tmp_path / "elsewhere")
    after = load_encoder(EncoderConfig(model=str(tiny_model), adapter=tmp_path / "elsewhere"))
    assert np.array_equal(after.encode(TEXTS), before)
