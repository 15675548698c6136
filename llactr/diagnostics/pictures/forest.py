"""Differences with their intervals, one row a pair of arms: are all intervals on one side of zero?"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from llactr.diagnostics.pictures.canvas import INK, LINE, MUTED, Picture, drawing, plain_axes, role_colour
from llactr.evaluation.arms import PLAIN
from llactr.evaluation.comparison import Comparison
from llactr.evaluation.evidence import ALL_ROWS, Difference
from llactr.evaluation.verdict import in_words

__all__ = ["forest_picture"]

_WIDTH, _LEFT, _ROW, _TOP, _BOTTOM = 344, 132, 38, 20, 38


def forest_picture(comparison: Comparison, *, name: str = "forest") -> Picture:
    """Test AUC differences on all rows: mean, 95 % interval over runs, below it that over rows, and runs as dots."""
    rows = [found for found in comparison.differences if (found.metric, found.slice) == ("auc", ALL_ROWS)]
    spoken = "; ".join(f"{found.arm} minus {found.baseline} {in_words(found)}" for found in rows)
    picture = Picture.blank(
        name, label=f"Test AUC differences of {comparison.backbone}: {spoken}.",
        width=_WIDTH, height=_TOP + _ROW * len(rows) + _BOTTOM,
    )  # fmt: skip
    with drawing():
        axes = picture.axes(_LEFT, _TOP, _WIDTH - _LEFT - 20, _ROW * len(rows))
        plain_axes(axes)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        low, high = _range(rows)
        axes.set_xlim(low, high)
        for y in range(1, len(rows)):
            axes.axhline(y - 0.5, color=LINE, linewidth=0.6, zorder=0)
        axes.axvline(0, color=MUTED, linewidth=1.2, zorder=1)
        for y, found in enumerate(rows):
            _row(axes, y, found)
        axes.set_yticks(
            range(len(rows)), [f"{found.arm}\n− {found.baseline}" for found in rows], color=INK, fontsize=9.5
        )
        axes.tick_params(axis="y", pad=6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(FuncFormatter(_tick))
        axes.set_xlabel("difference in test AUC", fontsize=9.5, labelpad=4)
        for shift, words, align in ((-5, "← worse", "right"), (5, "better →", "left")):
            axes.annotate(
                words, (0, -0.5), xytext=(shift, 5), textcoords="offset points", ha=align, va="bottom", fontsize=9.5,
                color=MUTED,
            )  # fmt: skip
    return picture


def _row(axes: Axes, y: int, found: Difference) -> None:
    colour = role_colour(found.arm)
    if found.over_runs is not None:
        axes.plot(found.over_runs, [y, y], color=colour, linewidth=2.4, solid_capstyle="butt", zorder=2)
        for end in found.over_runs:
            axes.plot([end, end], [y - 0.13, y + 0.13], color=colour, linewidth=2, zorder=2)
    if found.over_rows is not None:
        axes.plot(found.over_rows, [y + 0.22] * 2, color=colour, linewidth=1, alpha=0.8, zorder=2)
    axes.plot(found.by_run, [y + 0.36] * len(found.by_run), "o", color=colour, markersize=3, alpha=0.55, zorder=2)
    marker = "D" if found.baseline == PLAIN else "s"
    axes.plot([found.mean], [y], marker, color=colour, markersize=7, zorder=3)


def _range(rows: list[Difference]) -> tuple[float, float]:
    """Ends of the axis: every interval and zero. A very wide one (two seeds) is cut, so that means stay apart."""
    values = [value for found in rows for value in (found.mean, *found.by_run)]
    widest = 12 * max((abs(value) for value in values), default=0.0) or 0.001
    ends = [end for found in rows for ends in (found.over_runs, found.over_rows) for end in ends or ()]
    low = max(min(0.0, *values, *ends), -widest)
    high = min(max(0.0, *values, *ends), widest)
    room = 0.06 * (high - low) or 0.001
    return low - room, high + room


def _tick(value: float, _: object = None) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:+.4f}".rstrip("0").replace("-", "−")
