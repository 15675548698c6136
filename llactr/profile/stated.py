"""What a person says a click is; and columns called as a label is that tell no click from others."""

from __future__ import annotations

import re
from collections.abc import Sequence

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, number_of
from llactr.profile.label_words import says_no
from llactr.profile.labels import binary_label
from llactr.profile.names import of_label
from llactr.profile.ratings import rating_label

__all__ = ["one_sided", "stated_label"]


def one_sided(columns: Sequence[Column]) -> tuple[Column, str] | None:
    """A column that is called as a label is but has one value, and what is wrong with it; None without one."""
    for column in columns:
        if column.distinct != 1 or of_label(column.name) < 6 or not column.top:
            continue
        value = column.top[0][0]
        if column.nulls:
            share = f"{column.nulls / column.rows:.1%} of its rows are empty"
            return column, f"{column.name!r} holds {value!r} or nothing ({share}): write 0 where it was no click"
        if says_no(value) or number_of(value) == 0.0:
            return column, f"by {column.name!r} all {column.rows:,} rows are no clicks, and a model needs both"
    return None


def stated_label(text: str, columns: Sequence[Column]) -> Label:
    """The rule that a person wrote: `bought`, `stars > 3`, `action = purchase`, `none`.

    Raises:
        ValueError: its text says what is wrong.
    """
    if text.strip().lower() == "none":
        return Label("chosen", "", 10, "as stated", share=0.25)
    match = re.fullmatch(r"\s*(.+?)\s*(?:(>=|>|==|=)\s*(.+?)\s*)?", text)
    name, sign, value = match.groups() if match else (text, None, None)
    known = {column.name.lower(): column for column in columns}
    column = known.get(name.strip().lower())
    if column is None:
        raise ValueError(
            f"the label {text!r} names no column of the events: they have {', '.join(c.name for c in columns)}"
        )
    if sign is None:
        given = binary_label(column, 0.0, headed=True) or rating_label(column, headed=True, sure=True)
        if given is None:
            raise ValueError(f"the label column {column.name!r} has more than two values ({column.said()}): say which "
                             f"are a click, as in '{column.name} > 3' or '{column.name} = yes'")  # fmt: skip
        return Label(**{**given.__dict__, "score": 10.0, "reason": "as stated"})
    if sign in {"=", "=="}:
        share = sum(n for v, n in column.texts if v == value) / max(column.filled, 1)
        return Label("equals", column.name, 10, "as stated", equals=value, share=share)
    try:
        limit = float(value or "")
    except ValueError:
        raise ValueError(f"the label {text!r} compares with {value!r}, which is no number") from None
    if column.type not in {"integer", "number", "boolean"}:
        raise ValueError(f"the label {text!r} compares {column.name!r} with a number, but it holds {column.type}s")
    share = sum(n for v, n in column.texts if number_of(v) is not None and (number_of(v) or 0) > limit) / max(
        column.filled, 1
    )
    if sign == ">=":
        below = [n for v, _ in column.texts if (n := number_of(v)) is not None and n < limit]
        limit = (limit + max(below)) / 2 if below else limit - 0.5
    rated = rating_label(column, headed=True) is not None
    return Label("above", column.name, 10, "as stated", above=limit, share=share, holds="ratings" if rated else "")
