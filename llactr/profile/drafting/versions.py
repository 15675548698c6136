"""Tables of a person or a thing whose rows hold from a moment on: how it is read, and what has to be mended."""

from __future__ import annotations

from typing import Any

from llactr.profile.drafting.rows import moment_of
from llactr.profile.drafting.work import Work
from llactr.profile.found import Join
from llactr.profile.moments import unit_of

__all__ = ["versions_sql", "versions_time", "why_versions"]


def versions_time(work: Work, join: Join, *, written: bool) -> dict[str, Any]:
    """How a spec reads since when rows hold; a written table has it with its zone."""
    column = join.profile.column(join.versions or "")
    unit = None if column.type == "time" else unit_of(column)
    if written:
        return {"column": column.name}
    if unit is not None:
        return {"column": column.name, "unit": unit}
    return {"column": column.name} if column.shape.zoned else {"column": column.name, "zone": work.zone}


def versions_sql(work: Work, join: Join) -> str:
    """SQL of since when a row holds, as TIMESTAMPTZ."""
    column = join.profile.column(join.versions or "")
    return moment_of(column, None if column.type == "time" else unit_of(column), work.zone)


def why_versions(work: Work, join: Join, key: str) -> list[str]:
    """Why a table of versions has to be written anew; empty where a spec reads it as it stands.

    Args:
        work: what is known.
        join: of the table, with its column of moments.
        key: SQL of its key.
    """
    column = join.profile.column(join.versions or "")
    why = []
    if (column.type == "time" and not column.shape.plain) or column.type == "number":
        why.append(f"{column.name!r} holds {column.shape.spelled or 'fractions'}")
    moment = versions_sql(work, join)
    keyed = f"SELECT {key} AS k, {moment} AS m FROM {join.profile.table.sample}"
    found = work.connection.execute(
        "SELECT count(*) FILTER (m IS NULL), count(m) - count(DISTINCT (k, m)) FILTER (m IS NOT NULL) FROM "
        f"({keyed}) WHERE nullif(CAST(k AS VARCHAR), '') IS NOT NULL"
    ).fetchone() or (0, 0)
    if found[0]:
        why.append(f"{found[0]:,} rows without a moment are left out")
    if found[1]:
        why.append(f"{found[1]:,} rows repeat a key and its moment, of which the last is kept")
    return why
