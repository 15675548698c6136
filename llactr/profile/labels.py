"""What a click could be: the columns of events that may tell it, each with its rule, the likeliest first."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, number_of
from llactr.profile.label_words import ACTIONS, AMOUNTS, ATTRIBUTES, YES, says_no, tells_outcome
from llactr.profile.names import is_code, of_label, of_outcome, words
from llactr.profile.ratings import rating_label
from llactr.profile.reading import Opened
from llactr.profile.slates import counts, pairs, slates

__all__ = ["binary_label", "label_candidates"]

_TEST_POSITIVES = 100


def label_candidates(
    connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column], *, headed: bool
) -> list[Label]:
    """The rules that a table's columns allow, the likeliest first; the last is always `chosen`."""
    found = [*slates(connection, table, columns), *counts(connection, table, columns)]
    for place, column in enumerate(columns):
        if column.type == "empty" or column.filled < 0.5 * column.rows:
            continue
        edge = 1.0 if place in {0, len(columns) - 1} else 0.0
        two = [one for one in (binary_label(column, edge, headed=headed), _actions(column)) if one is not None]
        one = (
            pairs(column)
            or max(two, key=lambda label: label.score, default=None)
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


def _action(text: str) -> str | None:
    """The kind of event that a value names: `Add to cart`, `clicks`; None where it names none."""
    plain = text.strip().lower()
    spelled = plain.replace("-", "_").replace(" ", "_")
    return next((one for one in (plain, spelled, spelled.removesuffix("s")) if one in ACTIONS), None)


def _actions(column: Column) -> Label | None:
    """A column of kinds of events: the strongest of which there are enough."""
    if column.type not in {"text", "list"} or not 2 <= column.distinct <= 30:
        return None
    known = {v: ACTIONS[k] for v, _ in column.texts for k in [_action(v)] if k is not None}
    counted = dict(column.texts)
    named = bool({"action", "event"} & set(column.words)) and any(strength >= 5 for strength in known.values())
    if not named and (len(known) < 2 or sum(counted[v] for v in known) < 0.6 * column.filled):
        return None
    strong = sorted(known, key=lambda v: -known[v])
    least = min(known.values()) if len(known) > 1 else 0
    above = [v for v in strong if known[v] >= 4 and known[v] > least]  # of clicks, carts and orders clicks are the rest
    for value in above:
        share = counted[value] / column.filled
        if share * column.filled * 0.1 >= _TEST_POSITIVES:
            return Label(
                "equals", column.name, 7, f"it names kinds of events, among them {value!r}", equals=value, share=share,
                holds="acts",
            )  # fmt: skip
    value = max(above, key=lambda v: counted[v], default=strong[0])
    return Label(
        "equals", column.name, 6, "it names kinds of events", equals=value, share=counted[value] / column.filled,
        holds="acts",
    )  # fmt: skip


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
            score = 3.2 if {"ratio", "share", "rate"} & set(column.words) else 3.0  # long things are watched longer
            return Label(
                "above",
                column.name,
                score,
                "it says how much: more than in half of the rows",
                above=number,
                share=share,
            )
    return None


def _zeros(connection: duckdb.DuckDBPyConnection, table: Opened, column: Column) -> Label | None:
    """A number that is 0 in many rows: whether it is more."""
    if column.type not in {"integer", "number"} or column.distinct < 10 or (column.low or 0) < 0:
        return None
    if {"position", "pos", "rank", "slot", "hour", "minute", "second", "step"} & set(column.words):
        return None
    more = f"CASE WHEN {column.value} > 0 THEN 1.0 WHEN {column.value} IS NOT NULL THEN 0 END"
    found = connection.execute(f"SELECT avg({more}) FROM {table.sample}").fetchone()
    share = float(found[0] or 0) if found else 0.0
    if not 0.02 <= share <= 0.9 or words(column.name)[-1:] == ("id",):
        return None
    score = 2.0 + 0.9 * (1 - abs(share - 0.5) * 2)
    return Label("above", column.name, score, f"it is 0 in {1 - share:.0%} of the rows", above=0.0, share=share)
