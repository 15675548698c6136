"""Encoders: the CPU's vectors in fp32, near ones in bf16, texts a second, and tuning that learns."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from benchmarks.gpu_check.card import seconds_of
from benchmarks.gpu_check.check import Aim, Found, LeftOutError, Setting
from llactr.errors import LlactrError
from llactr.semantics import EncoderConfig, load_encoder

__all__ = ["WANTED_TEXTS_PER_SECOND", "encoded", "tuned"]

WANTED_TEXTS_PER_SECOND = 20_000
_NEAR = {"float32": 0.9999, "bfloat16": 0.99}
_WORDS = ("crime", "drama", "comedy", "war", "love", "night", "city", "river", "gold", "king", "stone", "winter")
_FIELDS = {
    "city": ("the city where the person lives", "Lyon Oslo Quito Lima Kyoto Turin Porto Cairo Accra Hanoi Perth Delhi"),
    "job": (
        "the person's occupation",
        "nurse baker pilot clerk tailor judge farmer singer welder coach dentist lawyer",
    ),
    "dish": ("the dish that was offered", "soup curry pizza salad tacos ramen stew paella risotto falafel sushi pie"),
    "colour": ("the colour of the item", "red green blue black white yellow purple orange brown pink grey beige"),
}


def texts_of(count: int) -> list[str]:
    """Distinct short texts of some ten tokens."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(_WORDS), (count, 3))
    return [f"The film is: {_WORDS[a]} {_WORDS[b]} {_WORDS[c]} {n}." for n, (a, b, c) in enumerate(drawn.tolist())]


def encoded(setting: Setting, model: str) -> Found:
    """Vectors of the device against those of fp32 on the CPU, and texts a second in bf16."""
    texts = texts_of(setting.size(200, 12))
    expected = _load(setting, model, "cpu", "float32").encode(texts)
    figures: dict[str, Any] = {}
    passed = True
    for dtype, near in _NEAR.items():
        encoder = _load(setting, model, str(setting.device), dtype)
        cosines = (encoder.encode(texts) * expected).sum(1)
        figures[f"lowest_cosine_{dtype}"] = float(cosines.min())
        passed &= bool(cosines.min() >= near)
    many = texts_of(setting.size(100_000 if model == "minilm" else 20_000, 32))
    size = setting.size(1024, 16)
    seconds = statistics.median(
        seconds_of(lambda: encoder.encode(many, batch_size=size), setting.device, repeats=setting.size(2, 1),
                   warm_up=setting.size(1, 0))
    )  # fmt: skip
    rate = len(many) / seconds
    figures |= {"texts_per_second_bfloat16": round(rate, 1), "batch_size": size, "dim": encoder.dim}
    aims = (Aim("MiniLM texts a second in bf16", WANTED_TEXTS_PER_SECOND, rate),) if model == "minilm" else ()
    said = f"lowest cosine fp32 {figures['lowest_cosine_float32']:.5f}, bf16 {figures['lowest_cosine_bfloat16']:.4f}"
    return Found(passed, f"{said}; {rate:,.0f} texts/s", figures, aims)


def tuned(setting: Setting, model: str) -> Found:
    """An adapter that learns to tell the field of a value: its loss falls, and vectors change."""
    from llactr.semantics.tuning.config import FinetuneConfig
    from llactr.semantics.tuning.ssft import finetune

    encoder = _load(setting, model, str(setting.device), "float32")
    before = encoder.encode(["The feature is: Oslo."])
    values = {name: words.split() for name, (_, words) in _FIELDS.items()}
    epochs = setting.size(8, 3 if model == "minilm" else 2)
    config = FinetuneConfig(
        epochs=epochs,
        patience=epochs,
        batch_size=16,
        learning_rate=2e-3 if model == "minilm" else 1e-3,
        values_per_field=8,
        validation_per_field=0,
        held_out_per_field=4,
    )
    found = finetune(encoder, {name: described for name, (described, _) in _FIELDS.items()}, values, config)
    losses = found.run.losses
    per_epoch = len(losses) // epochs
    first, last = statistics.fmean(losses[:per_epoch]), statistics.fmean(losses[-per_epoch:])
    moved = float(np.abs(encoder.encode(["The feature is: Oslo."]) - before).max())
    figures = {
        "loss_first_epoch": first,
        "loss_last_epoch": last,
        "accuracy_before": found.before.accuracy,
        "accuracy_after": found.after.accuracy,
        "largest_change_of_a_vector": moved,
        "examples_per_second": round(found.values_tuned * epochs / found.run.wall_s, 1),
    }
    said = f"loss {first:.2f} to {last:.2f}, accuracy {found.before.accuracy:.2f} to {found.after.accuracy:.2f}"
    return Found(last < first and moved > 1e-4, said, figures)


def _load(setting: Setting, model: str, device: str, dtype: Any) -> Any:
    name = model if setting.models is None else str(setting.models / model)
    try:
        return load_encoder(EncoderConfig(model=name, device=device, dtype=dtype))
    except LlactrError as missing:
        raise LeftOutError(str(missing)) from None
