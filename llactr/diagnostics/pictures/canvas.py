"""A matplotlib figure as inline SVG (in the page's own font and colours), as an SVG file, or as PNG.

One unit of a figure is one CSS pixel at natural size. Output is deterministic: no dates, salted ids. Labels are data:
they are never read as mathtext, and are escaped on the way out.
"""

from __future__ import annotations

import html
import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llactr.evaluation.arms import Arm

__all__ = [
    "INK",
    "LINE",
    "MUTED",
    "ROLE_COLOURS",
    "SURFACE",
    "Picture",
    "drawing",
    "plain_axes",
    "role_colour",
    "short",
]

INK, MUTED, LINE, SURFACE = "#1b2430", "#5a6675", "#d8dde4", "#fefefe"
_PLACEBO = "placebo"
ROLE_COLOURS = {
    "plain": "#64707f", "treatment": "#0e7568", "permuted": "#b4540a", "random": "#7440d8", "words": "#7a6510",
    "rival": "#2f5d9e",
    _PLACEBO: "#9c3f6b",
}  # fmt: skip

# Inline, a drawing colour becomes the page's variable, so that pictures follow light and dark.
_VARIABLES = {
    INK: "--ink", MUTED: "--muted", LINE: "--line", SURFACE: "--surface",
    **{colour: f"--{role}" for role, colour in ROLE_COLOURS.items()},
}  # fmt: skip
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "llactr",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # bundled with matplotlib: the same measures on every machine
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "path.simplify": False,
}
_TAG = re.compile(r"<[^<>]*>")


def role_colour(arm: Arm) -> str:
    """The colour of an arm by what it is there for; placebos that have none of their own share one."""
    return ROLE_COLOURS.get(arm.role, ROLE_COLOURS[_PLACEBO])


@contextmanager
def drawing() -> Iterator[None]:
    """Settings under which pictures are drawn and saved, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)  # names in any script
        yield


@dataclass(frozen=True)
class Picture:
    """A drawn figure. `name` makes its ids unique within a page; `label` is read to those who cannot see it."""

    name: str
    label: str
    width: int
    height: int
    figure: Figure

    @classmethod
    def blank(cls, name: str, *, label: str, width: float, height: float) -> Picture:
        """An empty picture of that natural size in CSS pixels."""
        size = (round(width), round(height))
        return cls(name, label, *size, Figure(figsize=(size[0] / 72, size[1] / 72)))

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place given in pixels from the upper left corner."""
        bottom = self.height - top - height
        return self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height), facecolor="none"
        )

    def inline(self) -> str:
        """An `<svg>` element for a page that defines the colour variables; it scales with its container."""
        svg = self._saved("svg", transparent=True).decode()
        svg = svg[svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
        svg = _TAG.sub(lambda tag: self._page_tag(tag.group()), svg)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
            f'aria-label="{html.escape(self.label)}" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}">'
        )
        return re.sub(r"\n\s*", "\n", _TAG.sub(lambda _: head, svg, count=1)).strip()

    def svg(self) -> bytes:
        """A standalone SVG file on white."""
        return self._saved("svg", facecolor="white")

    def png(self, *, scale: float = 2) -> bytes:
        """A PNG on white, `scale` image pixels for each CSS pixel."""
        return self._saved("png", facecolor="white", dpi=72 * scale)

    def _page_tag(self, tag: str) -> str:
        tag = re.sub(r'\bid="', f'id="{self.name}-', tag)
        tag = tag.replace('href="#', f'href="#{self.name}-').replace("url(#", f"url(#{self.name}-")
        tag = re.sub(r"font: ((?:\w+ )*)([\d.]+)px [^;\"]*", _font, tag)
        tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
        for colour, variable in _VARIABLES.items():
            tag = tag.replace(colour, f"var({variable})")
        return tag

    def _saved(self, kind: str, **options: object) -> bytes:
        file = io.BytesIO()
        nothing = {"Date": None} if kind == "svg" else {"Software": None}
        with drawing():
            self.figure.savefig(file, format=kind, metadata=nothing, **options)  # type: ignore[arg-type]
        return file.getvalue()


def _font(found: re.Match[str]) -> str:
    weight = found.group(1).strip()
    return f"font-size: {found.group(2)}px" + (f"; font-weight: {weight}" if weight else "")


def short(text: str, *, limit: int = 16) -> str:
    """A label on one line, at most `limit` characters: control characters become blanks, the rest is cut with …"""
    clean = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text).strip()
    return clean if len(clean) <= limit else f"{clean[: limit - 1].rstrip()}…"


def plain_axes(axes: Axes, *, keep: tuple[str, ...] = ("bottom",)) -> None:
    """Leaves only the named spines, and no tick marks."""
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(side in keep)
    axes.tick_params(length=0, pad=5)
