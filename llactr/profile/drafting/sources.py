"""How the tables are read, and the SQL of those that have to be written anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llactr.profile.drafting.fields import key_name
from llactr.profile.drafting.rows import time_value, whole_rows
from llactr.profile.drafting.versions import versions_sql, versions_time, why_versions
from llactr.profile.drafting.work import ROW_TIME, FieldDraft, SourceDraft, Work
from llactr.profile.events_sql import event_rows
from llactr.profile.facts import Column, text_sql
from llactr.profile.found import EntityName, Join, KeyRole, Roles
from llactr.profile.reading import Opened
from llactr.profile.shapes import POINT_ZERO
from llactr.sql import quote_identifier

__all__ = ["draft_sources", "written_name"]


def draft_sources(
    work: Work, seed: int
) -> tuple[list[SourceDraft], dict[str, Any], dict[str, Any], dict[EntityName, dict[str, Any]]]:
    """How the tables are read or written, and what of the spec depends on it."""
    roles = work.roles
    keys: dict[EntityName, str] = {o: key_name(work, o) for o, role in _both(roles) if role is not None}
    why = _why_written(work, keys)
    entities: dict[EntityName, dict[str, Any]] = {}
    others: list[SourceDraft] = []
    for owner, role in _both(roles):
        if role is None:
            continue
        entities[owner] = {"join_key": keys[owner]}
        own = [one for one in work.fields if one.owner == owner][1:]
        if not own:
            continue
        source = _entity_source(work, owner, role, keys[owner], own)
        entities[owner]["source"] = source.name
        if role.join is not None and role.join.versions is not None:
            entities[owner]["timestamp"] = versions_time(work, role.join, written=source.table is None)
        others.append(source)
    if why:
        events = SourceDraft(roles.events.table.name, None, _events_query(work, keys, seed), tuple(why))
        timestamp: dict[str, Any] = {"column": written_name(work, roles.time.column) if roles.time.column else ROW_TIME}
        label = {"column": _label_name(work)} if roles.label.kind not in {"above", "equals"} else _label_rule(work)
    else:
        events = SourceDraft(roles.events.table.name, roles.events.table)
        timestamp, label = _plain_time(work), _label_rule(work)
    plain = {source.table.name for source in (events, *others) if source.table is not None}
    for at, one in enumerate(work.fields):
        if one.table in plain and one.column != one.name and one.kind != "timestamp_part":
            work.fields[at] = replace(one, settings={"read_as": True, **one.settings})
    return [events, *others], timestamp, label, entities


def _both(roles: Roles) -> tuple[tuple[EntityName, KeyRole | None], ...]:
    return (("user", roles.user), ("item", roles.item))


def written_name(work: Work, column: str) -> str:
    """What a column of the events is called where they are written anew: columns without names get one."""
    if work.roles.events.headed:
        return column
    label = work.roles.label
    if column == label.column:
        return "rating" if label.rates else "outcome"
    return "time" if column == work.roles.time.column else column


def _plain_time(work: Work) -> dict[str, Any]:
    role = work.roles.time
    found: dict[str, Any] = {"column": role.column}
    if role.unit is not None:
        found["unit"] = role.unit
    elif not role.zoned:
        found["zone"] = work.zone
    return found


def _label_name(work: Work) -> str:
    return (
        work.rows.label
        if work.roles.label.kind not in {"column", "above", "equals"}
        else written_name(work, work.roles.label.column)
    )


def _label_rule(work: Work) -> dict[str, Any]:
    label = work.roles.label
    found: dict[str, Any] = {"column": written_name(work, label.column)}
    if label.kind == "above":
        found["above"] = (
            int(label.above) if label.above is not None and float(label.above).is_integer() else label.above
        )
        if label.drop:
            found["drop"] = [int(v) if float(v).is_integer() else v for v in label.drop]
    elif label.kind == "equals":
        found["equals"] = label.equals
    elif label.kind == "column":
        column = work.roles.events.column(label.column)
        if column.sql_type == "VARCHAR" and work.roles.events.table.format != "csv":
            yes = next(text for text, _ in column.texts if text.strip().lower() in {"1", "true", "1.0"})
            found["equals"] = yes
    return found


def _why_written(work: Work, keys: dict[EntityName, str]) -> list[str]:
    """Why the events have to be written anew; empty where the spec reads them as they stand."""
    roles, table = work.roles, work.roles.events.table
    why = _why_read_anew(table)
    if work.rows.made:
        why.append(work.rows.said)
    if roles.time.column is None:
        why.append("a made-up time stands for the order of the rows")
    elif roles.time.sql or roles.time.relative:
        why.append(f"the moment is made from {roles.time.column!r}")
    elif roles.time.clock is not None:
        why.append(f"the moment is made from {roles.time.column!r} and {roles.time.clock!r}")
    else:
        column = roles.events.column(roles.time.column)
        if roles.time.unit is None and not (column.shape.plain and column.sql_type != "JSON"):
            why.append(f"{roles.time.column!r} holds {column.shape.spelled}")
        if column.nulls:
            why.append(f"{column.nulls / column.rows:.1%} of the rows have no moment and are left out")
        if work.lost_moments:
            why.append(f"{work.lost_moments:,} moments cannot be, lie outside 1900 to 2200, or were skipped by clocks")
    for owner, role in _both(roles):
        if role is not None and not role.sql and role.name == role.column:
            column = roles.events.column(role.column)
            if column.nulls:
                why.append(f"{column.nulls / column.rows:.1%} of the rows have no {owner} and are left out")
            if role.join is not None and role.join.respelled:
                why.append(f"the {owner}'s key is spelled as its table has it")
            if column.shape.spelled == POINT_ZERO:
                why.append(f"{role.column!r} holds {POINT_ZERO}, which is left off")
            if keys[owner] != role.column:
                why.append(f"{role.column!r} is called {keys[owner]!r}")
    if roles.label.kind in {"column", "above", "equals"}:
        column = roles.events.column(roles.label.column)
        if column.nulls:
            why.append(f"{column.nulls / column.rows:.1%} of the rows have no label and are left out")
        typed = column.sql_type not in {"VARCHAR", "JSON"}
        if roles.label.kind == "above" and not typed and (table.format != "csv" or not column.shape.plain):
            why.append(f"the label holds {column.shape.spelled or 'texts'}")
        if column.sql_type == "JSON" or (
            roles.label.kind == "column"
            and column.shape.spelled.startswith("the texts")
            and ({t.lower() for t, _ in column.top} != {"true", "false"})
        ):
            why.append("the label is written as yes and no")
    for one in work.fields:
        if one.owner == "context" and not one.plain and one.table == work.table:
            why.append(f"{one.name!r} holds {roles.events.column(one.column).shape.spelled or 'lists'}")
        if one.owner == "context" and one.table != work.table:
            why.append(f"{one.name!r} comes from {one.table!r}")
    return list(dict.fromkeys(why))


def _why_read_anew(table: Opened) -> list[str]:
    """Why a table cannot be a spec's source as it stands."""
    if table.format == "json":
        return ["it is JSON"]
    if table.anew:
        return [table.anew]
    if len(table.files) > 1:
        return ["it comes in several files"]
    if table.format == "csv" and table.dialect is not None and not table.dialect.plain:
        said = []
        if not table.dialect.header:
            said.append("it has no line of names")
        elif table.dialect.names != table.dialect.given:
            said.append("a column has no name, or that of another")
        if len(table.dialect.separator) > 1:
            said.append(f"its cells are separated by {table.dialect.separator!r}")
        if table.dialect.escape:
            said.append(f"{table.dialect.escape!r} stands before quotes within its cells")
        if table.dialect.skip:
            said.append(f"{table.dialect.skip} lines stand before the table")
        if table.dialect.encoding != "utf-8":
            said.append(f"it is written in {table.dialect.encoding}")
        return said
    return []


