"""Scales such as stars, and from where on a rating is a click."""

from __future__ import annotations

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, number_of
from llactr.profile.label_words import RATINGS
from llactr.profile.names import is_code, of_label

__all__ = ["rating_label"]


def rating_label(column: Column, *, headed: bool, sure: bool = False) -> Label | None:
    """The rule of a scale such as stars; None where a column is none, unless a person is `sure` that it is."""
    if column.type not in {"integer", "number"} or column.distinct < 3 or column.high is None:
        return None
    if column.distinct > 101:
        return _continuous(column, headed=headed)
    named = bool(set(column.words) & RATINGS) or (
        of_label(column.name) >= 6 and column.distinct <= 21 and (len(column.words) == 1 or not is_code(column.name))
    )
    if not (named or sure) and (
        headed or not ((column.low or 0) >= -1 and column.high <= 10 and column.distinct <= 21)
    ):
        return None
    counted: dict[float, int] = {}
    for text, rows in column.texts:
        number = number_of(text)
        if number is not None:
            counted[number] = counted.get(number, 0) + rows
    if not counted:
        return None
    total = sum(counted.values())
    drop = [value for value in counted if value < 0] if min(counted) >= -1 else []
    unrated = named and max(counted) == 5 and _five({value: 1 for value in counted if value > 0})
    if 0.0 in counted and (unrated or (counted[0.0] > 0.4 * total and max(counted) >= 5)):
        drop.append(0.0)
    kept = {value: rows for value, rows in counted.items() if value not in drop}
    above, share = _threshold(kept)
    five = _five(kept) and above == 3.0
    if five:
        drop.append(3.0)
        share = sum(n for v, n in kept.items() if v > 3) / max(sum(n for v, n in kept.items() if v != 3), 1)
    helped = bool(set(column.words) & {"votes", "helpful", "count", "avg", "average", "mean", "imdb"})
    score = (8.0 if named and not helped else 4.0 if not headed or sure else 1.0) + (
        0.5 if column.name.lower() in RATINGS else 0
    )
    reason = f"it is a scale from {min(kept):g} to {max(kept):g}, and {above:g} halves its rows best" if not five \
        else "of five stars, 4 and 5 say that it was liked, and 3 says neither"  # fmt: skip
    if 0.0 in drop:
        reason += ", nor does 0, taken for no rating" if five else "; 0 is taken for no rating"
    left = tuple(sorted(drop))
    return Label("above", column.name, score, reason, above=above, drop=left, share=share, holds="ratings")


def _five(counted: dict[float, int]) -> bool:
    return set(counted) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def _threshold(counted: dict[float, int]) -> tuple[float, float]:
    """The value above which a rating is a click, and the share of clicks: 3 of five stars, else what halves best."""
    total = sum(counted.values())

    def share(limit: float) -> float:
        return sum(rows for value, rows in counted.items() if value > limit) / total

    if _five(counted) and 0.05 < share(3.0) < 0.95:
        return 3.0, share(3.0)
    values = sorted(counted)
    best = min(values[:-1], key=lambda value: abs(share(value) - 0.5))
    return best, share(best)


def _continuous(column: Column, *, headed: bool) -> Label | None:
    """A scale with as many values as one likes, from dislike below zero to liking above it, such as Jester's."""
    low, high = column.low or 0.0, column.high or 0.0
    both = column.type == "number" and low < 0 < high <= 20 and -2 * high <= low <= -high / 2
    if not both or (headed and not set(column.words) & {"rating", "ratings"}):
        return None
    more = sum(rows for text, rows in column.texts if (number_of(text) or 0.0) > 0)
    share = more / max(sum(rows for _, rows in column.texts), 1)
    reason = f"it is a scale from {low:g} to {high:g}, on both sides of zero"
    return Label("above", column.name, 8.0 if headed else 4.0, reason, above=0.0, share=share, holds="ratings")
