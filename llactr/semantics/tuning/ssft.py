"""Self-supervised field-feature fine-tuning: from a value, the model learns to tell the field.

LLaCTR (arXiv 2505.14057). For a value of field k, the encoded prompt is drawn to the K field texts that the value
belongs to (`contrastive`), or the model learns to say the field's description (`generative`).

Legend: N values, B values of a batch, K fields, L semantic dim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.errors import DataError, ModelError
from llactr.semantics.encoders.torch_encoder import GenerativeEncoder
from llactr.semantics.losses import contrastive_loss
from llactr.semantics.tuning.accuracy import FieldAccuracy, field_accuracy
from llactr.semantics.tuning.config import FinetuneConfig
from llactr.semantics.tuning.loop import Progress, TuningProgress, tune
from llactr.semantics.tuning.result import FinetuneResult
from llactr.semantics.tuning.value_split import LabelledValues, split_values

if TYPE_CHECKING:
    from llactr.semantics.encoders.torch_encoder import TorchEncoder

__all__ = ["finetune"]


class _Objective(Protocol):
    def loss(self, values: LabelledValues, rows: NDArray[np.int64]) -> Tensor:
        """The loss of a batch of values."""
        ...

    def scores(self, values: LabelledValues) -> NDArray[np.float32]:
        """(N, K): how much each field speaks to the model as a value's field."""
        ...


def finetune(
    encoder: TorchEncoder,
    descriptions: Mapping[str, str],
    field_values: Mapping[str, Sequence[str]],
    config: FinetuneConfig | None = None,
    *,
    progress: Progress | None = None,
) -> FinetuneResult:
    """Tunes a fresh adapter on an encoder, in place; `encoder.save_adapter(folder)` keeps it.

    Accuracy is measured before and after on values that tuning never saw, nor stopped on: a value counts as recognised
    when the model names any field that it occurs in.

    Args:
        encoder: without an adapter.
        descriptions: field name -> description, in the spec's order.
        field_values: field name -> distinct training values; see `distinct_field_values`.
        config: the settings; defaults take about 25 CPU-seconds with MiniLM.
        progress: called before, after every step, and after.

    Raises:
        DataError: the two mappings name different fields, or too few fields have values.
        ModelError: the generative loss was asked of a model that does not generate.
        StepError: tuning diverged.
    """
    config = config or FinetuneConfig()
    if list(descriptions) != list(field_values):
        raise DataError(f"the field values are of {list(field_values)}, the descriptions of {list(descriptions)}: "
                        "give both for the same fields in the same order")  # fmt: skip
    split = split_values(
        field_values,
        train_per_field=config.values_per_field,
        validation_per_field=config.validation_per_field,
        held_out_per_field=config.held_out_per_field,
        seed=config.seed,
    )
    objective = _objective(encoder, list(descriptions.values()), config)
    names = tuple(descriptions)

    def measured(values: LabelledValues) -> FieldAccuracy:
        return field_accuracy(names, objective.scores(values), values)

    def report(phase: Literal["before", "after"], step: int, steps: int) -> None:
        if progress:
            progress(TuningProgress(phase, step, steps))

    steps = config.epochs * -(-len(split.train) // config.batch_size)
    report("before", 0, steps)
    before = measured(split.held_out)
    run = tune(
        encoder,
        example_count=len(split.train),
        loss=lambda rows: objective.loss(split.train, rows),
        validate=(lambda: measured(split.validation).accuracy) if len(split.validation) else None,
        config=config,
        progress=progress,
    )
    report("after", len(run.losses), steps)
    return FinetuneResult(
        model=encoder.name,
        loss=config.loss,
        before=before,
        after=measured(split.held_out),
        run=run,
        values_tuned=len(split.train),
        values_held_out=len(split.held_out),
        trained_parameters=encoder.adapter_size,
        threads=torch.get_num_threads(),
    )


def _objective(encoder: TorchEncoder, descriptions: Sequence[str], config: FinetuneConfig) -> _Objective:
    if config.loss == "contrastive":
        return _Contrastive(encoder, descriptions, config.temperature)
    if not isinstance(encoder, GenerativeEncoder):
        raise ModelError(
            f"the generative loss needs a model that generates, {encoder.name!r} is a {encoder.kind}: "
            "use loss 'contrastive', or a causal model such as 'smollm2'"
        )
    return _Generative(encoder, descriptions, config.seed)


class _Contrastive:
    def __init__(self, encoder: TorchEncoder, descriptions: Sequence[str], temperature: float) -> None:
        self._encoder, self._temperature = encoder, temperature
        self._fields = [encoder.prompts.field_text(description) for description in descriptions]

    def loss(self, values: LabelledValues, rows: NDArray[np.int64]) -> Tensor:
        texts = [self._encoder.prompts.feature_text(values.texts[row]) for row in rows]
        queries, fields = self._encoder.embed(texts), self._encoder.embed(self._fields)  # (B, L), (K, L)
        positives = torch.from_numpy(values.positives[rows]).to(queries.device)  # (B, K)
        return contrastive_loss(queries, fields, positives, temperature=self._temperature)

    def scores(self, values: LabelledValues) -> NDArray[np.float32]:
        queries = self._encoder.encode([self._encoder.prompts.feature_text(text) for text in values.texts])
        scores: NDArray[np.float32] = queries @ self._encoder.encode(self._fields).T  # (N, K)
        return scores


class _Generative:
    """-log P(field description | value); question and answer end like the sentence that becomes the field vector."""

    def __init__(self, encoder: GenerativeEncoder, descriptions: Sequence[str], seed: int) -> None:
        self._encoder = encoder
        self._answers = [encoder.prompts.answer(description) for description in descriptions]
        self._rng = np.random.default_rng(seed)

    def loss(self, values: LabelledValues, rows: NDArray[np.int64]) -> Tensor:
        questions = [self._encoder.prompts.question(values.texts[row]) for row in rows]
        # One positive drawn at each visit: the mean over a value's fields in expectation, at the cost of one answer.
        chosen = [int(self._rng.choice(np.flatnonzero(values.positives[row]))) for row in rows]
        return -self._encoder.log_probability(questions, [self._answers[k] for k in chosen]).mean()

    def scores(self, values: LabelledValues) -> NDArray[np.float32]:
        questions = [self._encoder.prompts.question(text) for text in values.texts]
        return self._encoder.log_probability_of_each(questions, self._answers)  # (N, K)
