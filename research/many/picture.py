"""A forest over data sets: what the sets say of a question, one below the other, and together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research.many.goal import champions
from research.many.meta import RandomEffects, random_effects
from research.many.page import BEST, PICTURED, effects

__all__ = ["forest", "write_picture"]

_TICKS = 4
"""At most so many steps of an axis: more collide."""


def write_picture(kept: Sequence[dict[str, Any]], path: Path, *, backbone: str = "fm") -> None:
    """Draws `forest` into an SVG; the same figures give the same bytes."""
    from llactr.diagnostics.pictures.canvas import drawing

    with drawing():
        figure = forest(kept, backbone=backbone)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def forest(kept: Sequence[dict[str, Any]], *, backbone: str = "fm") -> Any:
    """A figure with a panel a contrast: sets with their intervals, the mean as a diamond, the prediction interval below.

    The best of ours is that of all backbones, as in the page's table of the goal.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from llactr.diagnostics.pictures.canvas import INK, LINE, MUTED, ROLE_COLOURS, drawing

    found = [(a, b, champions(kept) if a == BEST else effects(kept, backbone, a, b)) for a, b in PICTURED]
    panels = [panel for panel in found if len(panel[2]) > 1]
    names = [one["set"] for one in kept]
    with drawing():
        figure = Figure(figsize=(3.1 * len(panels) + 1.4, 0.34 * len(names) + 1.7))
        axes = figure.subplots(1, len(panels))
        for at, (axis, (arm, baseline, some)) in enumerate(zip(list(axes) if len(panels) > 1 else [axes], panels)):
            axis.xaxis.set_major_locator(MaxNLocator(_TICKS))
            axis.axvline(0, color=MUTED, linewidth=1)
            for effect in some:
                y = names.index(effect.set)
                axis.plot(effect.interval, [y, y], color=INK, linewidth=1.2)
                axis.plot([effect.mean], [y], "s", color=ROLE_COLOURS["treatment"], markersize=5)
            _summary(axis, random_effects([e.mean for e in some], [e.error for e in some]), len(names))
            axis.set_ylim(len(names) + 1.2, -0.7)
            labels = [*names, "mean", "next set"] if at == 0 else [""] * (len(names) + 2)
            axis.set_yticks(range(len(names) + 2), labels)
            axis.set_title(f"{arm} − {baseline}", fontsize=10)
            axis.axhline(len(names) - 0.5, color=LINE, linewidth=0.8)
            axis.tick_params(labelsize=9)
            for side in ("top", "right", "left"):
                axis.spines[side].set_visible(False)
        others = ", and for the best of ours the best backbone" * any(arm == BEST for arm, _, _ in panels)
        figure.supxlabel(f"difference in test AUC, {backbone}{others}, 95 %", fontsize=9, color=MUTED)
        figure.tight_layout()
    return figure


def _summary(axis: Any, together: RandomEffects | None, y: int) -> None:
    if together is None:
        return
    low, high = together.interval
    axis.fill([low, together.mean, high, together.mean], [y, y - 0.25, y, y + 0.25], color="#b4540a")
    if together.prediction is not None:
        axis.plot(together.prediction, [y + 1, y + 1], color="#b4540a", linewidth=2)
