"""An evaluation in words for a terminal: arms as tables, verdicts, the differences in each slice."""

from __future__ import annotations

from llactr.evaluation.arms import PLAIN
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.evidence import Difference, Interval
from llactr.evaluation.result import EvaluationResult, TestReading

__all__ = ["as_tables"]


def as_tables(result: EvaluationResult, *, slices: bool = True) -> str:
    """The arms as tables, with verdicts in words; `slices` adds the treatments' differences in each slice."""
    over = f"95 %, over {_over(result.test_reading)}"
    lines = [f"{result.test_reading.sentence}."]
    for comparison in result.comparisons:
        lines += ["", *_arms(comparison, over)]
    if slices:
        head = f"{'plain':>8} {'arm':>8} {'AUC':>9}  {over:<21}over rows"
        lines += ["", f"{'backbone and arm':<29} {'slice':<19} {head}"]
        for comparison in result.comparisons:
            lines += _slices(comparison)
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
