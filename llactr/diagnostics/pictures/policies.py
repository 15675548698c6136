"""Policies of retraining over time: a line a policy, one picture a measure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from matplotlib.ticker import MaxNLocator

from llactr.diagnostics.pictures.canvas import LINE, MUTED, ROLE_COLOURS, Picture, drawing, plain_axes
from llactr.evaluation.prequential import POLICIES, PolicyName, PrequentialResult

__all__ = ["MEASURES", "policies_picture"]

Measure = Literal["auc", "logloss", "cpu_seconds"]
MEASURES: tuple[Measure, ...] = ("auc", "logloss", "cpu_seconds")
_TITLES = {
    "auc": "AUC of each period",
    "logloss": "Logloss of each period",
    "cpu_seconds": "CPU-seconds at its beginning",
}
_LOOK: dict[PolicyName, tuple[str, Any]] = {
    "never": ("plain", "-"), "cold": ("permuted", (0, (5, 2))), "warm": ("treatment", "-"),
    "gated": ("random", (0, (1.5, 1.5))),
}  # fmt: skip
_WIDTH, _HEIGHT, _ABOVE = 640, 236, 42


def policies_picture(found: PrequentialResult, *, measure: Measure, name: str) -> Picture:
    """One measure over the periods."""
    said = ", ".join(one.policy for one in found.policies)
    picture = Picture.blank(name, label=f"{_TITLES[measure]} for {said}.", width=_WIDTH, height=_HEIGHT)
    with drawing():
        axes = picture.axes(48, _ABOVE, _WIDTH - 56, _HEIGHT - _ABOVE - 34)
        plain_axes(axes)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        for one in found.policies:
            role, style = _LOOK[one.policy]
            values = [getattr(period, measure) for period in one.periods]
            shown = [float("nan") if value is None else value for value in values]
            axes.plot(
                range(len(shown)), shown, color=ROLE_COLOURS[role], linewidth=1.8, linestyle=style,
                label=POLICIES[one.policy], marker="o" if len(shown) == 1 else None,
            )  # fmt: skip
        days = [datetime.fromisoformat(period.begins) for period in found.policies[0].periods]
        places = sorted({round(at * (len(days) - 1) / 5) for at in range(6)})
        axes.set_xticks(places, [f"{days[at]:%Y-%m-%d}" for at in places])
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.tick_params(labelsize=9.5)
        axes.set_title(_TITLES[measure], loc="left", fontsize=10, color=MUTED, pad=22)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, frameon=False, fontsize=9.5, handlelength=1.8,
            handletextpad=0.4, columnspacing=1.2, borderpad=0.2,
        )  # fmt: skip
    return picture