def _key_sql(column: Column, join: Join | None) -> str:
    text = text_sql(column.name, column.sql_type)
    if column.type == "integer" and (column.sql_type in {"FLOAT", "DOUBLE"} or column.shape.spelled == POINT_ZERO):
        text = f"CAST(CAST({column.value} AS BIGINT) AS VARCHAR)"
    if join is not None and join.respelled:
        return f"lower(regexp_replace(regexp_replace(trim({text}), '^(-?[0-9]+)\\.0+$', '\\1'), '^0+([0-9])', '\\1'))"
    return text


def _events_query(work: Work, keys: dict[EntityName, str], seed: int) -> str:
    """SQL of the events as the spec reads them."""
    roles = work.roles
    swapped = work.rows.swapped
    rows = event_rows(roles, scan=roles.events.table.scan, swapped=swapped, seed=seed)
    selected: dict[str, str] = {}
    for owner, role in _both(roles):
        if role is None:
            continue
        if role.name in rows.made:
            selected[keys[owner]] = quote_identifier(role.name)
        else:
            selected[keys[owner]] = _key_sql(roles.events.column(role.column), role.join)
    if roles.time.column is None:
        drawn = f"CAST(hash(row_of_all, {seed}) % 1000000000000 AS BIGINT) * 100"
        number = drawn if work.notes.get("order", "").startswith("random") else "row_of_all * 1000000"
        selected[ROW_TIME] = f"make_timestamptz(1577836800000000 + {number})"
    else:
        selected[written_name(work, roles.time.column)] = time_value(work)
    label = roles.label
    if label.kind in {"above", "equals"}:
        column = roles.events.column(label.column)
        value = column.value if label.kind == "above" else text_sql(column.name, column.sql_type)
        selected[written_name(work, label.column)] = value
    else:
        selected[_label_name(work)] = work.label
    for one in work.fields:
        if one.owner == "context" and one.kind != "timestamp_part" and one.name not in selected:
            selected[one.name] = one.sql if one.table == work.table else _joined(one)
    joins = "".join(
        f" LEFT JOIN (SELECT * FROM {j.profile.table.scan} QUALIFY row_number() OVER (PARTITION BY"
        f" {quote_identifier(j.key)}) = 1) {_alias(j.profile.table.name)} ON"
        f" {_alias(j.profile.table.name)}.{quote_identifier(j.key)} = e.{quote_identifier(j.to)}"
        for j in roles.joins
        if any(one.table == j.profile.table.name for one in work.fields)
    )
    numbered = f"(SELECT *, row_number() OVER () AS row_of_all FROM {rows.sql})"
    if joins:
        names = ", ".join(
            f"{_alias(one.table)}.{quote_identifier(one.column)} AS {quote_identifier('joined ' + one.name)}"
            for one in work.fields
            if one.owner == "context" and one.table != work.table
        )
        numbered = f"(SELECT e.*, {names} FROM {numbered} e{joins})"
    listed = ",\n  ".join(f"{sql} AS {quote_identifier(name)}" for name, sql in selected.items())
    where = whole_rows(work)
    order = "\nORDER BY row_of_all" if joins else ""
    return f"SELECT\n  {listed}\nFROM {numbered}\nWHERE {where}{order}"


