"""What a click could be: the columns of events that may tell it, each with its rule, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from llactr.profile.facts import Column, number_of
from llactr.profile.label_words import (
    ACTIONS,
    AMOUNTS,
    ATTRIBUTES,
    CHOSEN,
    RATINGS,
    SHOWN,
    YES,
    says_no,
    tells_outcome,
)  # fmt: skip
from llactr.profile.names import is_code, of_label, of_outcome, words
from llactr.profile.reading import Opened
from llactr.sql import quote_identifier

__all__ = ["Label", "LabelKind", "binary_label", "label_candidates", "rating_label"]

LabelKind = Literal["column", "above", "equals", "slate", "pairs", "counts", "chosen"]

_TEST_POSITIVES = 100


@dataclass(frozen=True)
class Label:
    """What a click is, and why.

    Attributes:
        kind: the column itself; a number `above`; a value `equals`; a list of what was shown beside one of what was
            `chosen` (slate); shown things with their outcome in one text (pairs); impressions and clicks in numbers
            (counts); or every row is a choice and what was not chosen is drawn (chosen).
        column: the one it is read from.
        second: of a slate, the chosen; of counts, the clicks.
        above: of `above`; `equals` likewise; `drop` leaves rows out.
        share: of clicks among the rows that stay.
        score: how likely it is what is meant; `reason` in words.
    """

    kind: LabelKind
    column: str
    score: float
    reason: str
    second: str = ""
    above: float | None = None
    equals: str | None = None
    drop: tuple[float, ...] = ()
    share: float = 0.0

    @property
    def sure(self) -> bool:
        """Whether a person need not look."""
        return self.score >= 5

    @property
    def words(self) -> str:
        """The rule in short."""
        if self.kind == "above":
            left = f", without {', '.join(f'{value:g}' for value in self.drop)}" if self.drop else ""
            return f"{self.column} > {self.above:g}{left}"
        if self.kind == "equals":
            return f"{self.column} = {self.equals}"
        return {
            "slate": f"{self.column} among {self.second}", "pairs": f"{self.column} marked 1",
            "counts": f"{self.second} of {self.column}", "chosen": "every row, against drawn ones",
        }.get(self.kind, self.column)  # fmt: skip


def label_candidates(
    connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column], *, headed: bool
) -> list[Label]:
    """The rules that a table's columns allow, the likeliest first; the last is always `chosen`."""
    found = [*_slates(connection, table, columns), *_counts(connection, table, columns)]
    for place, column in enumerate(columns):
        if column.type == "empty" or column.filled < 0.5 * column.rows:
            continue
        edge = 1.0 if place in {0, len(columns) - 1} else 0.0
        one = (
            _pairs(column)
            or binary_label(column, edge, headed=headed)
            or _actions(column)
            or rating_label(column, headed=headed)
            or _amount(column)
            or (_zeros(connection, table, column) if headed else None)
        )
        if one is not None:
            found.append(one)
    found.append(
        Label("chosen", "", 1.5, "no column tells what was not chosen: every row counts as a choice", share=0.25)
    )
    return sorted(found, key=lambda label: -label.score)


def _slates(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column]) -> list[Label]:
    """Two lists a row, of which one holds only what the other holds too."""
    lists = [c for c in columns if c.type == "list" and c.filled > 0.5 * c.rows and c.name.lower() != "genres"]
    named = {c.name: set(c.words) for c in lists}
    found = []
    for shown in lists:
        for chosen in lists:
            if shown is chosen or not named[chosen.name] & CHOSEN or named[shown.name] & CHOSEN:
                continue
            inside, more = connection.execute(
                f"SELECT avg(CASE WHEN list_has_all({_list(shown)}, {_list(chosen)}) THEN 1 ELSE 0 END), "
                f"sum(len({_list(chosen)})) / sum(len({_list(shown)})) FROM "
                f"(SELECT * FROM {table.sample} WHERE {quote_identifier(chosen.name)} IS NOT NULL LIMIT 5000)"
            ).fetchone() or (0, 1)
            if (inside or 0) > 0.9 and (more or 1) < 0.9:
                bonus = 1.0 if named[shown.name] & SHOWN else 0.0
                reason = f"every row lists what was shown, and in {chosen.name!r} what of it was chosen"
                found.append(Label("slate", shown.name, 12 + bonus, reason, second=chosen.name, share=float(more)))
    return found


