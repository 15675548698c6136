"""Every column a field or left out: of the person, of the thing, of the request."""

from __future__ import annotations

import re
from dataclasses import replace

from llactr.columns import RESERVED
from llactr.profile.describe import describe, event_time_description
from llactr.profile.drafting.against import BESIDE, against
from llactr.profile.drafting.rows import moment_of
from llactr.profile.drafting.work import FieldDraft, LeftOut, Owner, Work
from llactr.profile.facts import Column, text_sql
from llactr.profile.found import EntityName, Profile
from llactr.profile.kinds import Kind, kind_of
from llactr.profile.label_words import RATINGS
from llactr.profile.names import of_outcome, of_time, words
from llactr.profile.shapes import POINT_ZERO
from llactr.sql import quote_identifier, quote_literal

__all__ = ["context_fields", "entity_fields", "key_name"]

_HELD = 0.995
"""Share of keys that have one value, from which on a column is taken to follow the key."""
_EMPTY = ("", "nan", "null", "none", "\\n", "<na>")
_OF_GENRES = {"movie", "film", "book", "song", "track", "album", "anime", "show", "series", "game", "artist"}


def entity_fields(work: Work, owner: EntityName, held: set[str]) -> None:
    """The fields of a person or a thing: of its table, or of the events' columns that follow its key."""
    role = work.roles.user if owner == "user" else work.roles.item
    if role is None:
        what = "cold starts and history of a person" if owner == "user" else "cold starts and vectors of things"
        work.costs.append(f"no column says the {owner}: no {what}; its columns belong to the request")
        return
    key = next((c for c in work.columns if c.name in {role.name, role.column}), None)
    if not role.sure:
        work.unsure.add(owner)
    work.notes[owner] = role.reason
    work.fields.append(
        FieldDraft(
            name=key_name(work, owner), column=role.column, table=work.table, owner=owner, kind="categorical",
            described=describe(key, role.name, owner, work.nouns, "categorical", is_key=True), reason="the join key",
            facts=key.said(most=0).rstrip("; ") if key else "", sure=True, sql="", plain=True,
        )
    )  # fmt: skip
    if role.join is not None:
        for join in (role.join, *role.more):
            for column in join.profile.columns:
                taken = {join.key, join.versions}
                if column.name not in taken:
                    _field(work, column, join.profile, owner, held)
    else:
        for column in _following(work, owner):
            _field(work, column, work.roles.events, owner, held, followed=True)
    _value_text(work, owner)


def key_name(work: Work, owner: EntityName) -> str:
    """The join key's name: that of the events, or of the table where the events have no names."""
    role = work.roles.user if owner == "user" else work.roles.item
    assert role is not None
    if not work.roles.events.headed:
        named = role.join.key if role.join is not None and role.join.profile.headed else ""
        return named if named and len(words(named)) > 1 else f"{owner}_id"
    name = _usable(role.name)
    return f"{owner}_{name}" if name.lower() in RESERVED else name


def _usable(name: str) -> str:
    """A name that a spec may use."""
    found = "".join(char if char.isprintable() and char != ":" else "_" for char in name.strip())[:100].strip()
    return found or "column"


def _roles_columns(work: Work) -> set[str]:
    roles = work.roles
    taken = {roles.label.column, roles.label.second, roles.time.column or "", roles.time.clock or "", work.rows.label}
    taken |= set(roles.time.parts)
    return taken | {name for role in (roles.user, roles.item) if role for name in (role.column, role.name)}


def _following(work: Work, owner: EntityName) -> list[Column]:
    """Columns of the events that have one value a person, or a thing, as far as its rows come again."""
    role = work.roles.user if owner == "user" else work.roles.item
    assert role is not None
    if role.name in work.rows.made and not role.sql:  # of a slate: the row is that of the view, not of what it shows
        return []
    known = _roles_columns(work) | {one.column for one in work.fields if one.table == work.table}
    known |= {one.column for one in work.left}
    key = quote_identifier(role.name if role.name in work.rows.made else role.column)
    known |= set(work.rows.made)
    columns = [c for c in work.columns if c.name not in known and c.type not in {"empty", "other"} and c.distinct > 1]
    columns = [c for c in columns if not of_outcome(c.name) and not (c.type == "time" and of_time(c.name) >= 0)]
    again = work.connection.execute(
        f"SELECT count(*), sum(n), sum(n) FILTER (n > 1) FROM (SELECT count(*) AS n FROM rows_of_sample GROUP BY {key})"
    ).fetchone()
    keys, rows, repeated = again if again else (0, 0, 0)
    if not keys or not rows or ((repeated or 0) < 0.5 * rows and not role.sql) or keys < 5:
        return []
    found = []
    for start in range(0, len(columns), 40):
        some = columns[start : start + 40]
        parts = ", ".join(f"count(DISTINCT {quote_identifier(c.name)}) > 1 AS c{i}" for i, c in enumerate(some))
        sums = ", ".join(f"avg(CAST(c{i} AS INTEGER))" for i in range(len(some)))
        row = work.connection.execute(
            f"SELECT {sums} FROM (SELECT {parts} FROM rows_of_sample GROUP BY {key} HAVING count(*) > 1)"
        ).fetchone()
        found += [c for c, broken in zip(some, row or (), strict=True) if broken is not None and broken <= 1 - _HELD]
    return [c for c in found if c.distinct <= keys]