def _alias(table: str) -> str:
    return quote_identifier(f"of {table}")


def _joined(one: FieldDraft) -> str:
    """A joined column has another name inside the query, as both tables may have one of that name."""
    return one.sql.replace(quote_identifier(one.column), quote_identifier("joined " + one.name))


def _entity_source(work: Work, owner: EntityName, role: KeyRole, key: str, own: Sequence[FieldDraft]) -> SourceDraft:
    """The table of a person's or a thing's features."""
    if role.join is None:
        return _from_events(work, owner, role, key, own)
    table, column = role.join.profile.table, role.join.profile.column(role.join.key)
    versions = role.join.versions
    why = _why_read_anew(table)
    if role.join.key != key:
        why.append(f"{role.join.key!r} is called {key!r}")
    if column.nulls:
        why.append("rows without a key are left out")
    if role.join.respelled or column.shape.spelled == POINT_ZERO:
        why.append("the key is spelled as in the events")
    repeated = column.distinct < column.filled and versions is None
    if repeated:
        why.append(f"{column.filled - column.distinct:,} rows repeat a key, of which the first is kept")
    why += [f"{one.name!r} is made from {one.column!r}" for one in own if not one.plain and one.table == table.name]
    why += [f"{one.name!r} comes from {one.table!r}" for one in own if one.table != table.name]
    if versions is not None:
        why += why_versions(work, role.join, _key_sql(column, role.join))
    name = table.name if table.name != work.table else f"{table.name}_{owner}s"
    if not why:
        return SourceDraft(name, table)
    selected = {key: _key_sql(column, role.join)}
    if versions is not None:
        selected[versions] = versions_sql(work, role.join)
    selected |= {one.name: one.sql if one.table == table.name else _joined(one) for one in own}
    base = f"(SELECT *, row_number() OVER () AS row_of_all FROM {table.scan})"
    joined = [j for j in role.more if any(one.table == j.profile.table.name for one in own)]
    if joined:
        names = ", ".join(
            f"{_alias(one.table)}.{quote_identifier(one.column)} AS {quote_identifier('joined ' + one.name)}"
            for one in own
            if one.table != table.name
        )
        on = "".join(
            f" LEFT JOIN (SELECT * FROM {j.profile.table.scan} QUALIFY row_number() OVER (PARTITION BY "
            f"{quote_identifier(j.key)}) = 1) {_alias(j.profile.table.name)} ON CAST({_alias(j.profile.table.name)}."
            f"{quote_identifier(j.key)} AS VARCHAR) = CAST(e.{quote_identifier(j.to)} AS VARCHAR)"
            for j in joined
        )
        base = f"(SELECT e.*, {names} FROM {base} e{on})"
    listed = ",\n  ".join(f"{sql} AS {quote_identifier(name_)}" for name_, sql in selected.items())
    whole, once = f"nullif({selected[key]}, '') IS NOT NULL", f"PARTITION BY {selected[key]} ORDER BY row_of_all"
    if versions is not None:
        whole += f" AND {selected[versions]} IS NOT NULL"
        once = f"PARTITION BY {selected[key]}, {selected[versions]} ORDER BY row_of_all DESC"
    once = f"\nQUALIFY row_number() OVER ({once}) = 1"
    query = f"SELECT\n  {listed}\nFROM {base}\nWHERE {whole}{once}\nORDER BY row_of_all"
    return SourceDraft(name, None, query, tuple(dict.fromkeys(why)))


def _taken(work: Work) -> set[str]:
    """Names of tables that the spec reads or writes already."""
    joins = [role.join for _, role in _both(work.roles) if role is not None and role.join is not None]
    return {work.table, *(join.profile.table.name for join in joins)}


def _from_events(work: Work, owner: EntityName, role: KeyRole, key: str, own: Sequence[FieldDraft]) -> SourceDraft:
    """A table of its own for columns of the events that follow a key: the value that the key has most often."""
    table = work.roles.events.table
    spelled = role.sql or _key_sql(work.roles.events.column(role.column), role.join)
    listed = "".join(f",\n  mode({one.sql}) AS {quote_identifier(one.name)}" for one in own)
    query = (
        f"SELECT\n  {spelled} AS {quote_identifier(key)}{listed}\nFROM {table.scan}\n"
        f"WHERE nullif({spelled}, '') IS NOT NULL\nGROUP BY 1\nORDER BY 1"
    )
    name = f"{owner}s" if f"{owner}s" not in _taken(work) else f"{table.name}_{owner}s"
    return SourceDraft(name, None, query, (f"these columns of {table.name!r} have one value a {owner}",))
