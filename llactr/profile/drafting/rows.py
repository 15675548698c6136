"""The events of the sample, one row a decision, with their label and their moment."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from llactr.profile.describe import Nouns
from llactr.profile.drafting.work import Order, Work
from llactr.profile.events_sql import EventRows, event_rows
from llactr.profile.facts import Column, columns_of, text_sql
from llactr.profile.found import Roles
from llactr.profile.names import noun, words
from llactr.profile.shapes import MISSING
from llactr.profile.spoilers import split_counts
from llactr.sql import quote_identifier, quote_literal

__all__ = ["LABELLED", "ROW_LABEL", "ROW_MOMENT", "moment_of", "prepared", "time_value", "whole_rows"]

LABELLED, ROW_LABEL, ROW_MOMENT = "labelled_rows", "label_of_row", "moment_of_row"


def prepared(connection: duckdb.DuckDBPyConnection, roles: Roles, zone: str, order: Order, seed: int) -> Work:
    """The events of the sample as a table `rows_of_sample`, and the facts of its columns.

    Some of them are in the view `LABELLED`, in no order, with the label (0 or 1) and the moment as columns.
    """
    table = roles.events.table
    swapped: tuple[str, ...] = ()
    if roles.label.kind == "chosen" and roles.item is not None:
        swapped = _swapped(connection, roles)
    rows = event_rows(roles, scan=table.sample, swapped=swapped, seed=seed)
    connection.execute("DROP TABLE IF EXISTS rows_of_sample")
    connection.execute(
        f"CREATE TABLE rows_of_sample AS SELECT *, row_number() OVER () AS row_of_sample FROM {rows.sql} LIMIT 3000000"
    )
    described = connection.execute("DESCRIBE rows_of_sample").fetchall()
    if rows.made:
        kinds = {row[0]: row[1] for row in described if row[0] != "row_of_sample"}
        columns = columns_of(connection, replace(table, sample="rows_of_sample", columns=kinds))
    else:
        columns = list(roles.events.columns)
    work = Work(connection, roles, rows, columns, "", "", _nouns(roles), zone)
    work.label = _label_sql(roles, rows)
    if rows.said:
        work.costs.append(rows.said)
    _drop_rows(work)
    work.moment = _moment_sql(work, order, seed)
    connection.execute(
        "CREATE OR REPLACE TABLE some_rows AS SELECT * FROM rows_of_sample ORDER BY hash(row_of_sample) LIMIT 60000"
    )
    moment = work.moment if roles.time.column is not None else "TIMESTAMPTZ '2020-01-01 00:00:00+00'"
    connection.execute(
        f"CREATE OR REPLACE VIEW {LABELLED} AS SELECT *, {work.label} AS {ROW_LABEL}, {moment} AS {ROW_MOMENT} FROM "
        "some_rows"
    )
    return work


def _swapped(connection: duckdb.DuckDBPyConnection, roles: Roles) -> tuple[str, ...]:
    """Columns that mostly follow the thing: they go with it when another one is drawn."""
    assert roles.item is not None
    item, table = quote_identifier(roles.item.column), roles.events.table
    found = []
    for column in roles.events.columns:
        if column.name in {roles.item.column, roles.time.column, roles.user.column if roles.user else None}:
            continue
        name = quote_identifier(column.name)
        row = connection.execute(
            f"SELECT avg(same) FROM (SELECT max(n) / sum(n) AS same FROM (SELECT {item}, {name}, count(*) AS n FROM "
            f"{table.sample} GROUP BY ALL) GROUP BY {item} HAVING sum(n) > 2)"
        ).fetchone()
        if row and (row[0] or 0) > 0.5 and column.distinct > 2:
            found.append(column.name)
    return tuple(found)


def _nouns(roles: Roles) -> Nouns:
    person = noun(roles.user.column, "user") if roles.user else None
    thing = noun(roles.item.name, "item") if roles.item else None
    for role, owner in ((roles.user, "user"), (roles.item, "item")):
        if role is not None and role.join is not None:
            found = noun(role.join.profile.table.name, "user" if owner == "user" else "item")
            if owner == "user":
                person = person if person not in {None, "person"} else found
            else:
                thing = thing if thing not in {None, "item"} else found
    act = {"slate": "view", "pairs": "view", "counts": "view"}.get(roles.label.kind)
    if act is None:
        named = set(words(roles.events.table.name)) | set(words(roles.label.column))
        acts = {"rating": "rating", "ratings": "rating", "stars": "rating", "reviews": "review", "review": "review",
                "recommend": "review", "purchases": "purchase", "transactions": "purchase", "purchase": "purchase",
                "orders": "order", "click": "view", "clicks": "view", "clicked": "view", "impressions": "view",
                "views": "view", "bought": "view"}  # fmt: skip
        act = next((acts[word] for word in sorted(named) if word in acts), "event")
    return Nouns(person or "person", thing or "item", act)


def _label_sql(roles: Roles, rows: EventRows) -> str:
    """0, 1, or null for rows that are left out."""
    label = roles.label
    if label.kind not in {"column", "above", "equals"}:
        return f"CAST({quote_identifier(rows.label)} AS INTEGER)"
    column = roles.events.column(label.column)
    text = text_sql(column.name, column.sql_type)
    if label.kind == "equals":
        return (
            f"CASE WHEN {text} IS NULL OR {text} = '' THEN NULL WHEN {text} = {quote_literal(label.equals or '')} THEN"
            " 1 ELSE 0 END"
        )
    value = f"TRY_CAST({column.value} AS DOUBLE)"
    dropped = f"WHEN {value} IN ({', '.join(map(str, label.drop))}) THEN NULL " if label.drop else ""
    return f"CASE WHEN {value} IS NULL THEN NULL {dropped}WHEN {value} > {label.above or 0.0} THEN 1 ELSE 0 END"


def _drop_rows(work: Work) -> None:
    """Rows without label, person, thing or moment are not looked at any further."""
    where = whole_rows(work)
    work.lost_moments = _lost_moments(work)
    (before,) = work.connection.execute("SELECT count(*) FROM rows_of_sample").fetchone() or (0,)
    work.connection.execute(f"DELETE FROM rows_of_sample WHERE NOT ({where})")
    (after,) = work.connection.execute("SELECT count(*) FROM rows_of_sample").fetchone() or (0,)
    lost = _lost(work)
    if 0 < after < before and lost:
        work.findings.append(f"{(before - after) / before:.1%} of the rows are left out: {lost}")
    if after == 0:
        work.findings.append(
            "no row has a label, its keys and a moment: say the columns by --label, --user, --item, --time"
        )


def _lost(work: Work) -> str:
    """What rows that are left out lack, and how to keep them; empty where the label's rule alone drops them."""
    roles = work.roles
    named = [(what, role.column) for what, role in (("user", roles.user), ("item", roles.item), ("time", roles.time))
             if role is not None and role.column]  # fmt: skip
    if roles.label.kind in {"column", "above", "equals"}:
        named.append(("label", roles.label.column))
    known = {column.name: column for column in roles.events.columns}
    lacking = [(what, known[name]) for what, name in named if name in known and known[name].nulls]
    if not lacking:
        return "" if roles.label.drop else "a key, a label or a moment of theirs cannot be read"
    said = ", ".join(f"{one.nulls / one.rows:.1%} have no {what} in {one.name!r}" for what, one in lacking)
    kept = [f"--{what} none" for what, _ in lacking if what != "label"]
    return said + (f"; {' and '.join(kept)} would keep them" if kept else "")


