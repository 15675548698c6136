"""Which tables belong to a column of the events: by values that meet, names, and how often a key comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import duckdb

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, text_sql
from llactr.profile.found import Join, KeyRole, Profile
from llactr.profile.moments import is_epoch
from llactr.profile.names import noun, of_item, of_time, of_user, words
from llactr.profile.reading import Opened
from llactr.sql import quote_identifier

__all__ = ["SPELLED", "assign", "chain", "find_joins", "join_shown", "keylike", "why_unused"]

SPELLED = "lower(regexp_replace(regexp_replace(trim({v}), '^(-?[0-9]+)\\.0+$', '\\1'), '^0+([0-9])', '\\1'))"
"""SQL of a key without what spellings of it differ by: zeros in front, capitals, spaces, `.0`."""


def keylike(column: Column) -> bool:
    """Whether a column could hold keys."""
    return column.type in {"integer", "text"} and column.filled > 0 and column.shape.words < 3


def find_joins(connection: duckdb.DuckDBPyConnection, events: Profile, profiles: Sequence[Profile]) -> list[Join]:
    """Every (column, other table's key) whose values meet, the best first."""
    found = []
    for other in profiles:
        if other is events:
            continue
        for column, key in product(events.columns, other.columns):
            if not (keylike(column) and keylike(key)) or column.distinct < 2 or _moment(column) or _moment(key):
                continue
            same = events.headed and other.headed and _same_name(column.name, key.name, other.table.name)
            versions = None
            if key.unique_share < (0.9 if same else 0.98):
                fewer = other.table.wide or other.table.rows < events.table.rows
                versions = _versions(events, other, key) if same and fewer else None
                if versions is None:
                    continue
            if not same and (column.distinct < 10 or column.distinct < 0.02 * key.distinct) and events.headed:
                continue
            if not same and (column.type != key.type or _other_noun(column, key)):
                continue
            unnamed = events.headed and other.headed and not same
            if unnamed and key.name != other.columns[0].name and not _same_noun(column, key):
                continue
            if not same and not _may_be_key(column, events):
                continue
            share, respelled = _met(connection, events.table, column, other.table, key)
            if share >= (0.05 if same else 0.6 if events.headed and other.headed else 0.9):
                found.append((share, same, Join(other, key.name, column.name, share, respelled, versions)))
    scored = sorted(found, key=lambda one: -_join_score(events, one[2], same=one[1]))
    return [join for _, _, join in scored]


def _moment(column: Column) -> bool:
    """Two tables that were written at the same moments do not belong together by them."""
    return is_epoch(column) and of_time(column.name) > 0


def why_unused(events: Profile, other: Profile) -> str:
    """Why no column of the events finds its row in a table."""
    ours, theirs = ({column.name.lower() for column in one.columns} for one in (events, other))
    name = events.table.name
    headed = events.headed and other.headed
    if headed and ours == theirs:
        order = [column.name for column in events.columns] != [column.name for column in other.columns]
        mend = "give both the same order" if order else "give one of the two, or files of one kind"
        return f"it has the columns of {name!r}{', in another order' * order}: {mend} to read them as one table"
    if headed and (ours < theirs or (theirs < ours and len(theirs) > 2)):
        more = ", ".join(sorted(ours ^ theirs))
        return f"it has the columns of {name!r} but for {more}: give both the same to read them as one table"
    for column, key in product(events.columns, other.columns):
        if not (headed and keylike(column) and keylike(key)) or _moment(column) or _moment(key):
            continue
        repeated = key.filled - key.distinct
        if repeated and _same_name(column.name, key.name, other.table.name):
            return (
                f"{repeated:,} of its rows looked at repeat the {key.name!r} of another, and no column says since when "
                "a row holds: keep one row each, or give it such a column"
            )
    return "no column of it meets the events row by row"


def _other_noun(column: Column, key: Column) -> bool:
    """`userId` is no key of `movieId`, nor `product_id` of `order_id`, whatever numbers they share."""
    ours, theirs = _nouns(column.name), _nouns(key.name)
    if column.type == "integer" and column.words[1:] == key.words[1:] == ("id",):
        return not any(of(column.name) > 0 and of(key.name) > 0 for of in (of_user, of_item)) and ours != theirs
    return bool(ours and theirs and not ours & theirs)


def _same_noun(column: Column, key: Column) -> bool:
    """Whether both names say the same noun, or the key says none but that it is one."""
    if set(key.words) <= {"id", "key", "code", "pk", "no"}:
        return True
    return bool(_nouns(column.name) & _nouns(key.name))


def _nouns(name: str) -> set[str]:
    return {found for found in (noun(name, "user"), noun(name, "item")) if found}


def _may_be_key(column: Column, events: Profile) -> bool:
    """A number of another name is a key only where it is called one; columns without names may all be."""
    return not events.headed or column.name.lower().rstrip("s").endswith(("id", "key", "code", "no", "sku")) or (
        column.type == "text"
    ) or of_user(column.name) > 0 or of_item(column.name) > 0  # fmt: skip


def _join_score(events: Profile, join: Join, *, same: bool) -> float:
    column, key = events.column(join.to), join.profile.column(join.key)
    covered = min(column.distinct / max(key.distinct, 1), 1.0)
    first = 0.3 if join.profile.columns[0].name == join.key else 0.0
    return join.share * (0.5 + covered) + (2.0 if same else 0.0) + first - (0.2 if join.respelled else 0.0)


def _same_name(column: str, key: str, table: str) -> bool:
    """`userId` and `userID` are the same, and so are `item_id` and the `id` of a table `items`."""
    a, b = words(column), words(key)
    if a == b:
        return True
    if b in {("id",), ("key",), ("code",)} and len(a) > 1:
        nouns = {word.rstrip("s") for word in words(table)}
        return a[0].rstrip("s") in nouns
    if "id" in a or "id" in b:
        return tuple(w for w in a if w != "id") == tuple(w for w in b if w != "id") != ()
    return False


def _versions(events: Profile, other: Profile, key: Column) -> str | None:
    """The column that tells versions of one key's rows apart; a table that names a second key holds events instead."""
    times = [c for c in other.columns if (c.type == "time" or is_epoch(c)) and c.name != key.name]
    ours = {column.name.lower() for column in events.columns if keylike(column)}
    shared = [c for c in other.columns if c.name.lower() in ours and c.name != key.name and c not in times]
    return times[0].name if times and not shared else None


def _met(
    connection: duckdb.DuckDBPyConnection, events: Opened, column: Column, other: Opened, key: Column
) -> tuple[float, bool]:
    """Share of the events' rows whose value the other table has; and whether only after spelling both alike."""
    a, b = text_sql(column.name, column.sql_type), text_sql(key.name, key.sql_type)
    left = f"(SELECT {a} AS v, count(*) AS n FROM {events.sample} WHERE {a} IS NOT NULL GROUP BY 1)"
    right = (
        f"(SELECT DISTINCT {b} AS v FROM {other.scan if other.sampled and other.rows < 20_000_000 else other.sample})"
    )
    query = (
        f"SELECT coalesce(sum(n) FILTER (v IN (SELECT v FROM {right})), 0) / greatest(sum(n), 1), "
        f"coalesce(sum(n) FILTER ({SPELLED} IN (SELECT {SPELLED} FROM {right})), 0) / greatest(sum(n), 1) FROM {left}"
    ).replace("{v}", "v")
    plain, alike = connection.execute(query).fetchone() or (0.0, 0.0)
    plain, alike = float(plain or 0), float(alike or 0)
    return (alike, True) if alike > plain + 0.02 else (plain, False)


def assign(matches: Sequence[Join]) -> list[Join]:
    """Each table and each column once; of tables of one column the first is its own, others join it."""
    columns: set[str] = set()
    tables: set[str] = set()
    found = []
    for join in matches:
        if join.profile.table.name in tables or join.to in columns:
            continue
        tables.add(join.profile.table.name)
        columns.add(join.to)
        found.append(join)
    return found


def chain(
    connection: duckdb.DuckDBPyConnection, profiles: Sequence[Profile], used: set[str], user: KeyRole | None,
    item: KeyRole | None,
) -> tuple[KeyRole | None, KeyRole | None, set[str]]:  # fmt: skip
    """Tables that join an entity's table: a second one of the same key, or that of a brand."""
    roles: list[KeyRole | None] = []
    chained: set[str] = set()
    for role in (user, item):
        more: list[Join] = []
        if role is not None and role.join is not None:
            rest = [one for one in profiles if one.table.name not in used | chained]
            more = [
                join
                for join in assign(find_joins(connection, role.join.profile, [role.join.profile, *rest]))
                if join.versions is None
            ]
            seen = {join.profile.table.name for join in more}
            for other in rest:
                if other.table.name in seen:
                    continue
                more += [j for j in find_joins(connection, role.join.profile, [other]) if j.versions is None][:1]
        roles.append(replace(role, more=tuple(more)) if role is not None else None)
        chained |= {join.profile.table.name for join in more}
    return roles[0], roles[1], chained


def join_shown(
    connection: duckdb.DuckDBPyConnection, events: Profile, others: Sequence[Profile], label: Label
) -> Join | None:
    """The table of what slates show: the one whose key holds nearly all of it."""
    column = events.column(label.column)
    if label.kind == "pairs":
        text = text_sql(column.name, column.sql_type)
        shown = f"regexp_replace(unnest(string_split(trim({text}), ' ')), '-[01]$', '')"
    elif column.listed:
        shown = f"unnest(CAST({quote_identifier(column.name)} AS VARCHAR[]))"
    else:
        shown = f"unnest(string_split({column.value}, '{column.shape.separator}'))"
    found: list[Join] = []
    for other in others:
        for key in other.columns:
            if other is events or not keylike(key) or key.unique_share < 0.98:
                continue
            values = text_sql(key.name, key.sql_type)
            table = other.table.scan if other.table.sampled else other.table.sample
            row = connection.execute(
                f"SELECT avg(CASE WHEN v IN (SELECT {values} FROM {table}) THEN 1.0 ELSE 0 END) "
                f"FROM (SELECT {shown} AS v FROM (SELECT * FROM {events.table.sample} LIMIT 5000))"
            ).fetchone()
            if row and (row[0] or 0) >= 0.5:
                found.append(Join(other, key.name, label.column, float(row[0])))
    return max(found, key=lambda join: join.share, default=None)
