"""Heat maps over the fields: cosines (−1 to 1, two colours) and confusion (0 to 100 %, one colour).

Letters: F fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from numpy.typing import NDArray

from llactr.diagnostics.pictures.canvas import INK, MUTED, SURFACE, Picture, drawing, short

__all__ = ["confusion_picture", "similarity_picture"]

Matrix = NDArray[np.floating] | Sequence[Sequence[float]]

_DIVERGING = LinearSegmentedColormap.from_list(
    "llactr_cosine", ["#8c3d0b", "#d98b52", "#f3ddc9", "#f7f7f5", "#cfe3e4", "#4f9ba3", "#0b5560"]
)
_RISING = LinearSegmentedColormap.from_list("llactr_share", ["#f4f6f6", "#bcd9d9", "#5ba3a8", "#0b5560"])

_NATURAL, _CELL_MIN, _VALUES_UP_TO = 344, 16, 14
_LETTER, _PAD = 5.7, 8  # width of a letter at size 10, and room beside labels


def similarity_picture(
    fields: Sequence[str], matrix: Matrix, *, name: str = "similarity", title: str = "", label: str = ""
) -> Picture:
    """The cosine of every pair of fields.

    Args:
        fields: F names, in the order of the rows.
        matrix: F X F cosines.
        name: makes ids unique within a page.
        title: drawn above; for pictures that stand alone.
        label: spoken description.
    """
    return _heat_map(
        fields, np.asarray(matrix, dtype=float), colours=_DIVERGING, low=-1.0, text=_cosine, skip_diagonal=True,
        ends=("−1  opposite", "same  +1"), name=name, title=title,
        label=label or f"Heat map of the cosine similarity of {len(fields)} fields.",
    )  # fmt: skip


def confusion_picture(
    fields: Sequence[str], counts: Matrix, *, name: str = "confusion", title: str = "", label: str = ""
) -> Picture:
    """To which field the encoder puts a value, as a share of the values of its true field (the row).

    Args:
        fields: F names.
        counts: F X F numbers of values; row is the true field, column the chosen one.
        name, title, label: as in `similarity_picture`.
    """
    array = np.asarray(counts, dtype=float)
    totals = array.sum(axis=1, keepdims=True)
    shares = np.divide(array, totals, out=np.zeros_like(array), where=totals > 0)
    return _heat_map(
        fields, shares, colours=_RISING, low=0.0, text=_percent, skip_diagonal=False,
        ends=("0 %", "100 % of the row"), name=name, title=title,
        label=label or f"Confusion matrix over {len(fields)} fields: rows are true fields, columns chosen ones.",
    )  # fmt: skip


def _heat_map(
    fields: Sequence[str],
    values: NDArray[np.floating],
    *,
    colours: Colormap,
    low: float,
    text: Callable[[float], str],
    skip_diagonal: bool,
    ends: tuple[str, str],
    name: str,
    title: str,
    label: str,
) -> Picture:
    count = len(fields)
    labels = [short(field) for field in fields]
    beside = max(len(found) for found in labels) * _LETTER + _PAD
    cell = max((_NATURAL - beside - 2) / count, _CELL_MIN)
    cell = min(cell, 64)
    side = cell * count
    top = 26 if title else 4
    picture = Picture.blank(name, label=label, width=max(beside + side + 2, _NATURAL), height=top + side + beside + 24)
    with drawing():
        axes = picture.axes(beside, top, side, side)
        scale = Normalize(low, 1.0)
        axes.pcolormesh(values, cmap=colours, norm=scale, edgecolors=SURFACE, linewidth=1.5 if count <= 20 else 0.5)
        axes.set_xlim(0, count)
        axes.set_ylim(count, 0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, pad=4)
        middles = np.arange(count) + 0.5
        axes.set_xticks(middles, labels, rotation=90, color=INK, fontsize=10)
        axes.set_yticks(middles, labels, color=INK, fontsize=10)
        if count <= _VALUES_UP_TO:
            for i, row in enumerate(values):
                for j, value in enumerate(row):
                    written = "" if skip_diagonal and i == j else text(float(value))
                    if written:
                        dark = _luminance(colours(scale(value))) < 0.45
                        drawn = axes.text(
                            j + 0.5, i + 0.5, written, ha="center", va="center_baseline",
                            fontsize=min(8.5, cell * 0.32), color="#ffffff" if dark else "#1b2431",
                        )  # fmt: skip
                        drawn.set_gid(f"value-{i}-{j}")
        _legend(picture, colours, ends=ends)
        if title:
            picture.figure.text(0.01, 1 - 14 / picture.height, title, fontsize=12, va="center", color=INK)
    return picture


def _legend(picture: Picture, colours: Colormap, *, ends: tuple[str, str]) -> None:
    """A strip of the colours with the words for its two ends, below the map."""
    strip = picture.axes(picture.width / 2 - 55, picture.height - 15, 110, 8)
    strip.pcolormesh(np.linspace(0, 1, 22)[None, :], cmap=colours, vmin=0, vmax=1)
    strip.set_axis_off()
    middle = 11 / picture.height
    for x, words, align in ((-62, ends[0], "right"), (62, ends[1], "left")):
        picture.figure.text(
            0.5 + x / picture.width, middle, words, ha=align, va="center", fontsize=9.5, color=MUTED
        )  # fmt: skip


def _luminance(colour: tuple[float, float, float, float]) -> float:
    """Relative luminance as in WCAG 2, without its linear toe."""
    red, green, blue = (channel**2.2 for channel in colour[:3])
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue) ** (1 / 2.2)


def _cosine(value: float) -> str:
    text = f"{value:.2f}".replace("-", "−").replace("0.", ".", 1)
    return "0" if text in (".00", "−.00") else text


def _percent(value: float) -> str:
    return "" if value < 0.005 else f"{100 * value:.0f}"