def whole_rows(work: Work) -> str:
    """SQL that holds for rows with a label, their keys and a moment."""
    parts = [f"{work.label} IS NOT NULL"]
    for role in (work.roles.user, work.roles.item):
        if role is not None:
            name = role.name if role.name in work.rows.made else role.column
            parts.append(f"nullif(CAST({quote_identifier(name)} AS VARCHAR), '') IS NOT NULL")
    if work.roles.time.column is not None:
        parts.append(_in_range(work))
    return " AND ".join(parts)


def _in_range(work: Work) -> str:
    """SQL that holds for moments that a spec takes: from 1900 to 2200."""
    ends = "TIMESTAMPTZ '1900-01-01 00:00:00+00' AND TIMESTAMPTZ '2199-12-31 00:00:00+00'"
    return f"coalesce({time_value(work)} BETWEEN {ends}, false)"


def _lost_moments(work: Work) -> int:
    """Rows of the sample with a moment that cannot be, or that clocks set forward have skipped in its zone."""
    role = work.roles.time
    if role.column is None:
        return 0
    column = work.roles.events.column(role.column)
    text = text_sql(column.name, column.sql_type)
    filled = f"{text} IS NOT NULL AND lower(trim({text})) NOT IN ({', '.join(map(quote_literal, sorted(MISSING)))})"
    wrong = f"NOT {_in_range(work)}"
    if column.type == "time" and not role.zoned and not role.sql and role.clock is None and work.zone != "UTC":
        zone, local = quote_literal(work.zone), f"CAST({column.value} AS TIMESTAMP)"
        wrong += f" OR timezone({zone}, timezone({zone}, {local})) <> {local}"
    found = work.connection.execute(f"SELECT count(*) FROM rows_of_sample WHERE {filled} AND ({wrong})").fetchone()
    return int(found[0]) if found else 0


