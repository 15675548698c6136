"""Events whose person or moment stands in a table that they join: of what was ordered in the table of orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb

from llactr.profile.facts import Column, columns_of, text_sql
from llactr.profile.found import Join, Profile, Roles, Stated
from llactr.profile.joins import SPELLED, keylike
from llactr.profile.moments import is_epoch
from llactr.profile.names import of_time, of_user
from llactr.profile.reading import Opened
from llactr.profile.roles import find_roles
from llactr.sql import quote_identifier

__all__ = ["with_headers"]

_MOST = 3
_FAINT, _PLAIN = 2, 4
"""Of `of_user`: a session stands in for a person, a customer is one."""


def with_headers(
    connection: duckdb.DuckDBPyConnection, profiles: Sequence[Profile], roles: Roles, stated: Stated
) -> tuple[list[Profile], Roles]:
    """The tables and their roles, where rows of another table that tell who acted, or when, are part of the events.

    An order's row belongs to each thing that was ordered, and it says by whom and when; without it those things would
    have neither. The two become one table, which has to be written.

    Args:
        connection: holds the samples; gets one of the events as they are joined.
        profiles: of all tables.
        roles: what they are to each other.
        stated: see `find_roles`; its events are those that were found.
    """
    found = list(profiles)
    for _ in range(_MOST):
        join = _header(roles, stated)
        if join is None:
            break
        table = _joined(connection, roles.events, join, number=len(found))
        events = Profile(table, tuple(columns_of(connection, table)))
        found = [events if one is roles.events else one for one in found if one is not join.profile]
        roles = find_roles(connection, found, replace(stated, events=table.name))
    return found, roles


def _header(roles: Roles, stated: Stated) -> Join | None:
    """The table that tells the person or the moment that the events lack."""
    user = roles.user
    faint = user is None or (user.join is not None and of_user(user.column) <= _FAINT)
    joins = [*roles.joins, *([user.join] if user is not None and user.join is not None and faint else [])]
    for join in joins:
        columns = [c for c in join.profile.columns if c.name not in {join.key, join.versions}]
        if join.versions is not None:
            continue
        named = {c.name for c in columns}
        if {stated.user, stated.item, stated.time} & named:
            return join
        if stated.user is None and faint and any(_person(c, user is None) for c in columns):
            return join
        if stated.time is None and roles.time.column is None and any(map(_moment, columns)):
            return join
    return None


def _person(column: Column, none_yet: bool) -> bool:
    """Whether a column names who acted, and the same one more than once."""
    least = _FAINT if none_yet else _PLAIN
    return keylike(column) and column.distinct > 1 and of_user(column.name) >= least and column.unique_share < 1


def _moment(column: Column) -> bool:
    return column.filled > 0.5 * column.rows and of_time(column.name) >= 0 and (
        column.type == "time" or (is_epoch(column) and of_time(column.name) > 0)
    )  # fmt: skip


def _joined(connection: duckdb.DuckDBPyConnection, events: Profile, join: Join, *, number: int) -> Opened:
    """The events with the columns of the other table, in their own order."""
    table, other = events.table, join.profile
    taken = {column.name.lower() for column in events.columns}
    selected = ["e.* EXCLUDE (row_before_join)"]
    for column in other.columns:
        if column.name == join.key:
            continue
        name = column.name
        while name.lower() in taken:
            name = f"{other.table.name}_{name}"
        taken.add(name.lower())
        selected.append(f"h.{quote_identifier(column.name)} AS {quote_identifier(name)}")
    ours, key = events.column(join.to), other.column(join.key)
    left = _spelled(f"e.{quote_identifier(ours.name)}", ours, respelled=join.respelled)
    right = _spelled(f"h.{quote_identifier(key.name)}", key, respelled=join.respelled)

    def sql(scan: str) -> str:
        return (
            f"(SELECT {', '.join(selected)} FROM (SELECT *, row_number() OVER () AS row_before_join FROM {scan}) e "
            f"LEFT JOIN (SELECT * FROM {other.table.scan} QUALIFY row_number() OVER (PARTITION BY "
            f"{quote_identifier(join.key)}) = 1) h ON {left} = {right} ORDER BY e.row_before_join)"
        )

    sample = f"sample_joined_{number}"
    connection.execute(f"CREATE TABLE {sample} AS SELECT * FROM {sql(table.sample)}")
    described = connection.execute(f"DESCRIBE {sample}").fetchall()
    return replace(
        table, scan=sql(table.scan), columns={row[0]: row[1] for row in described}, sample=sample,
        anew=f"each row is joined with its row of {other.table.name!r}, which tells who acted or when",
    )  # fmt: skip


def _spelled(name: str, column: Column, *, respelled: bool) -> str:
    text = text_sql(column.name, column.sql_type).replace(quote_identifier(column.name), name)
    return SPELLED.replace("{v}", text) if respelled else text
