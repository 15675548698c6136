"""The answers at the top of a report: does it help, what did it cost, can I trust it. All follow from the figures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from llactr.diagnostics.comparison import Comparison, Verdict
from llactr.diagnostics.report_data import ReportData
from llactr.diagnostics.words import count, share, tiny

__all__ = ["Check", "Headline", "Overhead", "Tone", "headline", "overheads", "trust"]

Tone = Literal["good", "partly", "neutral", "bad"]

_WORDS: dict[Verdict, tuple[str, Tone]] = {
    Verdict.MEANING: ("It helps, and the gain depends on meaning", "good"),
    Verdict.PLACEBO: ("It helps, but a placebo does as well", "partly"),
    Verdict.UNTESTED: ("It helps; no placebo was run", "partly"),
    Verdict.NO_DIFFERENCE: ("It makes no difference", "neutral"),
    Verdict.HURTS: ("It hurts", "bad"),
    Verdict.UNDECIDED: ("One seed cannot tell", "neutral"),
}


@dataclass(frozen=True)
class Headline:
    """The verdict in words, and the sentence that gives its reason."""

    title: str
    tone: Tone
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One reason to trust the report or not: holds, does not, or was not looked at."""

    state: Literal["yes", "no", "open"]
    text: str


@dataclass(frozen=True)
class Overhead:
    """Training time of an arm relative to the plain backbone, mean over seeds."""

    backbone: str
    ratio: float


def headline(data: ReportData) -> Headline:
    """The verdict; with several backbones that disagree, what holds for which."""
    if not data.comparisons:
        return Headline("Not evaluated yet", "neutral", ("Run 'llactr evaluate' to compare the arms.",))
    sentences = tuple(found.sentence for found in data.comparisons)
    verdicts = {found.verdict for found in data.comparisons}
    if len(verdicts) == 1:
        title, tone = _WORDS[data.comparisons[0].verdict]
        return Headline(title, tone, sentences)
    parts = [
        f"{verdict.value} in {_listed([found.backbone for found in data.comparisons if found.verdict is verdict])}"
        for verdict in Verdict
        if verdict in verdicts
    ]
    return Headline(f"It depends: {'; '.join(parts)}", "neutral", sentences)


def tone_of(comparison: Comparison) -> Tone:
    """The colour in which a comparison's verdict is set."""
    return _WORDS[comparison.verdict][1]


def trust(data: ReportData) -> tuple[Check, ...]:
    """What was checked, in the order of what matters most in production."""
    checks = [_consistency(data)]
    if data.comparisons:
        seeds = min(len(found.arms[0].seeds) for found in data.comparisons)
        checks.append(
            Check("yes", f"{seeds} paired seeds, 95\u202f% intervals")
            if seeds >= 3
            else Check("no", f"{seeds} seed{'s' * (seeds > 1)}: too few, run at least 3")
        )
        placebos = min(sum(runs.arm in ("permuted", "random") for runs in found.arms) for found in data.comparisons)
        checks.append(
            Check("yes", f"Compared with {placebos} placebo{'s' * (placebos > 1)}")
            if placebos
            else Check("open", "No placebo was run")
        )
    if data.accuracy is not None:
        before, after = data.accuracy.before, data.accuracy.after
        change = f"{share(before)} → {share(after)} of {count(data.accuracy.held_out)} held-out values"
        better = after > before
        checks.append(Check("yes" if better else "no", f"Tuning {'' if better else 'does not '}help{'s' * better} "
                            f"the encoder tell fields apart: {change}"))  # fmt: skip
    return tuple(checks)


def overheads(data: ReportData) -> tuple[Overhead, ...]:
    """Training time of the enhanced arm over the plain one, for each backbone whose times were kept."""
    found = []
    for comparison in data.comparisons:
        plain, enhanced = comparison.arm("plain"), comparison.arm("enhanced")
        if plain and enhanced and plain.train_s and enhanced.train_s:
            base = math.fsum(plain.train_s) / len(plain.train_s)
            if base > 0:
                found.append(Overhead(comparison.backbone, math.fsum(enhanced.train_s) / len(enhanced.train_s) / base))
    return tuple(found)


def _consistency(data: ReportData) -> Check:
    check = data.consistency
    if check is None:
        return Check("open", "Online and offline scores were not compared: run 'llactr predict --check 1000'")
    if check.holds:
        return Check(
            "yes",
            f"Online equals offline on {count(check.rows)} rows: ids identical, "
            f"scores within {tiny(check.max_score_difference)}",
        )
    return Check(
        "no",
        f"Online differs from offline: {count(check.rows_with_other_ids)} of {count(check.rows)} rows have other ids, "
        f"scores differ by up to {tiny(check.max_score_difference)}",
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
