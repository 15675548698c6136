"""All arms of one backbone: their test metrics, the differences between them, and what those say.

Every arm is compared with `plain`, a treatment also with each of its placebos, untuned values and each rival (`arms`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from llactr.errors import DataError
from llactr.evaluation.arms import PLAIN, Arm, treatments
from llactr.evaluation.evidence import ALL_ROWS, METRICS, Difference, Metric, Run, paired_difference
from llactr.evaluation.seed_noise import SeedNoise, pooled_noise
from llactr.evaluation.verdict import MARGIN, Judgement, judge

__all__ = ["ArmRuns", "Baseline", "Comparison", "TestedRun", "compare"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestedRun(_Model):
    """One run's test metrics: slice -> metric -> value, None where it is not defined."""

    __test__ = False  # no test of pytest's

    draw: int
    seed: int
    metrics: dict[str, dict[Metric, float | None]]
    train_s: float | None = None
    rows_per_s: float | None = None

    def value(self, metric: Metric, part: str = ALL_ROWS) -> float | None:
        """A metric of a slice."""
        return self.metrics.get(part, {}).get(metric)


class ArmRuns(_Model):
    """The runs of one arm."""

    arm: Arm
    runs: tuple[TestedRun, ...]

    def mean(self, metric: Metric = "auc", part: str = ALL_ROWS) -> float | None:
        """Mean of a metric over draws and seeds; None where a run does not have it."""
        values = [run.value(metric, part) for run in self.runs]
        found = [value for value in values if value is not None]
        return math.fsum(found) / len(found) if found and len(found) == len(values) else None

    @property
    def train_s(self) -> float | None:
        """Mean CPU seconds of the trainings, where all were measured."""
        return self._mean_of([run.train_s for run in self.runs])

    @property
    def rows_per_s(self) -> float | None:
        """Mean of the test rows scored per CPU-second, where all were measured."""
        return self._mean_of([run.rows_per_s for run in self.runs])

    def _mean_of(self, measured: list[float | None]) -> float | None:
        found = [value for value in measured if value is not None]
        return math.fsum(found) / len(found) if found and len(found) == len(measured) else None


class Baseline(_Model):
    """What needs no model, on the same test rows: slice -> metric -> value, a mean over draws."""

    name: str
    metrics: dict[str, dict[Metric, float | None]]

    def value(self, metric: Metric = "auc", part: str = ALL_ROWS) -> float | None:
        """A metric of a slice."""
        return self.metrics.get(part, {}).get(metric)


class Comparison(_Model):
    """All arms of one backbone, their differences, and a judgement of each treatment.

    `margin` is the smallest difference of AUC that counted.
    """

    backbone: str
    margin: float = MARGIN
    baselines: tuple[Baseline, ...] = ()
    arms: tuple[ArmRuns, ...]
    differences: tuple[Difference, ...]
    judgements: tuple[Judgement, ...]

    def arm(self, arm: Arm | str) -> ArmRuns | None:
        """The runs of an arm, if it was run."""
        wanted = Arm.of(arm)
        return next((runs for runs in self.arms if runs.arm == wanted), None)

    def difference(
        self, arm: Arm | str, baseline: Arm | str = PLAIN, metric: Metric = "auc", part: str = ALL_ROWS
    ) -> Difference | None:
        """The difference `arm - baseline` in a slice, if it was taken."""
        wanted = (Arm.of(arm), Arm.of(baseline), metric, part)
        return next((d for d in self.differences if (d.arm, d.baseline, d.metric, d.slice) == wanted), None)

    @property
    def ranks_users(self) -> bool:
        """Whether an arm has figures of the order within users."""
        return any(runs.mean("user_auc") is not None for runs in self.arms)

    @property
    def scarce(self) -> bool:
        """Whether too few users, or rows, have a click or a row without one for a bootstrap over all rows."""
        return any(found.scarce is not None for found in self.differences)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices in which there are differences, in their order."""
        return tuple(dict.fromkeys(found.slice for found in self.differences))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The paired seeds."""
        return tuple(sorted({run.seed for run in self.arms[0].runs}))

    @property
    def draws(self) -> int:
        """How many draws of the held-out items or rows there are."""
        return len({run.draw for run in self.arms[0].runs})


