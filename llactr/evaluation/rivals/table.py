"""Rivals beside our arms: figures of the test rows, and what they cost."""

from __future__ import annotations

from llactr.evaluation.comparison import ArmRuns, Comparison

__all__ = ["rival_table"]


def rival_table(comparisons: tuple[Comparison, ...]) -> str:
    """Every arm of every backbone, and each rival once; empty where there is no rival.

    `train` are CPU seconds, of a rival those of its whole search; `rows/s` are test rows scored per CPU-second.
    """
    rivals = [runs for runs in comparisons[0].arms if runs.arm.role == "rival"]
    if not rivals:
        return ""
    lines = [f"{'rivals, test rows':<29} {'AUC':>8} {'logloss':>8} {'train':>9} {'rows/s':>10}"]
    for comparison in comparisons:
        ours = [runs for runs in comparison.arms if runs.arm.role in {"plain", "treatment"}]
        lines += [_line(f"{comparison.backbone} {runs.arm}", runs) for runs in ours]
    return "\n".join(lines + [_line(str(runs.arm), runs) for runs in rivals])


def _line(name: str, runs: ArmRuns) -> str:
    auc, logloss = (f"{runs.mean(metric):.4f}" for metric in ("auc", "logloss"))
    train = "-" if runs.train_s is None else f"{runs.train_s:.1f} s"
    rate = "-" if runs.rows_per_s is None else f"{runs.rows_per_s:,.0f}"
    return f"  {name:<27} {auc:>8} {logloss:>8} {train:>9} {rate:>10}"
