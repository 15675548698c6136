"""Rows that stand for several decisions: lists of what was shown beside what was chosen; impressions and clicks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, text_sql
from llactr.profile.label_words import CHOSEN, SHOWN
from llactr.profile.reading import Opened
from llactr.sql import quote_identifier

__all__ = ["counts", "list_sql", "pairs", "slates"]

_FEW = 0.05
"""Share of rows that list what was shown, from which on they are the events: others search, or look at a picture."""


def slates(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column]) -> list[Label]:
    """A list a row of what was shown, beside a list or a single one of what of it was chosen."""
    named = {c.name: set(c.words) for c in columns}
    lists = [c for c in columns if c.type == "list" and c.name.lower() != "genres"]
    shows = [c for c in lists if c.filled > (_FEW if named[c.name] & SHOWN else 0.5) * c.rows]
    single = [c for c in columns if c.type in {"integer", "text"} and c.distinct > 10]
    found = []
    for shown in shows:
        picked = CHOSEN | {"reference"} if named[shown.name] & SHOWN else CHOSEN
        for chosen in [*lists, *single]:
            if shown is chosen or not named[chosen.name] & picked or named[shown.name] & CHOSEN:
                continue
            if chosen.filled <= 0.5 * chosen.rows and chosen.type == "list":
                continue
            both = " AND ".join(f"{quote_identifier(c.name)} IS NOT NULL" for c in (shown, chosen))
            inside, more = connection.execute(
                f"SELECT avg(CASE WHEN list_has_all({list_sql(shown)}, {list_sql(chosen)}) THEN 1 ELSE 0 END), "
                f"sum(len({list_sql(chosen)})) / sum(len({list_sql(shown)})) FROM "
                f"(SELECT * FROM {table.sample} WHERE {both} LIMIT 5000)"
            ).fetchone() or (0, 1)
            if (inside or 0) > 0.9 and (more or 1) < 0.9:
                bonus = 1.0 if named[shown.name] & SHOWN else 0.0
                where = "every row lists" if shown.filled > 0.5 * shown.rows else "some rows list"
                reason = f"{where} what was shown, and in {chosen.name!r} what of it was chosen"
                found.append(Label("slate", shown.name, 12 + bonus, reason, second=chosen.name, share=float(more)))
    return found


def list_sql(column: Column) -> str:
    """SQL of a column's values as a list of texts; of a single value, a list of one."""
    if column.listed:
        return f"CAST({quote_identifier(column.name)} AS VARCHAR[])"
    if column.type != "list":
        return f"[{text_sql(column.name, column.sql_type)}]"
    return f"string_split({column.value}, '{column.shape.separator}')"


def pairs(column: Column) -> Label | None:
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


def counts(connection: duckdb.DuckDBPyConnection, table: Opened, columns: Sequence[Column]) -> list[Label]:
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