def compare(
    backbone: str, runs: Sequence[Run], *, margin: float = MARGIN, baselines: Sequence[Baseline] = ()
) -> Comparison:
    """Compares the arms of one backbone.

    Args:
        backbone: its name, for the sentences.
        runs: those of `plain` and any other arms; every arm has the same draws and seeds.
        margin: the smallest difference of AUC that matters.
        baselines: figures of what needs no model.

    Raises:
        DataError: plain is missing, an arm has other draws or seeds or one of them twice, or a run's AUC on all rows is
            missing or not finite.
    """
    by_arm = _checked(runs)
    measured = [(part, metric) for part in by_arm[PLAIN][0].metrics for metric in METRICS]
    noise = {cell: _noise(by_arm, *cell) for cell in measured}
    found = (
        paired_difference(
            by_arm[arm], by_arm[baseline], part=part, metric=metric,
            noise=None if arm.rival or baseline.rival else noise[part, metric],
        )
        for arm, baseline in _pairs(tuple(by_arm))
        for part, metric in measured
    )  # fmt: skip
    differences = tuple(one for one in found if one is not None)
    unjudged = Comparison(
        backbone=backbone,
        margin=margin,
        baselines=tuple(baselines),
        arms=tuple(
            ArmRuns(
                arm=arm,
                runs=tuple(
                    TestedRun(
                        draw=run.draw, seed=run.seed, train_s=run.train_s, rows_per_s=run.rows_per_s,
                        metrics={part: dict(values) for part, values in run.metrics.items()},
                    )
                    for run in ours
                ),
            )
            for arm, ours in by_arm.items()
        ),
        differences=differences,
        judgements=(),
    )  # fmt: skip
    return unjudged.model_copy(update={"judgements": _judgements(unjudged)})


def _noise(by_arm: Mapping[Arm, Sequence[Run]], part: str, metric: Metric) -> SeedNoise | None:
    """What seeds change in our arms; rivals have a randomness of their own. None with several draws."""
    ours = [sorted(runs, key=lambda run: run.seed) for arm, runs in by_arm.items() if arm.rival is None]
    values = [[run.metrics.get(part, {}).get(metric) for run in runs] for runs in ours]
    if any(value is None for some in values for value in some) or {run.draw for run in ours[0]} != {ours[0][0].draw}:
        return None
    return pooled_noise([[float(value) for value in some if value is not None] for some in values])


def _pairs(arms: tuple[Arm, ...]) -> list[tuple[Arm, Arm]]:
    pairs = [(arm, PLAIN) for arm in arms if arm != PLAIN]
    tuned = [(arm, replace(arm, values="untuned")) for arm in treatments(arms) if arm.values == "encoded"]
    pairs += [(arm, untuned) for arm, untuned in tuned if untuned in arms]
    pairs += [(arm, rival) for arm in treatments(arms) for rival in arms if rival.role == "rival"]
    pairs += [(arm, arm.without_taste) for arm in treatments(arms) if arm.without_taste in set(arms) - {arm}]
    return pairs + [(arm, placebo) for arm in treatments(arms) for placebo in arm.placebos if placebo in arms]


def _judgements(found: Comparison) -> tuple[Judgement, ...]:
    judged = []
    for arm in treatments(runs.arm for runs in found.arms):
        gain = found.difference(arm)
        assert gain is not None, "all rows have an AUC, and every arm is compared with plain"
        against = [d for placebo in arm.placebos if (d := found.difference(arm, placebo)) is not None]
        judged.append(
            judge(
                found.backbone,
                gain,
                found.difference(arm, metric="logloss"),
                against,
                users=found.difference(arm, metric="user_auc"),
                moment=found.difference(arm, metric="moment_auc"),
                margin=found.margin,
            )
        )
    return tuple(judged)


def _checked(runs: Sequence[Run]) -> dict[Arm, list[Run]]:
    by_arm: dict[Arm, list[Run]] = {}
    for run in sorted(runs, key=lambda one: one.arm.place()):
        by_arm.setdefault(run.arm, []).append(run)
    if PLAIN not in by_arm:
        raise DataError(f"arm 'plain' is missing, found {list(map(str, by_arm))}: all arms are compared with it")
    wanted = sorted((run.draw, run.seed) for run in by_arm[PLAIN])
    for arm, ours in by_arm.items():
        cells = sorted((run.draw, run.seed) for run in ours)
        if len(set(cells)) < len(cells):
            raise DataError(f"arm {str(arm)!r} has the draws and seeds {cells}: expected each once")
        if cells != wanted:
            raise DataError(
                f"arm {str(arm)!r} ran the draws and seeds {cells}, plain ran {wanted}: differences are paired, "
                "so run every arm with the same"
            )
        for run in ours:
            value = run.metrics.get(ALL_ROWS, {}).get("auc")
            if value is None or not math.isfinite(value):
                raise DataError(
                    f"arm {str(arm)!r}, draw {run.draw}, seed {run.seed} has the test AUC {value}: "
                    "expected a finite number; the test split needs clicks and non-clicks"
                )
    return by_arm
