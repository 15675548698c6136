"""Tables in long form, one property of a thing a row: made wide, a column for each property that many things have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from llactr.profile.facts import Column, columns_of
from llactr.profile.found import Profile
from llactr.profile.joins import keylike
from llactr.profile.moments import holds_moments
from llactr.profile.names import of_item, of_user
from llactr.profile.reading import SAMPLE_ROWS
from llactr.sql import quote_identifier, quote_literal

__all__ = ["with_properties"]

_NAMES = {"property", "attribute", "attr", "prop", "feature", "parameter", "characteristic"}
_PLAIN_NAMES = {("key",), ("name",), ("field",), ("variable",)}
_MOST_COLUMNS, _MOST_PROPERTIES = 5, 20
_SHARE = 0.1
"""Of the keys that have a property, from which on it becomes a column."""


@dataclass(frozen=True)
class _Long:
    """The columns of a table in long form."""

    key: Column
    name: Column
    value: Column
    time: Column | None


def with_properties(
    connection: duckdb.DuckDBPyConnection, profiles: Sequence[Profile], *, sample_rows: int = SAMPLE_ROWS
) -> list[Profile]:
    """The tables, those in long form made wide: `itemid, property, value` becomes one row a thing.

    Where such a table says since when a value holds, a row of the wide one has all values known at its moment.

    Args:
        connection: holds the samples; gets those of the wide tables.
        profiles: of all tables. A single one stays as it is.
        sample_rows: at most so many rows of each are looked at.
    """
    found = []
    for number, one in enumerate(profiles):
        long = _long(one, profiles)
        found.append(one if long is None else _wide(connection, one, long, f"sample_wide_{number}", sample_rows))
    return found


def _long(profile: Profile, profiles: Sequence[Profile]) -> _Long | None:
    """The columns that tell key, property and value; None where a table is of another form."""
    columns = profile.columns
    if len(profiles) < 2 or not profile.headed or not 3 <= len(columns) <= _MOST_COLUMNS:
        return None
    repeats = [c for c in columns if keylike(c) and 1 <= c.distinct <= 0.5 * c.filled]
    values = [c for c in columns if tuple(w for w in c.words if w != "id")[-1:] in {("value",), ("val",)}]
    names = [c for c in repeats if (set(c.words) & _NAMES or c.words in _PLAIN_NAMES) and c not in values]
    if len(names) != 1 or len(values) != 1:
        return None
    others = {other.words for one in profiles if one is not profile for other in one.columns}
    rest = [c for c in columns if c not in {*names, *values}]
    keys = [c for c in rest if keylike(c) and not holds_moments(c) and c.unique_share < 0.7]
    keys = [c for c in keys if c.words in others or of_item(c.name) > 0 or of_user(c.name) > 0]
    times = [c for c in rest if c.type == "time" or holds_moments(c)]
    return _Long(keys[0], names[0], values[0], times[0] if times else None) if len(keys) == 1 else None


def _wide(
    connection: duckdb.DuckDBPyConnection, profile: Profile, long: _Long, sample: str, sample_rows: int
) -> Profile:
    table = profile.table
    name, key = quote_identifier(long.name.name), quote_identifier(long.key.name)
    known = connection.execute(
        f"SELECT CAST({name} AS VARCHAR) AS p, approx_count_distinct({key}) AS n FROM {table.scan} WHERE {name} IS NOT "
        "NULL GROUP BY 1 ORDER BY n DESC, p"
    ).fetchall()
    counted = connection.execute(f"SELECT approx_count_distinct({key}) FROM {table.scan}").fetchone()
    least = _SHARE * (counted[0] if counted else 0)
    taken = [text for text, count in known if count >= least][:_MOST_PROPERTIES] or [text for text, _ in known[:1]]
    moment = [quote_identifier(long.time.name)] if long.time is not None else []
    by = ", ".join([key, *moment])
    where = f"CAST({name} AS VARCHAR) IN ({', '.join(map(quote_literal, taken))})"
    row = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {by} FROM {table.scan} WHERE {where})").fetchone()
    rows = row[0] if row else 0
    part = math.ceil(rows / sample_rows)
    some = f"(SELECT * FROM {table.scan} WHERE hash({key}) % {part} = 0)" if part > 1 else table.scan
    connection.execute(f"CREATE TABLE {sample} AS SELECT * FROM {_wide_sql(long, taken, where, some)}")
    described = connection.execute(f"DESCRIBE {sample}").fetchall()
    said = (
        f"it holds one {long.name.words[0]} a row: {len(taken)} of {len(known):,} become columns, those that a tenth "
        f"of its {long.key.name!r} have or more, {_MOST_PROPERTIES} at most"
    )
    wide = replace(
        table, scan=_wide_sql(long, taken, where, table.scan), columns={one[0]: one[1] for one in described}, rows=rows,
        estimated=False, sampled=part > 1, sample=sample, anew=said, wide=True,
    )  # fmt: skip
    return Profile(wide, tuple(columns_of(connection, wide)))


def _wide_sql(long: _Long, properties: Sequence[str], where: str, scan: str) -> str:
    """SQL of one row a key, or a key and moment; of several values at one moment the greatest, without moments all."""
    key, name = quote_identifier(long.key.name), f"CAST({quote_identifier(long.name.name)} AS VARCHAR)"
    value = f"CAST({quote_identifier(long.value.name)} AS VARCHAR)"
    names = [quote_identifier(one) for one in _names(long, properties)]
    pairs = list(zip(names, map(quote_literal, properties), strict=True))
    if long.time is None:
        bare = f"replace({value}, '|', '/')"
        listed = ", ".join(
            f"string_agg(DISTINCT {bare}, '|' ORDER BY {bare}) FILTER ({name} = {text}) AS {column}"
            for column, text in pairs
        )
        return f"(SELECT {key}, {listed} FROM {scan} WHERE {where} GROUP BY {key})"
    time = quote_identifier(long.time.name)
    each = ", ".join(f"max({value}) FILTER ({name} = {text}) AS {column}" for column, text in pairs)
    last = ", ".join(f"last_value({column} IGNORE NULLS) OVER so_far AS {column}" for column in names)
    return (
        f"(SELECT {key}, {time}, {last} FROM (SELECT {key}, {time}, {each} FROM {scan} WHERE {where} GROUP BY {key}, "
        f"{time}) WINDOW so_far AS (PARTITION BY {key} ORDER BY {time} ROWS UNBOUNDED PRECEDING))"
    )


def _names(long: _Long, properties: Sequence[str]) -> list[str]:
    """Names of the columns: a property's own, or `property_790` where it is a number."""
    taken = {long.key.name.lower(), *([long.time.name.lower()] if long.time is not None else [])}
    found = []
    for text in properties:
        name = text if text[:1].isalpha() else f"{long.name.words[0]}_{text}"
        while name.lower() in taken:
            name += "_2"
        taken.add(name.lower())
        found.append(name)
    return found