def _list(column: Column) -> str:
    if column.listed:
        return f"CAST({quote_identifier(column.name)} AS VARCHAR[])"
    return f"string_split({column.value}, '{column.shape.separator}')"


def _pairs(column: Column) -> Label | None:
    """Shown things with their outcome, in one text: `N55689-1 N35729-0`."""
    texts = [text for text, _ in column.texts[:200]]
    if not texts or column.type in {"integer", "number", "time", "boolean"}:
        return None
    if sum(bool(re.fullmatch(r"(\S+-[01])( \S+-[01])*", text.strip())) for text in texts) < 0.98 * len(texts):
        return None
    marks = [token[-1] for text in texts for token in text.split()]
    if len(marks) < 1.5 * len(texts) or not 0 < marks.count("1") < len(marks):
        return None
    reason = "every row lists what was shown, each with -1 where it was clicked and -0 where not"
    return Label("pairs", column.name, 13, reason, share=marks.count("1") / len(marks))


def _counts(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column]) -> list[Label]:
    """Impressions and clicks in numbers: each row stands for many events."""
    whole = [c for c in columns if c.type == "integer" and (c.low or 0) >= 0 and c.filled > 0.9 * c.rows]
    named = {"impressions", "exposures", "impression", "impr", "views", "imps", "displays"}
    shown = [c for c in whole if set(c.words) & named and (c.high or 0) > 1 and c.distinct > 5]  # fmt: skip
    clicks = [
        c for c in whole if set(c.words) & {"clicks", "click", "clk", "conversions", "purchases"} and c.distinct > 2
    ]
    for one in shown:
        for other in clicks:
            a, b = (column.value for column in (one, other))
            wrong, ratio = connection.execute(
                f"SELECT avg(CASE WHEN {b} > {a} THEN 1.0 ELSE 0 END), sum({b}) / nullif(sum({a}), 0) FROM"
                f" {table.sample}"
            ).fetchone() or (1, 0)
            if (wrong if wrong is not None else 1) < 0.01 and 0 < (ratio or 0) < 1:
                reason = f"a row stands for as many events as {one.name!r} says, of which {other.name!r} are clicks"
                return [Label("counts", one.name, 11, reason, second=other.name, share=float(ratio))]
    return []


def binary_label(column: Column, edge: float, *, headed: bool) -> Label | None:
    """The rule of a column of two values; None of any other. `edge` is 1 for the first and the last of a table."""
    if column.type == "boolean" and column.distinct > 2 and column.shape.sql:
        return _spelled(column, edge, headed=headed)
    if column.distinct != 2 or column.type not in {"boolean", "integer", "number", "text"}:
        return None
    values = sorted((text for text, _ in column.texts if text.strip()), key=lambda text: (len(text), text))
    counted = dict(column.texts)
    values = [text for text in values if text in dict(column.top)][:2]
    if len(values) != 2:
        return None
    score = _named(column, edge, headed=headed)
    if of_outcome(column.name) and score < 4:
        score = min(score, 0.9)
    reason = f"it has two values, {values[0]} and {values[1]}"
    numbers = [number_of(value) for value in values]
    if score == edge == 1.0 and headed and (set(numbers) == {0.0, 1.0} or column.type == "boolean"):
        coded = is_code(column.name) and "flag" not in column.words
        score = 1.0 if ATTRIBUTES & set(column.words) or coded else 3.1
        reason += ", at an end of the table where a label is often put"
    if column.type == "text" and headed and any(map(tells_outcome, values)):
        score = max(score, 3.2)
        reason += ", which tell what became of it"
    score = score if score > 0 else 0.4
    if column.sql_type == "BOOLEAN" or {v.lower() for v in values} == {"true", "false"} or set(numbers) == {0.0, 1.0}:
        yes = next(value for value in values if value.lower() in {"true", "1"} or number_of(value) == 1.0)
        return Label("column", column.name, score, reason, share=counted[yes] / max(column.filled, 1))
    if None not in numbers and column.type in {"integer", "number"}:
        low, high = sorted(number for number in numbers if number is not None)
        share = sum(counted[v] for v, n in zip(values, numbers, strict=True) if n == high) / max(column.filled, 1)
        return Label("above", column.name, score - 0.1, reason, above=(low + high) / 2, share=share)
    said_yes = next((v for v in values if v.strip().lower() in YES), None)
    if said_yes is None and sum(map(says_no, values)) == 1:
        said_yes = next(v for v in values if not says_no(v))
    more = next((v for v in values if v.strip().startswith(">")), None)
    yes = said_yes or more or min(values, key=lambda v: counted[v])
    return Label("equals", column.name, score - 0.2, reason, equals=yes, share=counted[yes] / max(column.filled, 1))


