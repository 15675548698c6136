"""The kind of a field: words and codes are categorical, quantities numeric, lists multi-valued."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llactr.profile.facts import Column, number_of
from llactr.profile.names import is_code, is_measure

__all__ = ["Kind", "kind_of", "worded"]

_FEW = 30
_MANY = 1000
_SEVERAL = 16


@dataclass(frozen=True)
class Kind:
    """A field's kind with its settings.

    Attributes:
        name: as specs call it.
        reason: in a few words.
        sure: whether a person need not look.
        settings: of the field beside its kind.
    """

    name: str
    reason: str
    sure: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


def kind_of(column: Column, *, owner: str) -> Kind:
    """The kind of a column's values.

    Args:
        column: its facts.
        owner: `user`, `item` or `context`: rare codes of the context are one.
    """
    if column.type == "list":
        return _listed(column)
    if column.type == "boolean":
        return Kind("categorical", "yes or no")
    if column.type == "number":
        if column.distinct <= 2:
            return Kind("categorical", "two values")
        return _numeric(column, "a quantity with fractions")
    if column.type == "integer":
        return _whole(column, owner)
    return _texts(column, owner)


def worded(column: Column) -> bool:
    """Whether a language model could make something of the values: words, and not codes."""
    shape = column.shape
    if column.type not in {"text", "list"} or shape.opaque or shape.letters < 0.7:
        return False
    return shape.words >= 1.5 or (shape.length >= 3.5 and column.distinct > 3)


def _texts(column: Column, owner: str) -> Kind:
    shape = column.shape
    settings: dict[str, Any] = {}
    if worded(column):
        settings["value_text"] = True
        reason = "text" if shape.words >= 3 else "words"
    else:
        reason = "codes" if shape.letters < 0.7 or shape.opaque else "short words"
    if owner == "context" and column.distinct > _MANY and shape.words < 3:
        settings["min_count"] = 5
    return Kind("categorical", reason, settings=settings)


def _whole(column: Column, owner: str) -> Kind:
    settings = {"min_count": 5} if owner == "context" and column.distinct > _MANY else {}
    if "zeros in front" in column.shape.spelled:
        return Kind("categorical", "codes with zeros in front", settings=settings)
    if column.distinct <= 2:
        return Kind("categorical", "two values")
    if "year" in column.words and (column.low or 0) >= 1000 and (column.high or 0) <= 2100:
        return Kind("categorical", "years")
    if is_code(column.name):
        return Kind("categorical", "its name speaks of a code", settings=settings)
    if is_measure(column.name):
        if column.distinct <= 10:
            return Kind("categorical", "few whole numbers")
        return _numeric(column, "its name speaks of a quantity")
    if column.distinct <= _FEW:
        return Kind("categorical", "few whole numbers")
    if _counts(column):
        return _numeric(column, "whole numbers, the small ones most often", sure=False)
    if column.words[-1:] == ("id",) or _sparse(column):
        return Kind("categorical", "whole numbers far apart, so codes", False, settings)
    return _numeric(column, "whole numbers", sure=False)


def _numeric(column: Column, reason: str, *, sure: bool = True) -> Kind:
    settings = {}
    if column.type == "integer" and (column.low or 0) >= 0 and (column.high or 0) >= 1000:
        middle = _middle(column)
        if (column.high or 0) >= 200 * max(middle, 1.0):
            settings["buckets"] = "log"
    return Kind("numeric", reason, sure, settings)


def _middle(column: Column) -> float:
    """The median of the values seen."""
    numbers = sorted((n, rows) for text, rows in column.texts if (n := number_of(text)) is not None)
    total, seen = sum(rows for _, rows in numbers), 0
    for number, rows in numbers:
        seen += rows
        if 2 * seen >= total:
            return number
    return 0.0


def _counts(column: Column) -> bool:
    """Counts begin at 0 or 1, and the most frequent are among the smallest."""
    if column.low is None or column.low > 1 or column.low < -10:
        return False
    tops = [n for text, _ in column.top[:3] if (n := number_of(text)) is not None]
    return bool(tops) and max(tops) <= max(10.0, 0.1 * (column.high or 0))


def _sparse(column: Column) -> bool:
    """Codes leave most numbers between the least and the greatest unused; a quantity of so few steps would not."""
    return column.span > 5 * column.distinct or (column.low or 0) > 10 * column.distinct


def _listed(column: Column) -> Kind:
    separator = column.shape.separator or "|"
    counts = [
        len([p for p in text.split("," if column.listed or column.shape.sql else separator) if p.strip()])
        for text, _ in column.texts[:2000]
    ]
    longest = max(counts, default=1)
    often = sorted(counts)[int(0.95 * (len(counts) - 1))] if counts else 1
    settings: dict[str, Any] = {"separator": separator}
    if often > 8:
        settings["max_values"] = min(_SEVERAL if often <= _SEVERAL else 32, 64)
    if worded(column):
        settings["value_text"] = True
    return Kind("multi_valued", f"several values, up to {longest}", settings=settings)
