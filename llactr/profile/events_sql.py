"""SQL of events, one row a decision: slates unfolded, counts drawn from, choices set against what was not chosen."""

from __future__ import annotations

from dataclasses import dataclass

from llactr.profile.facts import text_sql
from llactr.profile.found import Roles
from llactr.profile.reading import Opened
from llactr.profile.slates import list_sql
from llactr.sql import quote_identifier

__all__ = ["CLICKED", "SHOWN_COUNT", "EventRows", "event_rows"]

CLICKED = "clicked"
SHOWN_COUNT = "shown_count"
_DRAWN_ROWS = 100_000
_CLICK_SHARE = 0.2
"""Of rows that are drawn from counts: fewer clicks would leave too few to learn from."""
_OTHERS = 3
"""What was not chosen, drawn for each choice."""


@dataclass(frozen=True)
class EventRows:
    """A relation of events.

    Attributes:
        sql: a relation, with all columns of the table, its values as they are.
        made: columns that the table does not have -> SQL of their type.
        label: the column that says whether it was a click.
        said: what was done, in words; empty where the rows are those of the table.
        swapped: columns that a drawn choice took over from another row.
    """

    sql: str
    label: str
    made: tuple[str, ...] = ()
    said: str = ""
    swapped: tuple[str, ...] = ()


def event_rows(roles: Roles, *, scan: str, swapped: tuple[str, ...] = (), seed: int = 0) -> EventRows:
    """The events of a table, one row a decision.

    Args:
        roles: what the columns are.
        scan: the table, or its sample.
        swapped: of choices, the columns that belong to the thing and go with it.
        seed: of what is drawn.
    """
    table = roles.events.table
    kind = roles.label.kind
    clicked = _free(CLICKED, table)
    if kind in {"slate", "pairs"}:
        return _unfolded(roles, scan, clicked)
    if kind == "counts":
        return _drawn(roles, scan, clicked, seed)
    if kind == "chosen":
        return _against(roles, scan, clicked, swapped, seed)
    return EventRows(scan, roles.label.column)


def _free(name: str, table: Opened) -> str:
    taken = {column.lower() for column in table.columns}
    return name if name not in taken else f"{name}_label"


def _unfolded(roles: Roles, scan: str, clicked: str) -> EventRows:
    """One row for each thing that was shown; whether it was among the chosen."""
    label, table = roles.label, roles.events.table
    item = quote_identifier(roles.item.name if roles.item else "item_id")
    count = _free(SHOWN_COUNT, table)
    shown = quote_identifier(label.column)
    if label.kind == "pairs":
        split = f"string_split(trim({text_sql(label.column, table.columns[label.column])}), ' ')"
        inner = f"SELECT *, len({split}) AS {count}, unnest({split}) AS one_shown FROM {scan}"
        sql = (
            f"(SELECT * EXCLUDE ({shown}, one_shown), regexp_replace(one_shown, '-[01]$', '') AS {item}, "
            f"right(one_shown, 1) = '1' AS {clicked} FROM ({inner}))"
        )
        said = "one row for each thing that was shown"
    else:
        first, second = roles.events.column(label.column), roles.events.column(label.second)
        lists = [list_sql(first), list_sql(second)]
        chosen = quote_identifier(label.second)
        inner = (
            f"SELECT *, len({lists[0]}) AS {count}, unnest({lists[0]}) AS one_shown, {lists[1]} AS all_chosen FROM"
            f" {scan}"
        )
        sql = (
            f"(SELECT * EXCLUDE ({shown}, {chosen}, one_shown, all_chosen), one_shown AS {item}, "
            f"coalesce(list_contains(all_chosen, one_shown), false) AS {clicked} FROM ({inner}))"
        )
        said = f"one row for each thing that {label.column!r} lists"
    name = roles.item.name if roles.item else "item_id"
    return EventRows(sql, clicked, (name, count, clicked), said)