def _named(column: Column, edge: float, *, headed: bool) -> float:
    score = float(of_label(column.name)) if headed else 6 * edge
    return score or edge


def _spelled(column: Column, edge: float, *, headed: bool) -> Label:
    """Yes and no in several spellings: `Yes`, `YES`, `no`."""
    yes = [text for text, _ in column.texts if text.strip().lower() in YES]
    share = sum(rows for text, rows in column.texts if text in yes) / max(column.filled, 1)
    reason = "it says yes and no in several spellings, such as " + ", ".join(text for text, _ in column.top[:3])
    return Label("column", column.name, _named(column, edge, headed=headed) or 0.4, reason, share=share)


def _actions(column: Column) -> Label | None:
    """A column of kinds of events: the strongest of which there are enough."""
    if column.type not in {"text", "list"} or not 2 <= column.distinct <= 30:
        return None
    known = {
        v: ACTIONS[k]
        for v, _ in column.texts
        if (k := v.strip().lower()) in ACTIONS or (k := k.replace("-", "_").replace(" ", "_")) in ACTIONS
    }
    counted = dict(column.texts)
    named = bool({"action", "event"} & set(column.words)) and any(strength >= 5 for strength in known.values())
    if not named and (len(known) < 2 or sum(counted[v] for v in known) < 0.6 * column.filled):
        return None
    strong = sorted(known, key=lambda v: -known[v])
    for value in strong:
        share = counted[value] / column.filled
        if known[value] >= 4 and share * column.filled * 0.1 >= _TEST_POSITIVES:
            return Label(
                "equals", column.name, 7, f"it names kinds of events, among them {value!r}", equals=value, share=share
            )
    value = max((v for v in strong if known[v] >= 4), key=lambda v: counted[v], default=strong[0])
    return Label(
        "equals", column.name, 6, "it names kinds of events", equals=value, share=counted[value] / column.filled
    )


def rating_label(column: Column, *, headed: bool, sure: bool = False) -> Label | None:
    """The rule of a scale such as stars; None where a column is none, unless a person is `sure` that it is."""
    if column.type not in {"integer", "number"} or not 3 <= column.distinct <= 101 or column.high is None:
        return None
    named = bool(set(column.words) & RATINGS) or (of_label(column.name) >= 6 and column.distinct <= 21)
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
    if counted.get(0.0, 0) > 0.4 * total and max(counted) >= 5:
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
    return Label("above", column.name, score, reason, above=above, drop=tuple(sorted(drop)), share=share)


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


def _amount(column: Column) -> Label | None:
    """How long or how often: more than the usual is a click."""
    if column.type not in {"integer", "number"} or column.distinct < 10 or not set(column.words) & AMOUNTS:
        return None
    if len(column.words) > 2:
        return None
    numbers = sorted((n, rows) for text, rows in column.texts if (n := number_of(text)) is not None)
    half, seen = sum(rows for _, rows in numbers) / 2, 0
    for number, rows in numbers:
        seen += rows
        if seen >= half:
            share = 1 - seen / (2 * half)
            return Label(
                "above", column.name, 3.0, "it says how much: more than in half of the rows", above=number, share=share
            )
    return None


def _zeros(connection: duckdb.DuckDBPyConnection, table: Opened, column: Column) -> Label | None:
    """A number that is 0 in many rows: whether it is more."""
    if column.type not in {"integer", "number"} or column.distinct < 10 or (column.low or 0) < 0:
        return None
    more = f"CASE WHEN {column.value} > 0 THEN 1.0 WHEN {column.value} IS NOT NULL THEN 0 END"
    found = connection.execute(f"SELECT avg({more}) FROM {table.sample}").fetchone()
    share = float(found[0] or 0) if found else 0.0
    if not 0.02 <= share <= 0.9 or words(column.name)[-1:] == ("id",):
        return None
    score = 2.0 + 0.9 * (1 - abs(share - 0.5) * 2)
    return Label("above", column.name, score, f"it is 0 in {1 - share:.0%} of the rows", above=0.0, share=share)
