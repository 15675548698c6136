"""What the steps of this package say of their results; reading one needs no language model."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from llactr.errors import NotReadyError
from llactr.semantics.tuning.run import TuningRun
from llactr.steps import Step, StepOutcome, StepResult, outcome_of
from llactr.workspace import Workspace

__all__ = [
    "EncodeSummary",
    "EncodeValuesSummary",
    "FinetuneSummary",
    "MeasuredFields",
    "TuneValuesSummary",
    "current_values_version",
    "last_encoded_values",
]


class MeasuredFields(BaseModel):
    """How many held-out values of each field (row) were put to each field (column); no accuracy without values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: float | None
    fields: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


class FinetuneSummary(StepResult):
    """What `llactr.semantics.FinetuneResult` says, and the fingerprint of the tuned encoder."""

    model: str
    loss: str
    before: MeasuredFields
    after: MeasuredFields
    run: TuningRun
    values_tuned: int
    values_held_out: int
    trained_parameters: int
    threads: int
    fingerprint: str


class TuneValuesSummary(StepResult):
    """What `llactr.semantics.ColikeResult` says, the tuned encoder's fingerprint, and the model as configured."""

    model_config = ConfigDict(populate_by_name=True)

    model: str
    windows: int
    items: int
    loss_before: float
    loss_after: float
    run: TuningRun
    fingerprint: str
    configured_model: str = Field(alias="model_config")


class EncodeSummary(StepResult):
    """A semantics version: its encoder, L, the fields in the spec's order, whether it is new, when it takes effect."""

    version: str
    encoder: str
    dim: int
    fields: tuple[str, ...]
    new: bool
    effective_from: str


class EncodeValuesSummary(StepResult):
    """The values' semantics version, and what has a vector.

    Attributes:
        adapter: folder of the collaboratively tuned adapter; None for the encoder as published.
        dim: L.
        values: field -> how many values have a vector.
        new_texts: distinct texts that were encoded by this run.
        left_out: owner -> keys without an event that were left to `llactr encode --values`, where there are any.
    """

    version: str
    encoder: str
    adapter: str | None
    dim: int
    values: dict[str, int]
    new_texts: int
    left_out: dict[str, int] = Field(default_factory=dict)


def current_values_version(workspace: Workspace, dataset: str) -> str:
    """The values' semantics version encoded last.

    Raises:
        NotReadyError: no values have been encoded.
    """
    known = last_encoded_values(workspace, dataset)
    if known is None:
        raise NotReadyError(f"the values of {dataset!r} have no vectors: run 'llactr encode --values' first")
    return known.result.version


def last_encoded_values(workspace: Workspace, dataset: str) -> StepOutcome[EncodeValuesSummary] | None:
    """What was made when the values were encoded last; None where they were not."""
    folder = workspace.current(dataset).get(Step.ENCODE_VALUES)
    return outcome_of(folder, EncodeValuesSummary) if folder else None
