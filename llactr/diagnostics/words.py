"""How a report writes numbers: times, sizes, shares, counts, metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from llactr.evaluation.evidence import Interval
from llactr.evaluation.verdict import signed, span

__all__ = [
    "FILTERS",
    "bytes_size",
    "count",
    "counts",
    "day",
    "duration",
    "metric",
    "moment",
    "sentence",
    "setting",
    "share",
    "tiny",
]

_UNKNOWN = "–"


def count(value: int | None) -> str:
    """An integer with thin groups of three: 1 682."""
    return _UNKNOWN if value is None else f"{value:,}".replace(",", "\u202f")


def metric(value: float | None) -> str:
    """AUC or logloss with four digits."""
    return _UNKNOWN if value is None or not math.isfinite(value) else f"{value:.4f}"


def cosine(value: float) -> str:
    """A cosine with two digits, − for minus, and no sign on what rounds to zero."""
    text = f"{value:.2f}".replace("-", "−")
    return "0.00" if text == "−0.00" else text


def share(value: float | None) -> str:
    """A share as a percentage: 55.4 %; whole numbers from 99.95 on."""
    if value is None or not math.isfinite(value):
        return _UNKNOWN
    if 0 < value < 0.0005:
        return "< 0.1\u202f%"
    return f"{100 * value:.1f}\u202f%".replace(".0\u202f%", "\u202f%")


def setting(value: float) -> str:
    """A setting with three digits: 0.001, 2.4e−05, 24."""
    return f"{value:.3g}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Seconds as 0.4 s, 12.3 s, 2 min 41 s or 1 h 05 min."""
    if seconds is None or not math.isfinite(seconds):
        return _UNKNOWN
    if seconds < 59.95:
        return f"{seconds:.1f}\u202fs" if seconds >= 0.05 or seconds == 0 else "< 0.1\u202fs"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}\u202fmin {whole % 60:02d}\u202fs"
    return f"{whole // 3600}\u202fh {whole % 3600 // 60:02d}\u202fmin"


def bytes_size(size: int | None) -> str:
    """Bytes as MB or GB (powers of ten)."""
    if size is None:
        return _UNKNOWN
    return f"{size / 1e9:.2f}\u202fGB" if size >= 1e9 else f"{size / 1e6:.0f}\u202fMB"


def day(iso: str | None) -> str:
    """The day of an ISO timestamp."""
    return iso[:10] if iso else _UNKNOWN


def moment(iso: str) -> str:
    """An ISO timestamp as 2026-11-23 21:30 UTC; what is none stays as it is."""
    try:
        found = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{found.astimezone(UTC) if found.tzinfo else found:%Y-%m-%d %H:%M} UTC"


def tiny(value: float) -> str:
    """A difference near zero: 0, or as 3.0e−08."""
    return "0" if value == 0 else f"{value:.1e}".replace("-", "−")


def interval(ends: Interval | None) -> str:
    """`[−0.0004, +0.0020]`, or a dash where there is none."""
    return _UNKNOWN if ends is None else span(ends)


def counts(values: Sequence[int]) -> str:
    """A number of rows that may differ from draw to draw: 412, or 380–412."""
    if not values:
        return _UNKNOWN
    low, high = min(values), max(values)
    return count(low) if low == high else f"{count(low)}–{count(high)}"


def sentence(text: str) -> str:
    """With a capital at the start."""
    return text[:1].upper() + text[1:]


FILTERS: dict[str, Callable[[Any], str]] = {
    "count": count,
    "counts": counts,
    "metric": metric,
    "cosine": cosine,
    "share": share,
    "setting": setting,
    "duration": duration,
    "bytes_size": bytes_size,
    "day": day,
    "moment": moment,
    "tiny": tiny,
    "signed": signed,
    "interval": interval,
    "sentence": sentence,
}
