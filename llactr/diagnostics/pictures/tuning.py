"""A search in pictures: how the best so far rose from trial to trial, and how each setting bears on the metric."""

from __future__ import annotations

import math
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from llactr.diagnostics.pictures.canvas import LINE, MUTED, ROLE_COLOURS, Picture, drawing, plain_axes, short
from llactr.diagnostics.report_data import TunedDimension, TunedTrial, Tuning

__all__ = ["trials_picture", "tuned_picture"]

_WIDTH, _HEIGHT = 344, 212
_DOT, _BEST = ROLE_COLOURS["plain"], ROLE_COLOURS["treatment"]
_LOWEST = 0.15  # of the trials: a few that fail badly would flatten all others


def trials_picture(tuning: Tuning, *, name: str = "trials") -> Picture:
    """Validation AUC of every trial, and the best so far."""
    scored = [trial for trial in tuning.trials if trial.auc is not None]
    picture, axes = _blank(tuning, f"Validation AUC by trial: {_spoken(tuning)}", name, "trial")
    with drawing():
        if scored:
            best_so_far = list(accumulate((trial.auc or 0.0 for trial in scored), max))
            numbers = [trial.number for trial in scored]
            axes.step([*numbers, len(tuning.trials) - 0.5], [*best_so_far, best_so_far[-1]], where="post",
                      color=_BEST, linewidth=1.6, zorder=2)  # fmt: skip
            _dots(axes, tuning, [float(trial.number) for trial in scored], scored)
        axes.set_xlim(-0.5, max(len(tuning.trials) - 0.5, 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return picture


def tuned_picture(tuning: Tuning, dimension: TunedDimension, *, name: str = "tuned") -> Picture:
    """Validation AUC of every trial by its value of one setting; the first trial is a ring, the best a diamond."""
    scored = [trial for trial in tuning.trials if trial.auc is not None]
    label = f"Validation AUC by {dimension.name}: {_spoken(tuning)}"
    picture, axes = _blank(tuning, label, name, short(dimension.name, limit=30))
    with drawing():
        values = [trial.values[dimension.name] for trial in scored]
        if dimension.log and all(value > 0 for value in values):
            axes.set_xscale("log")
            ticks = _ticks(min(values, default=1.0), max(values, default=1.0))
            axes.set_xticks(ticks, [f"{tick:.4g}".replace("-", "−") for tick in ticks])
            axes.minorticks_off()
        if scored:
            _dots(axes, tuning, values, scored)
    return picture


def _blank(tuning: Tuning, label: str, name: str, below: str) -> tuple[Picture, Axes]:
    picture = Picture.blank(name, label=label, width=_WIDTH, height=_HEIGHT)
    with drawing():
        axes = picture.axes(48, 12, _WIDTH - 48 - 12, _HEIGHT - 12 - 38)
        plain_axes(axes)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(below, fontsize=9.5, color=MUTED)
        axes.tick_params(labelsize=9.5)
        found = sorted(trial.auc for trial in tuning.trials if trial.auc is not None)
        if found:
            low, high = found[int(_LOWEST * len(found))], found[-1]
            room = 0.12 * (high - low) or 0.001
            axes.set_ylim(low - 2 * room, high + room)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", useOffset=False)
    return picture, axes


def _ticks(low: float, high: float) -> list[float]:
    """At most five round numbers for a logarithmic axis: whole decades over a wide range, 1-2-5 over a narrow one."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(decades) > 3 else (1, 2, 5)
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    within = [tick for tick in ticks if low / 1.3 <= tick <= high * 1.3] or [low]
    return within[:: math.ceil(len(within) / 5)]


def _dots(axes: Axes, tuning: Tuning, places: list[float], scored: list[TunedTrial]) -> None:
    """Trials below the axis are drawn as arrows on it."""
    floor = axes.get_ylim()[0]
    for place, trial in zip(places, scored, strict=True):
        height = trial.auc or 0.0
        if height < floor:
            axes.plot([place], [floor], "v", color=_DOT, markersize=5, alpha=0.7, clip_on=False)
        elif tuning.best is not None and trial.number == tuning.best.number:
            axes.plot([place], [height], "D", color=_BEST, markersize=7, zorder=4)
        elif trial.number == 0:
            axes.plot([place], [height], "o", color=_DOT, markersize=7, fillstyle="none", markeredgewidth=1.6, zorder=3)
        else:
            axes.plot([place], [height], "o", color=_DOT, markersize=4.5, alpha=0.7)


def _spoken(tuning: Tuning) -> str:
    best = tuning.best
    if best is None or best.auc is None:
        return f"none of {len(tuning.trials)} trials reached a finite loss."
    return f"{best.auc:.4f} at best, in trial {best.number} of {len(tuning.trials)}."
