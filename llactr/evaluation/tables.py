"""An evaluation in words for a terminal: arms as tables, verdicts, the differences in each slice."""

from __future__ import annotations

from collections.abc import Callable

from llactr.evaluation.arms import PLAIN, Arm
from llactr.evaluation.choice import Choice
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.evidence import Difference, Interval, Metric
from llactr.evaluation.result import EvaluationResult, TestReading
from llactr.evaluation.rivals.table import rival_table

__all__ = ["as_tables", "choice_table"]

_RANKING: tuple[Metric, ...] = ("user_auc", "ndcg", "recall")
_NAMES: dict[Metric, str] = {
    "auc": "AUC", "user_auc": "users", "ndcg": "NDCG", "recall": "recall", "logloss": "logloss", "ece": "ECE",
}  # fmt: skip
_WIDTH: dict[Metric, int] = dict.fromkeys(_NAMES, 8) | {"ece": 7}


_USERS_NOTE = (
    "Intervals are drawn by whole users, whose rows are not independent. 'users' is AUC within users; NDCG and recall "
    "are those of users' first 10."
)
_ROWS_NOTE = (
    "Intervals are drawn by single rows, as if these were independent; rows that belong together make them too narrow."
)


_SCARCE_NOTE = "Here there are none: too few have a click, or a row without one."


def as_tables(result: EvaluationResult, *, slices: bool = True, served: Arm | None = None) -> str:
    """The arms as tables, with verdicts in words, those of the served arm first.

    Args:
        result: of an evaluation.
        slices: adds the treatments' differences in each slice.
        served: the arm that is served, of the first backbone.
    """
    reading = result.test_reading
    over = f"95 %, over {_over(reading)}"
    lines = [f"{reading.sentence}."]
    if reading.counts:
        lines += [f"{reading.counts}.", _USERS_NOTE if _drawn(result) == "users" else _ROWS_NOTE]
        lines += [_SCARCE_NOTE] * any(one.scarce for one in result.comparisons)
    for number, comparison in enumerate(result.comparisons):
        lines += ["", *_arms(comparison, over, served if number == 0 else None)]
    if rivals := rival_table(result.comparisons):
        lines += ["", rivals]
    if slices:
        head = f"{'plain':>8} {'arm':>8} {'AUC':>9}  {over:<21}over {_drawn(result)}"
        lines += ["", f"{'backbone and arm':<29} {'slice':<19} {head}"]
        for comparison in result.comparisons:
            lines += _slices(comparison)
    return "\n".join(lines)


def choice_table(choice: Choice) -> str:
    """Which arm is served, by which rule, and the candidates' figures on validation, the simplest first."""
    lines = [f"served: {choice.backbone} {choice.served}. Rule: {choice.rule}. {choice.reason}."]
    if not choice.candidates:
        return lines[0]
    measures = choice.measures
    names = {"auc": "AUC behind", "user_auc": "within users behind"}
    behind = "".join(f"{names[measure]:>20} {'error':>8}" for measure in measures)
    lines.append(f"{f'{choice.backbone}, validation':<25} {'AUC':>8} {'users':>8} {'logloss':>8} {behind}")
    for one in choice.candidates:
        user_auc = "-" if one.user_auc is None else f"{one.user_auc:.4f}"
        gaps = "".join(f"{one.behind[measure]:>20.4f} {one.error[measure]:>8.4f}" for measure in measures)
        chosen = "  <- served" * (one.arm == choice.served)
        lines.append(f"  {one.arm!s:<23} {one.auc:>8.4f} {user_auc:>8} {one.logloss:>8.4f} {gaps}{chosen}")
    return "\n".join(lines)


def _over(reading: TestReading) -> str:
    return "draws" if reading.draws > 1 else "seeds"


def _arms(comparison: Comparison, over: str, served: Arm | None) -> list[str]:
    arms = sorted(comparison.arms, key=lambda runs: runs.arm != served)  # stable: the others stay in their order
    columns: list[Metric] = ["auc"]
    columns += [one for one in _RANKING if any(runs.mean(one) is not None for runs in arms)]
    columns += ["logloss", "ece"]
    drawn = comparison.differences[0].drawn if comparison.differences else "rows"
    head = " ".join(f"{_NAMES[metric]:>{_WIDTH[metric]}}" for metric in columns)
    lines = [f"{comparison.backbone:<25} {head}   {'AUC against plain':<18}{over:<21}over {drawn}"]
    for runs in arms:
        gap = _figures(comparison.difference(runs.arm), width=18)
        name = f"{runs.arm} (served)" if runs.arm == served else str(runs.arm)
        lines.append(f"  {name:<23} {_row(columns, runs.mean)}   {gap}".rstrip())
    lines += [f"  {one.name:<23} {_row(columns, one.value)}" for one in comparison.baselines]
    said = sorted(comparison.judgements, key=lambda one: one.arm != served)
    return lines + [f"  {one.verdict.value}. {one.sentence}" for one in said]


def _row(columns: list[Metric], value: Callable[[Metric], float | None]) -> str:
    found = [(metric, value(metric)) for metric in columns]
    return " ".join(f"{'-' if one is None else f'{one:.4f}':>{_WIDTH[metric]}}" for metric, one in found)


def _drawn(result: EvaluationResult) -> str:
    found = [one.drawn for comparison in result.comparisons for one in comparison.differences]
    return found[0] if found else "rows"


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