def context_fields(work: Work, held: set[str]) -> None:
    """The events' other columns, what the request must bring; and the parts of the event's time."""
    known = _roles_columns(work) | {one.column for one in work.fields if one.table == work.table}
    known |= {one.column for one in work.left if one.table == work.table}
    for column in work.columns:
        if column.name not in known:
            _field(work, column, work.roles.events, "context", held)
    for join in work.roles.joins:
        for column in join.profile.columns:
            if column.name == join.key:
                continue
            if column.name in known and column.name not in held:
                why = f"the events have a {column.name!r} of their own"
                work.left.append(LeftOut(column.name, join.profile.table.name, why, column.said()))
                continue
            _field(work, column, join.profile, "context", held)
    if work.roles.time.column is not None and not work.roles.time.relative:
        _time_parts(work)
    if not work.fields:
        work.findings.append("no column can be a field")


def _time_parts(work: Work) -> None:
    """Hour, weekday and month, as far as the events' times tell them apart."""
    row = work.connection.execute(
        "SELECT count(DISTINCT hour(m)), count(DISTINCT dayofweek(m)), count(DISTINCT month(m)), "
        f"date_diff('day', min(m), max(m)) FROM (SELECT {work.moment} AS m FROM rows_of_sample)"
    ).fetchone()
    hours, weekdays, months, days = row if row else (0, 0, 0, 0)
    parts = [("hour", hours or 0, 2), ("weekday", weekdays or 0, 3)]
    if (days or 0) >= 700:
        parts.append(("month", months or 0, 6))
    names = {one.name.lower() for one in work.fields}
    for part, count, least in parts:
        if count < least:
            continue
        name = part if part not in names else f"event_{part}"
        reason = f"of the event's time, in UTC; {count} different"
        work.fields.append(
            FieldDraft(
                name=name, column=work.roles.time.column or "", table=work.table, owner="context",
                kind="timestamp_part", described=event_time_description(part, work.nouns), reason=reason, facts="",
                sure=True, sql="", plain=True, settings={"part": part},
            )
        )  # fmt: skip


def _field(
    work: Work, column: Column, profile: Profile, owner: Owner, held: set[str], *, followed: bool = False
) -> None:
    """Makes a column a field, or leaves it out."""
    table = profile.table.name
    of_events = profile is work.roles.events
    facts = column.said()
    if column.name not in held:
        spoken = against(work, column, profile, owner, of_events=of_events)
        if spoken is not None:
            reason, sure = spoken
            work.left.append(LeftOut(column.name, table, reason, facts, sure))
            return
    if column.type == "time":
        _dated(work, column, profile, owner)
        return
    kind = kind_of(column, owner=owner)
    if not of_events and _of_ratings(work, column):
        kind = replace(kind, sure=False, reason=f"{kind.reason}; if it is the mean of the ratings, it knows later ones")
        work.means.append(f"{column.name!r} of {table!r}")
    name = _field_name(work, column, profile, owner)
    settings = dict(kind.settings)
    reason = kind.reason + (f"; one value a {work.nouns.of(owner)}" if followed else "")
    sql, plain = _value_sql(column, kind, profile)
    work.fields.append(
        FieldDraft(
            name, column.name, table, owner, kind.name, describe(column, name, owner, work.nouns, kind.name), reason,
            facts, kind.sure, sql, plain, settings,
        )
    )  # fmt: skip
    if owner == "item" and column.type == "text":
        _year(work, column, profile)


def _of_ratings(work: Work, column: Column) -> bool:
    """Whether a number of a person or a thing may be the mean of the ratings that are the label."""
    named, counts = set(column.words) & RATINGS, {"count", "counts", "number", "num", "n"} & set(column.words)
    return work.roles.label.rates and column.type in {"integer", "number"} and bool(named) and not counts


def _year(work: Work, column: Column, profile: Profile) -> None:
    """The year that ends a title, `Toy Story (1995)`, as a field of its own."""
    texts = [text for text, _ in column.texts[:300]]
    if sum(bool(re.search(r"\(\d{4}\)\s*$", text)) for text in texts) < 0.8 * max(len(texts), 1) or not texts:
        return
    name = _unique(work, "release_year")
    title = work.fields[-1]
    bare = f"trim(regexp_replace({text_sql(column.name, column.sql_type)}, '\\s*\\(\\d{{4}}\\)\\s*$', ''))"
    work.fields[-1] = replace(title, sql=bare, plain=False, reason=f"{title.reason}, without the year that ends it")
    sql = f"nullif(regexp_extract({text_sql(column.name, column.sql_type)}, '\\((\\d{{4}})\\)\\s*$', 1), '')"
    work.fields.append(
        FieldDraft(
            name, column.name, profile.table.name, "item", "categorical",
            f"the year in which the {work.nouns.thing} came out",
            f"the year in brackets that ends {column.name!r}", "", True, sql, False,
        )
    )  # fmt: skip


