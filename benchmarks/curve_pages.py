"""The scale curves as a picture and as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["cost_of", "exponent", "plot", "table"]


def cost_of(point: dict[str, Any]) -> float:
    """What a point's curve is about: CPU milliseconds, or bytes where it counts these."""
    return float(point["bytes"] if "bytes" in point else point["cpu_ms"])


def exponent(points: Sequence[dict[str, Any]]) -> float:
    """Slope of the last three points on logarithmic axes, by least squares."""
    sizes = np.log([float(point["size"]) for point in points[-3:]])
    return float(np.polyfit(sizes, np.log([cost_of(point) for point in points[-3:]]), 1)[0])


def plot(curves: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws all curves, a panel for each axis, as SVG or PNG; the same figures give the same file."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator

    axes = list(dict.fromkeys(curve["axis"] for curve in curves))
    across = -(-max(len(axes), 1) // 3)
    with mpl.rc_context({"svg.hashsalt": "llactr", "svg.fonttype": "none", "font.size": 8, "lines.linewidth": 1.2}):
        figure, panels = plt.subplots(across, 3, figsize=(10.5, 3.1 * across), layout="constrained", squeeze=False)
        for panel, axis in zip(panels.flat, axes, strict=False):
            unit = "CPU ms"
            for curve in (curve for curve in curves if curve["axis"] == axis):
                points = curve["points"]
                sizes, costs = [point["size"] for point in points], [cost_of(point) for point in points]
                spread = None
                if "bytes" in points[0]:
                    unit = "bytes"
                else:
                    spread = [
                        [max(p["cpu_ms"] - p["lowest"], 0) for p in points],
                        [max(p["highest"] - p["cpu_ms"], 0) for p in points],
                    ]
                label = f"{curve['label']}: n^{curve['exponent']:.2f}"
                panel.errorbar(sizes, costs, yerr=spread, marker="o", markersize=3, capsize=2, label=label)
            panel.set(xscale="log", yscale="log", xlabel=axis, ylabel=unit)
            sizes = sorted({point["size"] for curve in curves if curve["axis"] == axis for point in curve["points"]})
            apart = [size for at, size in enumerate(sizes) if at == 0 or size >= 1.3 * sizes[at - 1]]
            panel.set_xticks(apart, [f"{size // 1000:,}k" if size >= 10_000 else f"{size:,}" for size in apart])
            panel.minorticks_off()
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            panel.grid(alpha=0.25)
            panel.legend(frameon=False, fontsize=7)
        for panel in list(panels.flat)[len(axes) :]:
            panel.set_visible(False)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=110)
        plt.close(figure)


def table(curves: Sequence[dict[str, Any]]) -> str:
    """All curves as a Markdown table."""
    lines = ["| axis | what | CPU ms, or bytes, at each size: median (range) | exponent |", "|---|---|---|---:|"]
    for curve in curves:
        cells = [f"{point['size']:,}: {_cell(point)}" for point in curve["points"]]
        lines.append(f"| {curve['axis']} | {curve['label']} | {'; '.join(cells)} | {curve['exponent']:.2f} |")
    return "\n".join(lines)


def _cell(point: dict[str, Any]) -> str:
    if "bytes" in point:
        return f"{point['bytes']:,}"
    return f"{_short(point['cpu_ms'])} ({_short(point['lowest'])}–{_short(point['highest'])})"


def _short(value: float) -> str:
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
