"""What an evaluation made, as its artifact holds it: how the test split was read, the comparisons, the trainings."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from llactr.evaluation.arms import Arm
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.trained import TrainedRun
from llactr.steps import StepResult

__all__ = ["Curve", "EvaluationResult", "TestReading", "ValidatedRun"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Curve(_Model):
    """One training run, epoch by epoch. `best_epoch` counts from 1: the epoch whose weights were kept."""

    backbone: str
    arm: Arm
    draw: int = 0
    seed: int
    train_loss: tuple[float, ...]
    validation_auc: tuple[float, ...]
    best_epoch: int | None = None


class TestReading(_Model):
    """How an evaluation came to read the test split: by which design, when, and after how many trained models.

    `splits` are the rows and the clicks of train, validation and test, `users` the different users of the test rows;
    `slice_rows` are the test rows of each slice, one number a draw; `earlier_readings` are the times of the workspace's
    earlier evaluations of the same dataset.
    """

    __test__ = False  # no test of pytest's

    design: str
    draws: int
    seeds: int
    rows: int
    splits: dict[str, tuple[int, int]] = {}
    users: int = 0
    slice_rows: dict[str, tuple[int, ...]] = {}
    read_at: str
    models_before: int
    earlier_readings: tuple[str, ...] = ()

    @property
    def runs(self) -> str:
        """The draws and seeds in words."""
        seeds = f"{self.seeds} seed{'s' * (self.seeds > 1)}"
        return seeds if self.draws == 1 else f"{self.draws} draws x {seeds}"

    @property
    def counts(self) -> str:
        """Rows and clicks of the splits in a sentence, without its full stop; empty where they are not known."""
        if not self.splits:
            return ""
        parts = [f"{name} {rows:,} rows, {clicks:,} clicks" for name, (rows, clicks) in self.splits.items()]
        return "; ".join(parts) + (f", {self.users:,} users" if self.users else "")

    @property
    def sentence(self) -> str:
        """All of it in a sentence, without its full stop."""
        earlier = len(self.earlier_readings)
        before = f"; this workspace's earlier evaluations: {earlier}" if earlier else ""
        models = f"{self.models_before} model{'s' * (self.models_before > 1)}"
        return (
            f"{self.design}, {self.runs}: {self.rows:,} test rows, read once at {self.read_at} after {models} "
            f"{'were' if self.models_before > 1 else 'was'} trained{before}"
        )


class ValidatedRun(_Model):
    """A training's validation metrics, and what it cost."""

    backbone: str
    arm: Arm
    draw: int
    seed: int
    auc: float | None
    logloss: float | None
    steps: int
    best_step: int
    cpu_seconds: float


class EvaluationResult(StepResult):
    """All of it."""

    test_reading: TestReading
    comparisons: tuple[Comparison, ...]
    seeds: tuple[int, ...]
    validation: tuple[ValidatedRun, ...]
    curves: tuple[Curve, ...]

    @classmethod
    def of(
        cls, reading: TestReading, comparisons: Sequence[Comparison], trained: Sequence[TrainedRun]
    ) -> EvaluationResult:
        """Puts the parts together; of the trainings the report needs the curves, the results' file the metrics."""
        return cls(
            test_reading=reading,
            comparisons=tuple(comparisons),
            seeds=tuple(range(reading.seeds)),
            validation=tuple(ValidatedRun(**one.model_dump(include=set(ValidatedRun.model_fields))) for one in trained),
            curves=tuple(
                Curve(**one.model_dump(include=set(Curve.model_fields))) for one in trained if one.validation_auc
            ),
        )
