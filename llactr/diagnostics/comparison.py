"""Does the enhancement help, and does it depend on meaning? Paired differences over seeds, and a verdict in words.

Arms: `plain` (no field vectors), `enhanced` (the encoder's), and two placebos: `permuted` (the same vectors handed
to the wrong fields) and `random` (random vectors of the same norm). Runs of one seed share everything but the arm, so
differences are taken seed by seed, and their mean gets a t-interval. The verdict follows from those figures alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit  # type: ignore[import-untyped]  # scipy.stats would take ten times longer to import

from llactr.errors import DataError

__all__ = ["Arm", "ArmRuns", "Comparison", "Difference", "Metric", "Verdict", "compare", "paired_difference"]

Arm = Literal["plain", "enhanced", "permuted", "random"]
Metric = Literal["auc", "logloss"]

_PLACEBOS: tuple[Arm, ...] = ("permuted", "random")


class Verdict(StrEnum):
    """What the figures say; the headline of a report."""

    MEANING = "helps and depends on meaning"
    PLACEBO = "helps but a placebo does as well"
    UNTESTED = "helps, and no placebo was run"
    NO_DIFFERENCE = "no difference"
    HURTS = "hurts"
    UNDECIDED = "one seed cannot tell"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArmRuns(_Model):
    """The runs of one arm: test metrics, one value a seed, in the order of `seeds`."""

    arm: Arm
    seeds: tuple[int, ...]
    auc: tuple[float, ...]
    logloss: tuple[float, ...]
    train_s: tuple[float, ...] = ()

    @property
    def mean_auc(self) -> float:
        """Mean test AUC over seeds."""
        return math.fsum(self.auc) / len(self.auc)

    @property
    def mean_logloss(self) -> float:
        """Mean test logloss over seeds."""
        return math.fsum(self.logloss) / len(self.logloss)


class Difference(_Model):
    """Mean over seeds of `arm - baseline`, with a two-sided t-interval; no interval for a single seed."""

    arm: Arm
    baseline: Arm
    metric: Metric
    per_seed: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    confidence: float = 0.95

    @property
    def above_zero(self) -> bool:
        """The whole interval lies above zero."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """The whole interval lies below zero."""
        return self.high is not None and self.high < 0


class Comparison(_Model):
    """All arms of one backbone, their differences, and the verdict with its reason in one sentence."""

    backbone: str
    arms: tuple[ArmRuns, ...]
    differences: tuple[Difference, ...]
    verdict: Verdict
    sentence: str

    def arm(self, name: Arm) -> ArmRuns | None:
        """The runs of an arm, if it was run."""
        return next((runs for runs in self.arms if runs.arm == name), None)

    def difference(self, arm: Arm, baseline: Arm, metric: Metric = "auc") -> Difference | None:
        """The difference `arm - baseline`, if it was taken."""
        wanted = (arm, baseline, metric)
        return next((d for d in self.differences if (d.arm, d.baseline, d.metric) == wanted), None)


def compare(backbone: str, runs: Sequence[ArmRuns], *, confidence: float = 0.95) -> Comparison:
    """Compares the arms of one backbone.

    Args:
        backbone: its name, for the sentence.
        runs: `plain` and `enhanced`, and any of the placebos; all over the same seeds.
        confidence: of the intervals.

    Raises:
        DataError: an arm is missing or there twice, seeds differ or repeat, or a metric is missing or not finite.
    """
    by_arm = _checked(runs)
    pairs: list[tuple[Arm, Arm]] = [("enhanced", "plain")]
    pairs += [(placebo, "plain") for placebo in _PLACEBOS if placebo in by_arm]
    pairs += [("enhanced", placebo) for placebo in _PLACEBOS if placebo in by_arm]
    metrics: tuple[Metric, ...] = ("auc", "logloss")
    differences = tuple(
        paired_difference(by_arm[arm], by_arm[baseline], metric=metric, confidence=confidence)
        for metric in metrics
        for arm, baseline in pairs
    )
    verdict, sentence = _judge(backbone, differences)
    order: tuple[Arm, ...] = ("plain", "enhanced", *_PLACEBOS)
    return Comparison(
        backbone=backbone,
        arms=tuple(by_arm[arm] for arm in order if arm in by_arm),
        differences=differences,
        verdict=verdict,
        sentence=sentence,
    )


def paired_difference(arm: ArmRuns, baseline: ArmRuns, *, metric: Metric, confidence: float = 0.95) -> Difference:
    """Mean of the differences seed by seed, plus and minus t(n-1) * s / sqrt(n).

    Equal differences for every seed give an interval of no width.
    """
    of_seed = dict(zip(baseline.seeds, getattr(baseline, metric), strict=True))
    ordered = zip(arm.seeds, getattr(arm, metric), strict=True)
    per_seed = tuple(round(value - of_seed[seed], 12) for seed, value in ordered)  # 12 digits: drops rounding noise
    count = len(per_seed)
    mean = math.fsum(per_seed) / count
    low = high = None
    if count > 1:
        variance = math.fsum((value - mean) ** 2 for value in per_seed) / (count - 1)
        reach = float(stdtrit(count - 1, (1 + confidence) / 2)) * math.sqrt(variance / count)
        low, high = mean - reach, mean + reach
    return Difference(
        arm=arm.arm, baseline=baseline.arm, metric=metric, per_seed=per_seed, mean=mean, low=low, high=high,
        confidence=confidence,
    )  # fmt: skip


def _judge(backbone: str, differences: Sequence[Difference]) -> tuple[Verdict, str]:
    auc = [found for found in differences if found.metric == "auc"]
    gain = next(found for found in auc if found.baseline == "plain" and found.arm == "enhanced")
    against = [found for found in auc if found.baseline in _PLACEBOS]
    change = f"{backbone}'s test AUC changes by {in_words(gain)}"
    if gain.low is None:
        return Verdict.UNDECIDED, f"{change}; without an interval it may be chance, so run at least 3 seeds."
    if gain.below_zero:
        return Verdict.HURTS, f"{change}: the whole interval lies below zero.{_logloss_note(differences)}"
    if not gain.above_zero:
        return Verdict.NO_DIFFERENCE, f"{change}: the interval holds zero.{_logloss_note(differences)}"
    if not against:
        verdict, rest = Verdict.UNTESTED, "whether meaning is the cause is open, because no placebo was run."
    elif tied := [found for found in against if not found.above_zero]:
        verdict = Verdict.PLACEBO
        rest = f"it is not ahead of {' or '.join(f'{d.baseline} vectors ({_short(d)})' for d in tied)}."
    else:
        verdict = Verdict.MEANING
        rest = f"it is ahead of {' and '.join(f'{d.baseline} vectors ({_short(d)})' for d in against)} as well."
    return verdict, f"{change}; {rest}{_logloss_note(differences)}"


def in_words(found: Difference) -> str:
    """A difference as `+0.0012 [+0.0004, +0.0020] over 3 seeds`."""
    count = len(found.per_seed)
    if found.low is None or found.high is None:
        return f"{signed(found.mean)} with one seed"
    return f"{_short(found)} over {count} seeds"


def _short(found: Difference) -> str:
    interval = "" if found.low is None or found.high is None else f" [{signed(found.low)},\u00a0{signed(found.high)}]"
    return f"{signed(found.mean)}{interval}"


def signed(value: float) -> str:
    """A difference with its sign and four digits, `−` for minus, and no sign on what rounds to zero."""
    text = f"{value:+.4f}".replace("-", "−")
    return "0.0000" if text[1:] == "0.0000" else text


def _logloss_note(differences: Sequence[Difference]) -> str:
    """Says so when logloss (lower is better) moves against, or with, an AUC that does not tell."""
    auc, loss = (
        next(d for d in differences if (d.arm, d.baseline, d.metric) == ("enhanced", "plain", metric))
        for metric in ("auc", "logloss")
    )
    if loss.above_zero and not auc.below_zero:
        return f" Logloss gets worse: {in_words(loss)}."
    if loss.below_zero and not auc.above_zero:
        return f" Logloss gets better: {in_words(loss)}."
    return ""


def _checked(runs: Sequence[ArmRuns]) -> dict[Arm, ArmRuns]:
    by_arm: dict[Arm, ArmRuns] = {}
    for found in runs:
        if found.arm in by_arm:
            raise DataError(f"arm {found.arm!r} is there twice: merge its seeds into one")
        by_arm[found.arm] = found
    needed: tuple[Arm, ...] = ("plain", "enhanced")
    for arm in needed:
        if arm not in by_arm:
            raise DataError(f"arm {arm!r} is missing, found {sorted(by_arm)}: run 'llactr evaluate' with it")
    seeds = by_arm["plain"].seeds
    for arm, found in by_arm.items():
        if not found.seeds or len(set(found.seeds)) < len(found.seeds):
            raise DataError(f"arm {arm!r} has seeds {list(found.seeds)}: expected at least one, and each once")
        if set(found.seeds) != set(seeds):
            raise DataError(
                f"arm {arm!r} ran seeds {sorted(found.seeds)}, plain ran {sorted(seeds)}: differences are paired, "
                "so run every arm with the same seeds"
            )
        for metric in ("auc", "logloss"):
            values = getattr(found, metric)
            if len(values) != len(found.seeds) or not all(math.isfinite(value) for value in values):
                raise DataError(f"arm {arm!r} has {metric} {list(values)}: expected one finite number a seed")
    return by_arm
