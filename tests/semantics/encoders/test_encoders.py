from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch

from llactr.errors import ModelError
from llactr.semantics import EncoderConfig, Prompts, load_encoder
from llactr.semantics.encoders.kinds.causal_lm import CausalLMEncoder, last_token_states

TEXTS = ["The field is: age of the user.", "25", "a", "The field is: hour of the day.", "25"]


def test_last_token_states_with_padding_on_either_side():
    states = torch.arange(2 * 4 * 1).reshape(2, 4, 1).float()
    right = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    left = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert last_token_states(states, right).flatten().tolist() == [1, 7]
    assert last_token_states(states, left).flatten().tolist() == [3, 7]


def test_causal_vectors_are_the_last_state_of_each_text_alone(tiny_causal: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_causal).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    expected = []
    for text in TEXTS:  # one by one, so that nothing is padded
        with torch.no_grad():
            last = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states[-1][0, -1]
        expected.append((last / last.norm()).numpy())
    found = load_encoder(EncoderConfig(model=str(tiny_causal))).encode(TEXTS, batch_size=3)
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-6)


def test_a_folder_that_asks_for_left_padding_gives_the_same_vectors(tiny_causal: Path, tmp_path: Path):
    folder = tmp_path / "left"
    shutil.copytree(tiny_causal, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))
    expected = load_encoder(EncoderConfig(model=str(tiny_causal))).encode(TEXTS)
    assert np.array_equal(load_encoder(EncoderConfig(model=str(folder))).encode(TEXTS), expected)


def test_sentence_vectors_are_the_mean_of_the_tokens(tiny_sentence: Path):
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(tiny_sentence).eval(), AutoTokenizer.from_pretrained(tiny_sentence)
    expected = []
    for text in TEXTS:
        with torch.no_grad():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        expected.append((mean / mean.norm()).numpy())
    found = load_encoder(EncoderConfig(model=str(tiny_sentence))).encode(TEXTS, batch_size=3)
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-6)


def test_minilm_knows_what_is_near(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("a model on this machine was looked for on the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    encoder = load_encoder(EncoderConfig())
    near, same, far = encoder.encode(["a film about space", "a movie about space", "the user's postal code"])
    assert encoder.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert encoder.dim == 384
    assert near @ same > 0.9 > 0.3 > near @ far


def test_vectors_are_unit_float32_whatever_the_order_of_texts(tiny_model: Path):
    encoder = load_encoder(EncoderConfig(model=str(tiny_model)))
    vectors = encoder.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(vectors[1], vectors[4])
    assert np.array_equal(encoder.encode(TEXTS[::-1])[::-1], vectors)
    assert np.isfinite(encoder.encode([""])).all()


def test_kind_is_read_from_the_folder(tiny_causal: Path, tiny_sentence: Path):
    assert load_encoder(EncoderConfig(model=str(tiny_causal))).kind == "causal_lm"
    assert load_encoder(EncoderConfig(model=str(tiny_sentence))).kind == "sentence_transformer"


def test_the_fingerprint_changes_with_what_vectors_depend_on(tiny_model: Path, tmp_path: Path):
    config = EncoderConfig(model=str(tiny_model))
    encoder = load_encoder(config)
    assert load_encoder(config).fingerprint == encoder.fingerprint
    other_prompt = config.model_copy(update={"prompts": Prompts(field="Column: {description}")})
    other_type = config.model_copy(update={"dtype": "bfloat16"})
    moved = tmp_path / "moved"
    shutil.copytree(tiny_model, moved)
    assert load_encoder(EncoderConfig(model=str(moved))).fingerprint == encoder.fingerprint
    prints = {encoder.fingerprint, load_encoder(other_prompt).fingerprint, load_encoder(other_type).fingerprint}
    assert len(prints) == 3


def test_log_probability_is_the_models_own(tiny_causal: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    encoder = load_encoder(EncoderConfig(model=str(tiny_causal)))
    assert isinstance(encoder, CausalLMEncoder)
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_causal).eval(),
        AutoTokenizer.from_pretrained(tiny_causal),
    )
    questions, answers = ["Is: 25.", "A longer question?"], [" age", " hour of day"]
    expected = np.zeros((2, 2))
    for i, question in enumerate(questions):
        for j, answer in enumerate(answers):
            start, end = tokenizer(question)["input_ids"], tokenizer(answer)["input_ids"]
            with torch.no_grad():
                share = model(torch.tensor([start + end])).logits[0].double().log_softmax(-1)
            expected[i, j] = sum(share[len(start) + k - 1, token].item() for k, token in enumerate(end))
    pairs = encoder.log_probability([questions[0], questions[1]], [answers[1], answers[0]]).detach().numpy()
    np.testing.assert_allclose(pairs, [expected[0, 1], expected[1, 0]], rtol=1e-5)
    np.testing.assert_allclose(encoder.log_probability_of_each(questions, answers), expected, rtol=1e-5)
    np.testing.assert_allclose(encoder.log_probability_of_each(questions, answers, rows=1), expected, rtol=1e-5)


def test_an_unknown_device(tiny_causal: Path):
    with pytest.raises(ModelError, match="device 'tpu9' is not known: choose auto, cpu, cuda"):
        load_encoder(EncoderConfig(model=str(tiny_causal), device="tpu9"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(tiny_causal: Path):
    with pytest.raises(ModelError, match="device 'cuda' cannot be used on this machine: choose auto or cpu"):
        load_encoder(EncoderConfig(model=str(tiny_causal), device="cuda"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_nearly_the_same_vectors(tiny_model: Path):
    on_cpu = load_encoder(EncoderConfig(model=str(tiny_model), device="cpu")).encode(TEXTS)
    on_gpu = load_encoder(EncoderConfig(model=str(tiny_model), device="auto"))
    assert on_gpu.device.type == "cuda"
    np.testing.assert_allclose(on_gpu.encode(TEXTS), on_cpu, atol=1e-3)


def test_truncated_weights(tiny_model: Path, tmp_path: Path):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(
        ModelError, match=r"the model folder .*broken cannot be loaded .*remove it so that it is fetched"
    ):
        load_encoder(EncoderConfig(model=str(folder)))


def test_an_unreadable_config(tiny_causal: Path, tmp_path: Path):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_causal, folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"has an unreadable config\.json"):
        load_encoder(EncoderConfig(model=str(folder)))


def test_code_named_by_a_model_folder_is_not_run(tiny_sentence: Path, tmp_path: Path):
    folder = tmp_path / "foreign"
    shutil.copytree(tiny_sentence, folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "antigravity.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=r"asks for the code 'antigravity\.Pooling': only modules of"):
        load_encoder(EncoderConfig(model=str(folder)))
