"""Learning curves: a thin line for each run, a thick one for the mean of an arm, a dot where weights were kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from llactr.diagnostics.pictures.canvas import LINE, MUTED, Picture, drawing, plain_axes, role_colour
from llactr.diagnostics.report_data import Curve
from llactr.evaluation.arms import Arm

__all__ = ["curve_picture"]

_DASHES: dict[str, Any] = {
    "plain": "-", "treatment": "-", "permuted": (0, (5, 2)), "random": (0, (1.5, 1.5)), "words": (0, (4, 1.5, 1, 1.5)),
}  # fmt: skip
_OTHER_DASH: Any = (0, (3, 1, 1, 1, 1, 1))
_WIDTH, _HEIGHT, _LEGEND_ROW = 344, 216, 16


def curve_picture(
    curves: Sequence[Curve], *, measure: Literal["train_loss", "validation_auc"], name: str = "curve"
) -> Picture:
    """One measure over the epochs, for all runs of one backbone: plain, a treatment and its placebos."""
    title = "Training loss" if measure == "train_loss" else "Validation AUC"
    arms = sorted({curve.arm for curve in curves}, key=Arm.place)
    names = [str(arm) for arm in arms]
    above = _LEGEND_ROW * math.ceil(len(arms) / 2)
    picture = Picture.blank(
        name, label=f"{title} by epoch for {', '.join(names)}.", width=_WIDTH, height=_HEIGHT + above
    )
    with drawing():
        axes = picture.axes(42, above + 10, _WIDTH - 42 - 8, _HEIGHT - 10 - 33)
        plain_axes(axes)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for arm in arms:
            runs = [curve for curve in curves if curve.arm == arm]
            colour, style = role_colour(arm), _DASHES.get(arm.role, _OTHER_DASH)
            for run in runs:
                values = getattr(run, measure)
                axes.plot(range(1, len(values) + 1), values, color=colour, linewidth=0.7, alpha=0.4)
                if measure == "validation_auc" and run.best_epoch and run.best_epoch <= len(values):
                    best = values[run.best_epoch - 1]
                    axes.plot([run.best_epoch], [best], "o", color=colour, markersize=3.5, alpha=0.8)
            mean = _mean_by_epoch([getattr(run, measure) for run in runs])
            axes.plot(range(1, len(mean) + 1), mean, color=colour, linewidth=2, linestyle=style)
            if len(mean) == 1:
                axes.plot([1], mean, "o", color=colour, markersize=5)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.tick_params(labelsize=9.5)
        axes.set_xlabel("epoch", fontsize=9.5, color=MUTED)
        handles = [
            Line2D([], [], color=role_colour(arm), linewidth=2, linestyle=_DASHES.get(arm.role, _OTHER_DASH))
            for arm in arms
        ]
        axes.legend(
            handles, names, loc="lower left", bbox_to_anchor=(-0.03, 1.0), ncols=2, frameon=False, fontsize=9.5,
            handlelength=1.6, handletextpad=0.4, columnspacing=1.0, borderpad=0.2,
        )  # fmt: skip
    return picture


def _mean_by_epoch(runs: Sequence[Sequence[float]]) -> list[float]:
    """Mean over the runs that reached an epoch with all seeds; beyond it the thin lines stand alone."""
    epochs = [[value for value in row if value is not None] for row in zip_longest(*runs)]
    whole = [row for row in epochs if len(row) == len(runs)]
    return [math.fsum(row) / len(row) for row in whole]
