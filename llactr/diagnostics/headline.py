"""The answers at the top of a report: does it help, what did it cost, can I trust it. All follow from the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llactr.ctr.soundness import SoundnessFacts, too_good, unproven
from llactr.diagnostics.report_data import ReportData, ServedModel
from llactr.diagnostics.words import count, sentence, share, tiny
from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.evidence import Metric
from llactr.evaluation.result import TestReading
from llactr.evaluation.verdict import Judgement, Verdict

__all__ = ["Check", "Headline", "Overhead", "Tone", "headline", "overheads", "question", "tone_of", "trust"]

Tone = Literal["good", "partly", "neutral", "bad"]

_WORDS: dict[Verdict, tuple[str, Tone]] = {
    Verdict.MEANING: ("It helps, and the gain depends on meaning", "good"),
    Verdict.PART: ("It helps, and part of the gain depends on meaning", "partly"),
    Verdict.WORDS: ("It helps, and a bag of the same words does as well", "partly"),
    Verdict.PLACEBO: ("It helps, but a placebo does as well", "partly"),
    Verdict.PAST: ("It helps, by what happened before", "good"),
    Verdict.UNTESTED: ("It helps; no placebo was run", "partly"),
    Verdict.NO_DIFFERENCE: ("It makes no difference", "neutral"),
    Verdict.SMALL: ("The difference is too small to matter", "neutral"),
    Verdict.TOO_FEW_CLICKS: ("Too few clicks to tell", "neutral"),
    Verdict.TOO_FEW_RUNS: ("Too few runs to tell", "neutral"),
    Verdict.HURTS: ("It hurts", "bad"),
    Verdict.UNDECIDED: ("One seed cannot tell", "neutral"),
}


_FEW = 100
"""Clicks or non-clicks of a split below which models are hardly told apart."""


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
    """Training time of a treatment relative to the plain backbone, means over all runs."""

    backbone: str
    arm: Arm
    ratio: float


def question(data: ReportData) -> str:
    """What the headline answers: it names what the served model has, and plain has not."""
    arm = Arm.parse(data.served.arm) if data.served else None
    vectors = "the language model's vectors"
    asked = f"Do {vectors} help"
    if arm is not None and arm.history is not None:
        asked = f"Do what happened before and {vectors} help" if arm.has_meaning else "Does what happened before help"
    return f"{asked} on {data.title or data.dataset}?"


def headline(data: ReportData) -> Headline:
    """What is wrong with the served model, if anything; else the verdict about it; what else was compared follows.

    Where no model is served: the verdict about all, or, where they disagree, what holds for which.
    """
    served = data.served
    leaks = too_good(SoundnessFacts.model_validate(served.model_dump())) if served is not None else ""
    first = (f"{sentence(leaks)}.",) if leaks else ()
    if served is not None and served.doubts:
        sentences = (f"{sentence('; '.join(served.doubts))}.", *first, *_all_sentences(data))
        return Headline(f"{served.backbone} {served.arm} is not fit to be served", "bad", sentences)
    if served is not None and (unsure := unproven(SoundnessFacts.model_validate(served.model_dump()))):
        about = _about(served, data) if data.comparisons else _about_all(data)
        title = f"Too few clicks to tell {served.backbone} {served.arm} from chance"
        return Headline(title, "neutral", (f"{sentence(unsure)}.", *about.sentences))
    found = _about(served, data) if served is not None and data.comparisons else _about_all(data)
    return Headline("Too good to be true", "bad", (*first, *found.sentences)) if leaks else found


def _about(served: ServedModel, data: ReportData) -> Headline:
    """The verdict about the served model's arm."""
    comparison = next((one for one in data.comparisons if one.backbone == served.backbone), None)
    if comparison is None or served.arm not in {str(runs.arm) for runs in comparison.arms}:
        return Headline(
            "What is served was not evaluated",
            "bad",
            (
                f"The bundle is {served.backbone} {served.arm}: run 'llactr evaluate --backbone {served.backbone} "
                f"--arm plain --arm {served.arm!r}'.",
                *_all_sentences(data),
            ),
        )
    own = next((one for one in comparison.judgements if str(one.arm) == served.arm), None)
    others = [one for one in _all_sentences(data) if own is None or one != own.sentence]
    if own is not None:
        title, tone = _WORDS[own.verdict]
        return Headline(title, tone, (own.sentence, *others))
    why = f"{sentence(served.choice.reason)}." if served.choice else "It was asked for."
    return Headline(f"{served.backbone} is served {served.arm}, without vectors", "neutral", (why, *others))


def _all_sentences(data: ReportData) -> tuple[str, ...]:
    return tuple(said.sentence for comparison in data.comparisons for said in comparison.judgements)


def _about_all(data: ReportData) -> Headline:
    if not data.comparisons:
        return Headline("Not evaluated yet", "neutral", ("Run 'llactr evaluate' to compare the arms.",))
    judged = [(found.backbone, one) for found in data.comparisons for one in found.judgements]
    if not judged:
        return Headline("Nothing was compared with plain", "neutral", ("Run 'llactr evaluate' with another --arm.",))
    sentences = tuple(one.sentence for _, one in judged)
    verdicts = {one.verdict for _, one in judged}
    if len(verdicts) == 1:
        title, tone = _WORDS[judged[0][1].verdict]
        return Headline(title, tone, sentences)
    several = len({one.arm for _, one in judged}) > 1
    parts = [
        f"{verdict.value} in "
        + _listed([f"{name} {one.arm}" if several else name for name, one in judged if one.verdict is verdict])
        for verdict in Verdict
        if verdict in verdicts
    ]
    return Headline(f"It depends: {'; '.join(parts)}", "neutral", sentences)


