"""Small pictures of what came in: two histograms in one, and a line over windows. SVG without a script or a font."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

__all__ = ["histogram", "trend"]

_HEIGHT = 36
_BAR, _GAP = 4, 3
_TREND_WIDTH = 110


def histogram(was: Sequence[int], now: Sequence[int], *, label: str) -> Markup:
    """Shares of the same bins, then and now, side by side; the highest bar fills the picture.

    Args:
        was, now: B counts each.
        label: what a reader who does not see it is told.
    """
    shares = [[count / max(sum(counts), 1) for count in counts] for counts in (was, now)]
    top = max([*shares[0], *shares[1], 1e-12])
    bars = []
    for place, (before, after) in enumerate(zip(*shares, strict=True)):
        for number, (share, name) in enumerate(((before, "was"), (after, "now"))):
            height = _HEIGHT * share / top
            x = place * (2 * _BAR + _GAP) + number * _BAR
            bars.append(
                f'<rect class="{name}" x="{x}" y="{_HEIGHT - height:.2f}" width="{_BAR}" height="{height:.2f}"/>'
            )
    width = len(was) * (2 * _BAR + _GAP)
    return _svg("".join(bars), width, label)


def trend(values: Sequence[float], limit: float, *, label: str) -> Markup:
    """Distances window by window, from 0 up, and the limit as a dashed line where there is one; the last one is a dot.

    Args:
        values: W distances, the oldest first.
        limit: past which one is an alarm; infinite for none.
        label: see `histogram`.
    """
    top = max([*values, limit if math.isfinite(limit) else 0.0, 1e-12])
    step = (_TREND_WIDTH - 6) / max(len(values) - 1, 1)
    points = [(3 + place * step, 2 + (_HEIGHT - 4) * (1 - value / top)) for place, value in enumerate(values)]
    parts = []
    if math.isfinite(limit):
        y = 2 + (_HEIGHT - 4) * (1 - limit / top)
        parts.append(f'<line class="limit" x1="0" x2="{_TREND_WIDTH}" y1="{y:.2f}" y2="{y:.2f}"/>')
    if len(points) > 1:
        parts.append(f'<polyline class="line" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in points)}"/>')
    if points:
        x, y = points[-1]
        name = "over" if values[-1] > limit else "now"
        parts.append(f'<circle class="{name}" cx="{x:.2f}" cy="{y:.2f}" r="2.5"/>')
    return _svg("".join(parts), _TREND_WIDTH, label)


def _svg(content: str, width: int, label: str) -> Markup:
    head = f'<svg role="img" aria-label="{escape(label)}" width="{width}" height="{_HEIGHT}" '
    return Markup(f'{head}viewBox="0 0 {width} {_HEIGHT}">{content}</svg>')
