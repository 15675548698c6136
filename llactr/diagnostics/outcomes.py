"""What was run last of each step of a dataset, typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from llactr.ctr.search.tune import TuneSummary
from llactr.ctr.training.fit import TrainSummary
from llactr.ctr.training.join import JoinSummary
from llactr.datasets import IngestSummary
from llactr.diagnostics.agreement import CheckSummary
from llactr.evaluation.choice import Choice
from llactr.evaluation.result import EvaluationResult
from llactr.steps import Result, Step, StepOutcome, StepResult, outcome_of
from llactr.store.feast.steps import ApplySummary, MaterializeSummary
from llactr.store.vectors.summaries import EncodeSummary, EncodeValuesSummary, FinetuneSummary, TuneValuesSummary
from llactr.workspace import Workspace

__all__ = ["Outcomes"]


@dataclass(frozen=True)
class Outcomes:
    """The latest outcome of each step; None of one that was not run, or whose result has another shape."""

    ingest: StepOutcome[IngestSummary] | None
    finetune: StepOutcome[FinetuneSummary] | None
    encode: StepOutcome[EncodeSummary] | None
    tune_values: StepOutcome[TuneValuesSummary] | None
    encode_values: StepOutcome[EncodeValuesSummary] | None
    apply: StepOutcome[ApplySummary] | None
    materialize: StepOutcome[MaterializeSummary] | None
    join: StepOutcome[JoinSummary] | None
    choose: StepOutcome[Choice] | None
    train: StepOutcome[TrainSummary] | None
    tune: StepOutcome[TuneSummary] | None
    evaluate: StepOutcome[EvaluationResult] | None
    check: StepOutcome[CheckSummary] | None

    @classmethod
    def of(cls, workspace: Workspace, dataset: str) -> Outcomes:
        """Those of a dataset."""
        current = workspace.current(dataset)

        def last(step: Step, result: type[Result]) -> StepOutcome[Result] | None:
            return outcome_of(current[step], result) if step in current else None

        return cls(
            ingest=last(Step.INGEST, IngestSummary),
            finetune=last(Step.FINETUNE, FinetuneSummary),
            encode=last(Step.ENCODE, EncodeSummary),
            tune_values=last(Step.TUNE_VALUES, TuneValuesSummary),
            encode_values=last(Step.ENCODE_VALUES, EncodeValuesSummary),
            apply=last(Step.APPLY, ApplySummary),
            materialize=last(Step.MATERIALIZE, MaterializeSummary),
            join=last(Step.JOIN, JoinSummary),
            choose=last(Step.CHOOSE, Choice),
            train=last(Step.TRAIN, TrainSummary),
            tune=last(Step.TUNE, TuneSummary),
            evaluate=last(Step.EVALUATE, EvaluationResult),
            check=last(Step.CHECK, CheckSummary),
        )

    def __iter__(self) -> Iterator[StepOutcome[StepResult]]:
        """Those that were run, in the order of a run."""
        found = (getattr(self, field.name) for field in fields(self))
        return (one for one in found if one is not None)