def tone_of(judgement: Judgement) -> Tone:
    """The colour in which a verdict is set."""
    return _WORDS[judgement.verdict][1]


def trust(data: ReportData) -> tuple[Check, ...]:
    """What was checked, in the order of what matters most in production."""
    checks = [_consistency(data)]
    if data.comparisons:
        runs = min(max(len(found.seeds), found.draws) for found in data.comparisons)
        first = data.comparisons[0]
        what = f"{first.draws} draws" if first.draws > 1 else f"{runs} paired seed{'s' * (runs > 1)}"
        gains = [one for found in data.comparisons for one in found.differences if one.arm.is_treatment]
        noises = [one.seed_noise for one in gains if one.baseline.rival is None]
        if runs == 2 and noises and all(one is not None for one in noises):
            what += ", what they change taken from all arms together"
            runs = 3
        checks.append(
            Check("yes", f"{what}, 95\u202f% intervals")
            if runs >= 3
            else Check("no", f"{what}: too few, run at least 3 seeds")
        )
        placebos = min(sum(runs.arm.placebo is not None for runs in found.arms) for found in data.comparisons)
        checks.append(
            Check("yes", f"Compared with {placebos} placebo{'s' * (placebos > 1)}")
            if placebos
            else Check("open", "No placebo was run" + _needs_none(data))
        )
    if data.test_reading is not None and (few := _few_clicks(data.test_reading)):
        checks.append(Check("no", few))
    if data.test_reading is not None:
        models, earlier = data.test_reading.models_before, len(data.test_reading.earlier_readings)
        note = f"; {earlier} earlier evaluation{'s' * (earlier > 1)} here read the same test split" if earlier else ""
        checks.append(Check("yes", f"The test split was read once, after all {models} models were trained{note}"))
    if simpler := _popularity_ahead(data):
        checks.append(Check("no", simpler))
    if data.accuracy is not None:
        before, after = data.accuracy.before, data.accuracy.after
        change = f"{share(before)} → {share(after)} of {count(data.accuracy.held_out)} held-out values"
        better = after > before
        checks.append(Check("yes" if better else "no", f"Tuning {'' if better else 'does not '}help{'s' * better} "
                            f"the encoder tell fields apart: {change}"))  # fmt: skip
    return tuple(checks)


def _needs_none(data: ReportData) -> str:
    served = Arm.parse(data.served.arm) if data.served else None
    return ": what is served reads no vectors" if served is not None and not served.has_meaning else ""


def _popularity_ahead(data: ReportData) -> str:
    """In what the click rate of items alone ranks better than the served arm, or plain; empty where in nothing."""
    comparison = next(
        (one for one in data.comparisons if not data.served or one.backbone == data.served.backbone), None
    )
    popular = next((one for one in comparison.baselines if one.name == "popularity"), None) if comparison else None
    ours = comparison.arm(data.served.arm if data.served else PLAIN) if comparison else None
    if comparison is None or popular is None or ours is None:
        return ""
    within: tuple[Metric, str] = ("user_auc", "AUC within users")
    if ours.arm.reads_a_person and ours.mean("moment_auc") is not None:
        within = ("moment_auc", "AUC within users as of one moment")
    measured: tuple[tuple[Metric, Metric, str], ...] = (("auc", "auc", "AUC"), (within[0], "user_auc", within[1]))
    found = [
        f"{name} {theirs:.4f} against {mine:.4f}"
        for metric, of_popular, name in measured
        if (theirs := popular.value(of_popular)) is not None
        and (mine := ours.mean(metric)) is not None
        and theirs - mine >= comparison.margin
    ]
    return f"The click rate of items alone ranks these rows better than {ours.arm}: {', '.join(found)}" if found else ""


def _few_clicks(reading: TestReading) -> str:
    """Which parts of the split have few clicks or non-clicks; empty where none has."""
    parts = {name: reading.splits[name] for name in ("validation", "test") if name in reading.splits}
    found = [
        f"{count(clicks)} in {name}" for name, (rows, clicks) in parts.items() if min(clicks, rows - clicks) < _FEW
    ]
    return f"Few clicks, or few rows without: {_listed(found)}" if found else ""


def overheads(data: ReportData) -> tuple[Overhead, ...]:
    """Training time of each treatment over the plain arm, for each backbone whose times were kept."""
    found = []
    for comparison in data.comparisons:
        plain = comparison.arm(PLAIN)
        for runs in comparison.arms:
            if runs.arm.is_treatment and plain and plain.train_s and runs.train_s:
                found.append(Overhead(comparison.backbone, runs.arm, runs.train_s / plain.train_s))
    return tuple(found)


def _consistency(data: ReportData) -> Check:
    check = data.consistency
    if check is None:
        return Check("open", "Online and offline scores were not compared: run 'llactr check'")
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