def time_value(work: Work) -> str:
    """The event's moment as TIMESTAMPTZ."""
    role = work.roles.time
    column = work.roles.events.column(role.column or "")
    if role.sql:
        v = (
            text_sql(column.name, column.sql_type)
            if "substr" in role.sql or "STRPTIME" in role.sql
            else f"({column.value})"
        )
        if "STRPTIME" in role.sql:
            zone = work.zone if role.parts else "UTC"
            return f"timezone({quote_literal(zone)}, {role.sql.replace('{v}', v)})"
        moment = role.sql.replace("{v}", v)
        return f"timezone({quote_literal(work.zone)}, {moment})" if "make_timestamp(" in moment else moment
    if role.clock is not None:
        of_day = work.roles.events.column(role.clock)
        text = f"trim({text_sql(of_day.name, of_day.sql_type)})"
        clock = f"coalesce(TRY_CAST({text} AS TIME), TRY_CAST({text} || ':00' AS TIME), TIME '00:00:00')"
        return f"timezone({quote_literal(work.zone)}, CAST({column.value} AS DATE) + {clock})"
    return moment_of(column, role.unit, work.zone)


def moment_of(column: Column, unit: str | None, zone: str) -> str:
    """SQL of a column's moment as TIMESTAMPTZ."""
    if unit is not None:
        value = (
            f"CAST(TRY_CAST({column.value} AS DOUBLE) AS BIGINT)"
            if column.shape.sql
            else f"CAST({column.value} AS BIGINT)"
        )
        micros = {"s": f"{value} * 1000000", "ms": f"{value} * 1000", "us": value, "ns": f"{value} // 1000"}[unit]
        return f"make_timestamptz({micros})"
    if column.shape.zoned:
        return f"CAST({column.value} AS TIMESTAMPTZ)"
    return f"timezone({quote_literal(zone)}, CAST({column.value} AS TIMESTAMP))"


def _moment_sql(work: Work, order: Order, seed: int) -> str:
    """SQL that orders the rows of the sample; makes up a time where there is none."""
    if work.roles.time.column is not None:
        return time_value(work)
    if order == "random" or (order == "auto" and _sorted_by_label(work)):
        work.notes["order"] = f"random, seed {seed}"
        reason = "" if order == "random" else ", because the order of the file would leave a split with one class"
        work.costs.append(
            f"no column tells a time: rows are split at random, seed {seed}{reason}; the test is no forecast"
        )
        return f"hash(row_of_sample, {seed})"
    work.notes["order"] = "file"
    work.costs.append(
        "no column tells a time: the order of the file stands for it, so the test split is the file's last rows; "
        "say --order random to split at random by --seed"
    )
    return "row_of_sample"


def _sorted_by_label(work: Work) -> bool:
    counts = split_counts(
        work.connection, "rows_of_sample", label=work.label, time="row_of_sample", train=0.8, validation=0.1, total=1000
    )
    rates = [clicks / max(rows, 1) for rows, clicks in zip(counts.rows, counts.clicks, strict=True)]
    overall = sum(counts.clicks) / max(sum(counts.rows), 1)
    return any(rate < 0.2 * overall or (1 - rate) < 0.2 * (1 - overall) for rate in rates)
