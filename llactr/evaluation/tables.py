"""An evaluation in words for a terminal: arms as tables, verdicts, the differences in each slice."""

from __future__ import annotations

from llactr.evaluation.arms import PLAIN
from llactr.evaluation.choice import Choice
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.evidence import Difference, Interval
from llactr.evaluation.result import EvaluationResult, TestReading
from llactr.evaluation.rivals.table import rival_table

__all__ = ["as_tables", "choice_table"]


def as_tables(result: EvaluationResult, *, slices: bool = True) -> str:
    """The arms as tables, with verdicts in words; `slices` adds the treatments' differences in each slice."""
    over = f"95 %, over {_over(result.test_reading)}"
    lines = [f"{result.test_reading.sentence}."]
    for comparison in result.comparisons:
        lines += ["", *_arms(comparison, over)]
    if rivals := rival_table(result.comparisons):
        lines += ["", rivals]
    if slices:
        head = f"{'plain':>8} {'arm':>8} {'AUC':>9}  {over:<21}over rows"
        lines += ["", f"{'backbone and arm':<29} {'slice':<19} {head}"]
        for comparison in result.comparisons:
            lines += _slices(comparison)
    return "\n".join(lines)


def choice_table(choice: Choice) -> str:
    """Which arm is served, by which rule, and the candidates' figures on validation, the simplest first."""
    lines = [f"served: {choice.backbone} {choice.served}. Rule: {choice.rule}. {choice.reason}."]
    if not choice.candidates:
        return lines[0]
    measures = list(choice.candidates[0].behind)
    names = {"auc": "AUC", "user_auc": "within users"}
    behind = "".join(f"{names[measure] + ' behind':>20} {'error':>8}" for measure in measures)
    lines.append(f"{f'{choice.backbone}, validation':<25} {'AUC':>8} {'users':>8} {'logloss':>8} {behind}")
    for one in choice.candidates:
        user_auc = "-" if one.user_auc is None else f"{one.user_auc:.4f}"
        gaps = "".join(f"{one.behind[measure]:>20.4f} {one.error[measure]:>8.4f}" for measure in measures)
        chosen = "  <- served" * (one.arm == choice.served)
        lines.append(f"  {one.arm!s:<23} {one.auc:>8.4f} {user_auc:>8} {one.logloss:>8.4f} {gaps}{chosen}")
    return "\n".join(lines)


def _over(reading: TestReading) -> str:
    return "draws" if reading.draws > 1 else "seeds"


def _arms(comparison: Comparison, over: str) -> list[str]:
    head = f"{'AUC':>8} {'logloss':>8} {'ECE':>7}   {'AUC against plain':<18}{over:<21}over rows"
    lines = [f"{comparison.backbone:<25} {head}"]
    for runs in comparison.arms:
        auc, logloss, ece = (f"{runs.mean(metric):.4f}" for metric in ("auc", "logloss", "ece"))
        gap = _figures(comparison.difference(runs.arm), width=18)
        lines.append(f"  {runs.arm!s:<23} {auc:>8} {logloss:>8} {ece:>7}   {gap}".rstrip())
    return lines + [f"  {said.verdict.value}. {said.sentence}" for said in comparison.judgements]


def _slices(comparison: Comparison) -> list[str]:
    lines = []
    for found in comparison.differences:
        if found.metric == "auc" and found.baseline == PLAIN and found.arm.is_treatment:
            name = f"{comparison.backbone} {found.arm}"
            figures = f"{found.baseline_mean:8.4f} {found.arm_mean:8.4f}   {_figures(found, width=9)}"
            lines.append(f"{name:<29} {found.slice:<19} {figures}".rstrip())
    return lines


def _figures(found: Difference | None, *, width: int) -> str:
    if found is None:
        return ""
    return f"{found.mean:<+{width}.4f}{_span(found.over_runs):<21}{_span(found.over_rows)}"


def _span(interval: Interval | None) -> str:
    return "-" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"