def _dated(work: Work, column: Column, profile: Profile, owner: Owner) -> None:
    """A moment other than the event's: the year of a thing or a person, the age of it at the event would be better."""
    table, facts = profile.table.name, column.said()
    if owner == "context":
        work.left.append(LeftOut(column.name, table, BESIDE, facts, False))
        return
    name = _unique(work, "_".join([w for w in column.words if w not in {"date", "time", "at", "timestamp"}] + ["year"]))
    value = moment_of(column, None, work.zone)
    sql = f"CAST(year({value}) AS VARCHAR)"
    work.fields.append(
        FieldDraft(
            name, column.name, table, owner, "categorical", describe(None, name, owner, work.nouns, "categorical"),
            f"the year of {column.name!r}", facts, False, sql, False,
        )
    )  # fmt: skip


def _field_name(work: Work, column: Column, profile: Profile, owner: Owner) -> str:
    if profile.headed:
        name = _usable(column.name)
    else:
        several = "genres" if work.nouns.thing in _OF_GENRES else "tags"
        name = {"list": several, "number": "number", "integer": "number"}.get(column.type, "text")
        if name == "text":
            values = {text.lower() for text, _ in column.top}
            name = "gender" if values and values <= {"m", "f", "male", "female", "u"} else (
                "title" if owner == "item" and column.unique_share > 0.5 and column.shape.words > 1.2 else "text"
                if column.shape.words >= 3 else "code")  # fmt: skip
        if owner == "context":
            name = column.name
    return _unique(work, name if name.lower() not in RESERVED else f"{name}_value", owner)


def _unique(work: Work, name: str, owner: str = "") -> str:
    taken = {one.name.lower() for one in work.fields}
    keys = {key_name(work, o).lower() for o, role in (("user", work.roles.user), ("item", work.roles.item)) if role}  # type: ignore[arg-type]
    tries = [name, f"{owner}_{name}" if owner else f"{name}_2", *(f"{name}_{n}" for n in range(2, 1000))]
    return next(one for one in tries if one.lower() not in taken | keys)


def _value_sql(column: Column, kind: Kind, profile: Profile) -> tuple[str, bool]:
    """SQL of a field's value in a written table, and whether the table as it stands would do."""
    text = text_sql(column.name, column.sql_type)
    if kind.name == "multi_valued":
        if column.listed:
            inner = f"list_transform(CAST({quote_identifier(column.name)} AS VARCHAR[]), x -> replace(x, '|', '/'))"
            return f"nullif(array_to_string({inner}, '|'), '')", False
        return (column.value if column.shape.sql else text), column.shape.plain and column.sql_type == "VARCHAR"
    if kind.name == "numeric":
        typed = column.sql_type not in {"VARCHAR", "JSON"} and not column.sql_type.startswith("ENUM")
        if typed:
            return f"CAST({quote_identifier(column.name)} AS DOUBLE)", True
        return column.value, profile.table.format == "csv" and column.shape.plain
    if column.shape.spelled == POINT_ZERO and column.type == "integer":
        return f"CAST(CAST({column.value} AS BIGINT) AS VARCHAR)", False
    plain = column.sql_type != "JSON" and column.type != "other"
    if column.sql_type not in {"VARCHAR", "JSON"}:
        return quote_identifier(column.name), plain
    if not any(value.strip().lower() in _EMPTY or value != value.strip() for value, _ in column.texts):
        return text, plain
    listed = ", ".join(map(quote_literal, _EMPTY))
    return f"CASE WHEN lower(trim({text})) IN ({listed}) THEN NULL ELSE trim({text}) END", plain


def _value_text(work: Work, owner: EntityName) -> None:
    """What a language model reads of a key: the worded fields of its entity, texts first."""
    own = [one for one in work.fields if one.owner == owner and one.kind in {"categorical", "multi_valued"}]
    key, rest = own[0], own[1:]
    read = [one for one in rest if one.settings.get("value_text")]
    if owner == "user" or not read:
        if owner == "item":
            work.costs.append(
                f"no column says in words what the {work.nouns.thing} is: new ones have nothing a model could read"
            )
        return
    rank = sorted(read, key=lambda one: 0 if _is_title(one) else 1 if one.kind == "categorical" else 2)
    chosen = [one.name for one in rank][:6]
    years = [one.name for one in rest if one.name == "release_year"]
    at = work.fields.index(key)
    work.fields[at] = replace(key, settings={**key.settings, "value_text": [*chosen, *years]})
    for one in read:  # the key's text has them: each of them encoded by itself too would be a second price
        if one.reason.startswith("text"):
            work.fields[work.fields.index(one)] = replace(
                one, settings={k: v for k, v in one.settings.items() if k != "value_text"}
            )


def _is_title(one: FieldDraft) -> bool:
    return bool(set(words(one.name)) & {"title", "name", "headline"})
