"""Rivals beside our arms: figures of the test rows, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from llactr.evaluation.comparison import ArmRuns, Baseline, Comparison
from llactr.evaluation.evidence import METRICS, Metric

__all__ = ["rival_table"]

_HEADS = {"auc": "AUC", "user_auc": "user AUC", "logloss": "logloss"}


def rival_table(comparisons: tuple[Comparison, ...]) -> str:
    """Every arm of every backbone, each rival once, and what needs no model; empty where there is no rival.

    `train` are CPU seconds, of a rival those of its whole search; `rows/s` are test rows scored per CPU-second.
    """
    rivals = [runs for runs in comparisons[0].arms if runs.arm.role == "rival"]
    if not rivals:
        return ""
    shown = [metric for metric in METRICS if metric in _HEADS and rivals[0].mean(metric) is not None]
    heads = "".join(f" {_HEADS[metric]:>8}" for metric in shown)
    lines = [f"{'rivals, test rows':<29}{heads} {'train':>9} {'rows/s':>10}"]
    for comparison in comparisons:
        ours = [runs for runs in comparison.arms if runs.arm.role in {"plain", "treatment"}]
        lines += [_line(f"{comparison.backbone} {runs.arm}", runs, shown) for runs in ours]
    lines += [_line(str(runs.arm), runs, shown) for runs in rivals]
    return "\n".join(lines + [_line(one.name, one, shown) for one in comparisons[0].baselines])


def _line(name: str, given: ArmRuns | Baseline, shown: Sequence[Metric]) -> str:
    value = given.value if isinstance(given, Baseline) else given.mean
    figures = "".join(f" {'-' if (found := value(metric)) is None else f'{found:.4f}':>8}" for metric in shown)
    if isinstance(given, Baseline):
        return f"  {name:<27}{figures} {'-':>9} {'-':>10}"
    train = "-" if given.train_s is None else f"{given.train_s:.1f} s"
    rate = "-" if given.rows_per_s is None else f"{given.rows_per_s:,.0f}"
    return f"  {name:<27}{figures} {train:>9} {rate:>10}"