def _drawn(roles: Roles, scan: str, clicked: str, seed: int) -> EventRows:
    """Rows drawn from counts, the same on every run: a share of the clicks, and of the others."""
    table = roles.events.table
    shown, clicks = (roles.events.column(name).value for name in (roles.label.column, roles.label.second))
    sums = f"(SELECT sum({clicks}) AS yes, sum({shown}) AS total FROM {table.scan})"
    share = f"greatest(yes / total, {_CLICK_SHARE})"
    yes = f"least(1.0, {_DRAWN_ROWS} * {share} / greatest(yes, 1))"
    no = f"least(1.0, {_DRAWN_ROWS} * (1 - {share}) / greatest(total - yes, 1))"
    draws = [f"(hash(row_of_table, {seed + part}) % 1000000) / 1000000.0" for part in (1, 2)]
    numbered = f"(SELECT *, row_number() OVER () AS row_of_table FROM {scan})"
    counted = (
        f"SELECT *, CAST(floor({clicks} * {yes} + {draws[0]}) AS BIGINT) AS drawn_yes, CAST(floor(greatest({shown} -"
        f" {clicks}, 0) * {no} + {draws[1]}) AS BIGINT) AS drawn_no FROM {numbered}, {sums}"
    )
    unfolded = f"SELECT *, unnest(range(drawn_yes + drawn_no)) AS drawn FROM ({counted})"
    made = "row_of_table, yes, total, drawn_yes, drawn_no, drawn"
    key = roles.item if roles.item is not None and roles.item.sql else None
    named = f", {key.sql} AS {quote_identifier(key.name)}" if key is not None else ""
    sql = (
        f"(SELECT * EXCLUDE ({made}), drawn < drawn_yes AS {clicked}{named} FROM ({unfolded}) "
        f"ORDER BY hash(row_of_table, drawn, {seed}))"
    )
    said = (
        f"about {_DRAWN_ROWS:,} rows drawn from the counts, seed {seed}, a fifth of them clicks or more, which is more "
        "than the truth: scores rank, they are no rates"
    )
    return EventRows(sql, clicked, (clicked, key.name) if key is not None else (clicked,), said)


def _against(roles: Roles, scan: str, clicked: str, swapped: tuple[str, ...], seed: int) -> EventRows:
    """Every row a choice, and for each of them things drawn as often as they are chosen, but not by that person."""
    assert roles.item is not None
    item = quote_identifier(roles.item.column)
    moved = [quote_identifier(name) for name in dict.fromkeys((roles.item.column, *swapped))]
    replaced = ", ".join(f"other.{name} AS {name}" for name in moved)
    drawn = (
        f"SELECT row_of_table, i, CAST(hash(row_of_table, i, {seed}) % (SELECT count(*) FROM base) AS BIGINT) AS of_row"
        f" FROM base, range({_OTHERS}) d(i)"
    )
    others = (
        f"SELECT one.* REPLACE ({replaced}), 0 AS {clicked}, drawn.i AS drawn_as FROM drawn "
        "JOIN base one ON one.row_of_table = drawn.row_of_table JOIN base other ON other.row_of_table = drawn.of_row"
    )
    known = ""
    if roles.user is not None:
        user = quote_identifier(roles.user.column)
        known = f" ANTI JOIN (SELECT DISTINCT {user}, {item} FROM base) USING ({user}, {item})"
    sql = (
        f"(WITH base AS MATERIALIZED (SELECT *, row_number() OVER () - 1 AS row_of_table FROM {scan} "
        f"WHERE {item} IS NOT NULL), drawn AS ({drawn}), others AS ({others}), "
        f"kept AS (SELECT * FROM others{known}) SELECT * EXCLUDE (row_of_table, drawn_as) FROM "
        f"(SELECT *, 1 AS {clicked}, -1 AS drawn_as FROM base UNION ALL BY NAME SELECT * FROM kept) "
        "ORDER BY row_of_table, drawn_as)"
    )
    said = f"every row is a choice; {_OTHERS} things the person never chose are drawn beside it, seed {seed}"
    return EventRows(sql, clicked, (clicked,), said, swapped)
