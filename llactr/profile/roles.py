"""Which table holds the events, which columns are the person, the thing and the moment, and which tables join there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Literal

import duckdb

from llactr.profile.facts import Column, text_sql
from llactr.profile.labels import Label, label_candidates
from llactr.profile.names import is_measure, noun, of_item, of_outcome, of_time, of_user, words
from llactr.profile.reading import Opened
from llactr.sql import quote_identifier

__all__ = [
    "EntityName", "Join", "KeyRole", "Profile", "Roles", "Stated", "TimeRole", "find_roles", "key_candidates",
    "time_candidates",
]  # fmt: skip

EntityName = Literal["user", "item"]
_PERSONAL = {"age", "gender", "sex", "occupation", "income", "zip", "zipcode", "city", "education", "marital", "birth",
             "household", "registered", "country", "job", "spent", "town", "nationality", "profession",
             "yob"}  # fmt: skip
_MATERIAL = {"title", "genre", "genres", "price", "category", "brand", "author", "publisher", "colour", "color", "tags",
             "description", "artist", "album", "developer", "department", "manufacturer", "year", "size",
             "headline"}  # fmt: skip
_EPOCHS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_FROM_S, _TO_S = 631_152_000, 2_240_000_000  # 1990 to 2040
_SPELLED = "lower(regexp_replace(regexp_replace(trim({v}), '^(-?[0-9]+)\\.0+$', '\\1'), '^0+([0-9])', '\\1'))"


@dataclass(frozen=True)
class Profile:
    """A table with the facts of its columns."""

    table: Opened
    columns: tuple[Column, ...]

    @property
    def headed(self) -> bool:
        """Whether its columns have names of their own."""
        return self.table.dialect is None or self.table.dialect.header

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)


@dataclass(frozen=True)
class Join:
    """A table whose rows belong to values of a column.

    Attributes:
        profile: the table.
        key: its column.
        to: the events' column, or the entity table's.
        share: of rows there that find one here.
        respelled: whether they only meet once their spelling is made alike.
        versions: the table's column that says since when a row holds; None where there is one row a key.
    """

    profile: Profile
    key: str
    to: str
    share: float
    respelled: bool = False
    versions: str | None = None


@dataclass(frozen=True)
class KeyRole:
    """Who acts, or what is acted upon.

    Attributes:
        column: of the events; of a slate, the list of what was shown.
        name: of the join key.
        reason: why it is taken for that; `sure` where a person need not look.
        join: the table of its features; `more` belong to rows of that one.
        sql: of the key, where no column holds it.
    """

    column: str
    name: str
    reason: str
    sure: bool
    join: Join | None = None
    more: tuple[Join, ...] = ()
    sql: str = ""


@dataclass(frozen=True)
class TimeRole:
    """When an event happened.

    Attributes:
        column: None where no column says it, and the order of the rows stands for it.
        unit: of counts since 1970; of a count from an origin of its own, what it is taken for.
        relative: whether it counts from an origin of its own.
        zoned: whether the values tell their zone.
        sql: of the moment, where the column hides it.
        clock: the column of the time of day, where this one holds the day alone.
    """

    column: str | None
    reason: str
    sure: bool
    unit: Literal["s", "ms", "us", "ns"] | None = None
    relative: bool = False
    zoned: bool = False
    sql: str = ""
    clock: str | None = None


@dataclass(frozen=True)
class Roles:
    """What the tables are to each other.

    Attributes:
        labels: the rules that may be meant, the likeliest first; the first is taken.
        unused: tables that have no place, with the reason.
        joins: tables that belong to a column of the events that is neither the user nor the item.
    """

    events: Profile
    label: Label
    labels: tuple[Label, ...]
    time: TimeRole
    user: KeyRole | None
    item: KeyRole | None
    joins: tuple[Join, ...] = ()
    unused: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class Stated:
    """What a person said; None where nothing was."""

    events: str | None = None
    label: Label | None = None
    time: str | None = None
    user: str | None = None
    item: str | None = None


def find_roles(
    connection: duckdb.DuckDBPyConnection, profiles: Sequence[Profile], stated: Stated | None = None
) -> Roles:
    """Finds out what the tables are to each other.

    Args:
        connection: holds the samples.
        profiles: of all tables.
        stated: what need not be found out. `none` as time, user or item says that there is none.
    """
    stated = stated or Stated()
    matches = {one.table.name: _matches(connection, one, profiles) for one in profiles}
    labels = {
        one.table.name: label_candidates(connection, one.table, one.columns, headed=one.headed) for one in profiles
    }
    if stated.events is not None:
        events = next(one for one in profiles if one.table.name == stated.events)
    else:
        events = max(profiles, key=lambda one: _events_score(one, labels[one.table.name], matches[one.table.name]))
    ranked = [label for label in labels[events.table.name] if label.column != stated.time]
    label = stated.label or ranked[0]
    time = _time(events, stated.time, label)
    slate = label.kind in {"slate", "pairs"}
    shown = _join_shown(connection, events, profiles, label) if slate else None
    joins = _assigned([j for j in matches[events.table.name] if shown is None or j.profile is not shown.profile])
    user, item = _keys(events, joins, label, time, stated, shown)
    if label.kind == "chosen" and item is None and stated.label is None:
        others = [one for one in ranked if one.kind != "chosen"]
        label = others[0] if others else label
    taken = {role.column for role in (user, item) if role is not None}
    more = [j for j in joins if j.to not in taken]
    used = {events.table.name, *(j.profile.table.name for j in joins)}
    used |= {shown.profile.table.name} if shown is not None else set()
    user, item, chained = _chained(connection, profiles, used, user, item)
    unused = [
        (one.table.name, "no column of it meets the events row by row")
        for one in profiles
        if one.table.name not in used | chained
    ]
    return Roles(events, label, tuple(ranked), time, user, item, tuple(more), tuple(unused))


def _events_score(profile: Profile, labels: Sequence[Label], matches: Sequence[Join]) -> float:
    best = max((label.score for label in labels if label.kind != "chosen"), default=0.0)
    timed = max((of_time(c.name) for c in profile.columns if c.type == "time" or _epoch(c)), default=0) > 0
    size = len(str(max(profile.table.rows, 1)))
    return 8.0 * len(_assigned(matches)) + best + 4.0 * timed + size


def _keylike(column: Column) -> bool:
    return column.type in {"integer", "text"} and column.filled > 0 and column.shape.words < 3


def _matches(connection: duckdb.DuckDBPyConnection, events: Profile, profiles: Sequence[Profile]) -> list[Join]:
    """Every (column, other table's key) whose values meet, the best first."""
    found = []
    for other in profiles:
        if other is events:
            continue
        for column, key in product(events.columns, other.columns):
            if not (_keylike(column) and _keylike(key)) or column.distinct < 2:
                continue
            same = events.headed and other.headed and _same_name(column.name, key.name, other.table.name)
            versions = None
            if key.unique_share < (0.9 if same else 0.98):
                versions = _versions(events, other, key) if same and other.table.rows < events.table.rows else None
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


def _other_noun(column: Column, key: Column) -> bool:
    """`userId` is no key of `movieId`, whatever numbers they share."""
    ours, theirs = _nouns(column.name), _nouns(key.name)
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
    times = [c for c in other.columns if (c.type == "time" or _epoch(c)) and c.name != key.name]
    ours = {column.name.lower() for column in events.columns if _keylike(column)}
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
        f"coalesce(sum(n) FILTER ({_SPELLED} IN (SELECT {_SPELLED} FROM {right})), 0) / greatest(sum(n), 1) FROM {left}"
    ).replace("{v}", "v")
    plain, alike = connection.execute(query).fetchone() or (0.0, 0.0)
    plain, alike = float(plain or 0), float(alike or 0)
    return (alike, True) if alike > plain + 0.02 else (plain, False)


def _assigned(matches: Sequence[Join]) -> list[Join]:
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


def _chained(
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
                for join in _assigned(_matches(connection, role.join.profile, [role.join.profile, *rest]))
                if join.versions is None
            ]
            seen = {join.profile.table.name for join in more}
            for other in rest:
                if other.table.name in seen:
                    continue
                more += [j for j in _matches(connection, role.join.profile, [other]) if j.versions is None][:1]
        roles.append(replace(role, more=tuple(more)) if role is not None else None)
        chained |= {join.profile.table.name for join in more}
    return roles[0], roles[1], chained


def _owner_of_table(profile: Profile) -> float:
    """Positive for things, negative for persons."""
    named = of_item(profile.table.name) - of_user(profile.table.name)
    texts = sum(c.shape.words > 1.5 or c.type == "list" for c in profile.columns)
    found = sum(bool(set(c.words) & _MATERIAL) - bool(set(c.words) & _PERSONAL) for c in profile.columns)
    return named + 2.0 * found + texts


def key_candidates(events: Profile, owner: EntityName, label: Label, time: TimeRole) -> list[tuple[float, Column]]:
    """Columns of the events that may be the person's, or the thing's, with how much speaks for each."""
    speaks = of_user if owner == "user" else of_item
    found = []
    for column in events.columns:
        if column.name in {label.column, label.second, time.column} and label.kind not in {"slate", "pairs"}:
            continue
        if not (_keylike(column) or (owner == "item" and column.shape.words >= 3 and speaks(column.name) >= 4)):
            continue
        if column.distinct < 2 or column.filled < 0.5 * column.rows or of_outcome(column.name):
            continue
        score = float(speaks(column.name))
        if column.unique_share > 0.95 and column.rows > 1000 and owner == "user":
            score -= 3
        if column.distinct <= 3:
            score -= 3
        elif owner == "item" and column.distinct < 20 and column.rows > 1000 and not _called_key(column):
            score -= 9  # the job of a person in a table of a bank
        if score > 0:
            found.append((score, column))
    return sorted(found, key=lambda one: -one[0])


def _called_key(column: Column) -> bool:
    return column.words[-1:] in {("id",), ("key",), ("code",), ("no",), ("sku",), ("asin",), ("isbn",)}


def _keys(
    events: Profile, joins: Sequence[Join], label: Label, time: TimeRole, stated: Stated, join_shown: Join | None
) -> tuple[KeyRole | None, KeyRole | None]:
    """The person's and the thing's columns, from names and from the tables that join them."""
    joined = {join.to: join for join in joins}
    slate = label.kind in {"slate", "pairs"}
    found: dict[EntityName, KeyRole | None] = {}
    owners: tuple[EntityName, ...] = ("user", "item")
    for owner in owners:
        said = stated.user if owner == "user" else stated.item
        taken = {role.column for role in found.values() if role is not None}
        if said == "none" or (owner == "item" and slate):
            found[owner] = None
            continue
        if said is not None:
            found[owner] = KeyRole(said, said, "as stated", True, joined.get(said))
            continue
        found[owner] = _key(events, owner, joined, label, time, taken)
    if slate:
        found["item"] = _shown_key(events, label, join_shown)
    if label.kind == "counts" and stated.item is None:
        found["item"] = _package_key(events, found["item"]) or found["item"]
    acts = time.column is not None or bool(joined) or slate or label.kind == "chosen" or "scale" in label.reason
    if acts and len(events.columns) <= 6 and (not events.headed or found["user"] is found["item"] is None):
        _by_place(events, joined, label, time, stated, found)
    return found["user"], found["item"]


def _key(
    events: Profile, owner: EntityName, joined: dict[str, Join], label: Label, time: TimeRole, taken: set[str]
) -> KeyRole | None:
    sign = 1.0 if owner == "item" else -1.0
    named = {column.name: score for score, column in key_candidates(events, owner, label, time)}
    other = {
        column.name: score
        for score, column in key_candidates(events, "user" if owner == "item" else "item", label, time)
    }
    scores: dict[str, float] = {}
    for name in {*named, *joined}:
        if name in taken or name in {time.column, label.column}:
            continue
        score = named.get(name, 0.0)
        if name in joined:
            side = sign * _owner_of_table(joined[name].profile)
            score += 4.0 if side > 0 or (named.get(name) and not other.get(name)) else -4.0 if side < 0 else 0.0
        if other.get(name, 0.0) > score:
            continue
        scores[name] = score
    best = max(scores, key=lambda name: (scores[name], events.column(name).distinct), default=None)
    if best is None or scores[best] <= 0:
        return None
    join = joined.get(best)
    why = f"its name speaks of {'a person' if owner == 'user' else 'a thing'}" if named.get(best) else ""
    if join is not None:
        met = f"{join.share:.0%} of the events find their row in {join.profile.table.name!r}"
        why = f"{why}, and {met}" if why else met
    return KeyRole(best, best, why, scores[best] >= 4, join)


def _join_shown(
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
            if other is events or not _keylike(key) or key.unique_share < 0.98:
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


def _shown_key(events: Profile, label: Label, join: Join | None) -> KeyRole:
    """The thing of a slate: named after the list that shows it, or after its table's key."""
    kept = [word for word in words(label.column) if word not in {"ids", "id", "inview", "shown", "list", "viewed"}]
    thing = noun(" ".join(kept), "item") or "item"
    taken = {column.name.lower() for column in events.columns}
    name = next(n for n in (f"{thing}_id", f"shown_{thing}_id", "candidate_id") if n not in taken)
    if join is not None and join.profile.headed and len(words(join.key)) > 1 and join.key.lower() not in taken:
        name = join.key
    return KeyRole(label.column, name, f"each of what {label.column!r} lists is an event of its own", True, join)


def _package_key(events: Profile, role: KeyRole | None) -> KeyRole | None:
    """Where each row shows another text, the thing is what the row shows: its texts, with the picture beside them."""
    texts = [c for c in events.columns if c.type == "text" and c.shape.words >= 3 and c.filled > 0.5 * c.rows]
    if not texts or (role is not None and (role.join is not None or role.column in {c.name for c in texts})):
        return None
    most = max(c.distinct for c in texts)
    if role is not None and events.column(role.column).distinct > most:
        return None
    parts = [*([events.column(role.column)] if role is not None else []), *texts]
    joined = ", ".join(f"coalesce({text_sql(c.name, c.sql_type)}, '')" for c in parts)
    taken = {column.name.lower() for column in events.columns}
    name = next(n for n in ("package_id", "shown_id", "shown_package_id") if n not in taken)
    reason = f"what a row shows: {', '.join(repr(c.name) for c in parts)} together"
    return KeyRole(name, name, reason, False, sql=f"substr(md5(concat_ws(chr(10), {joined})), 1, 12)")


def _large(events: Profile, label: Label, time: TimeRole) -> list[Column]:
    """Columns of many values that come again, in their order."""
    return [
        c for c in events.columns
        if _keylike(c) and c.name not in {label.column, label.second, time.column} and c.distinct > 10
        and not (events.headed and (is_measure(c.name) or set(c.words) & (_PERSONAL | _MATERIAL)))
        and not c.shape.opaque.startswith("addr") and (c.unique_share < 0.9 or c.rows < 100)
    ]  # fmt: skip


def _by_place(
    events: Profile, joined: dict[str, Join], label: Label, time: TimeRole, stated: Stated,
    found: dict[EntityName, KeyRole | None],
) -> None:  # fmt: skip
    """Without names: what joins tables, else the first column of many values is the person, the second the thing."""
    large = [column.name for column in _large(events, label, time)][:2]
    if len(large) < 2 and found["item"] is None:
        return
    for owner, name in zip(("user", "item"), large, strict=False):
        key: EntityName = "user" if owner == "user" else "item"
        said = stated.user if key == "user" else stated.item
        other = found["item" if key == "user" else "user"]
        if found[key] is None and said is None and (other is None or other.column != name):
            reason = f"no name says it; it is the {'first' if key == 'user' else 'second'} column of many values"
            found[key] = KeyRole(name, name, reason, False, joined.get(name))


def time_candidates(events: Profile) -> list[tuple[float, Column]]:
    """Columns that may say when an event happened, with how much speaks for each."""
    found = []
    for column in events.columns:
        named = of_time(column.name)
        if column.filled < 0.5 * column.rows or column.distinct < 2:
            continue
        fine = min(column.distinct / 50, 2.0)
        if column.type == "time":
            found.append((4.0 + named + fine, column))
        elif _epoch(column) and (named > 0 or not events.headed or (named == 0 and _epoch_alone(column))):
            found.append((3.0 + named + fine, column))
        elif column.type == "integer" and _week(column):
            found.append((2.0, column))
        elif column.type == "text" and _object_id(column):
            found.append((2.5 if column.unique_share < 0.5 else 2.2, column))
        elif column.type == "integer" and named >= 1 and column.distinct > 20 and _from_origin(column):
            found.append((0.5 + named / 4, column))
    return sorted(found, key=lambda one: -one[0])


def _week(column: Column) -> bool:
    """Weeks such as 201446."""
    if "week" not in column.words or column.low is None or column.high is None:
        return False
    return column.low >= 199001 and column.high <= 204053 and all(1 <= int(float(t)) % 100 <= 53 for t, _ in column.top)


def _object_id(column: Column) -> bool:
    """MongoDB's ids: 24 hexadecimal digits, of which the first 8 are the second in which they were given."""
    texts = [text for text, _ in column.texts[:200]]
    if not texts or not all(re.fullmatch(r"[0-9a-f]{24}", text) for text in texts):
        return False
    return all(_FROM_S <= int(text[:8], 16) <= _TO_S for text in texts)


def _from_origin(column: Column) -> bool:
    """A count that goes on, unlike the hour of a day."""
    ends = {"hour": 24, "day": 31, "week": 53, "minute": 60, "month": 12, "weekday": 7}
    top = max((end for word, end in ends.items() if word in column.words), default=0)
    return (column.low or 0) >= 0 and (column.high or 0) > top


def _epoch(column: Column) -> bool:
    return _unit(column) is not None


def _unit(column: Column) -> Literal["s", "ms", "us", "ns"] | None:
    """The unit in which all values lie between 1990 and 2040."""
    if column.type != "integer" or column.low is None or column.high is None or column.distinct < 2:
        return None
    for unit, per_second in _EPOCHS:
        low, high = (_FROM_S * per_second, _TO_S * per_second)
        if low <= column.high <= high and (column.low >= low or column.low in {0.0, -1.0}):
            return unit  # type: ignore[return-value]
    return None


def _epoch_alone(column: Column) -> bool:
    """Numbers that look like moments although their name does not say so: many, and close together."""
    return (
        column.distinct > 0.3 * column.filled
        and column.span < 0.4 * (column.high or 1)
        and not any(word in {"id", "key", "code", "phone", "number"} for word in column.words)
    )


def _time(events: Profile, said: str | None, label: Label) -> TimeRole:
    if said == "none":
        return TimeRole(None, "as stated, there is none: the order of the rows stands for it", True)
    ranked = [(score, c) for score, c in time_candidates(events) if c.name not in {label.column, label.second}]
    column = events.column(said) if said is not None else ranked[0][1] if ranked else None
    if column is None:
        return TimeRole(None, "no column says when an event happened: the order of the rows stands for it", False)
    score = 10.0 if said is not None else ranked[0][0]
    rivals = [c.name for s, c in ranked[1:] if s > score - 1.5]
    if column.type == "time":
        clock = _clock(events, column)
        if clock is not None:
            said_of = f"it holds the day and {clock!r} the time of day, and they tell no zone, so UTC is taken"
            return TimeRole(column.name, said_of, True, clock=clock)
        zone = "they tell their zone" if column.shape.zoned else "they tell no zone, so UTC is taken"
        also = f"; {', '.join(rivals)} might be meant" if rivals else ""
        return TimeRole(column.name, f"it holds moments, and {zone}{also}", not rivals, zoned=column.shape.zoned)
    if _week(column):
        sql = "TRY_STRPTIME({v} || '1', '%G%V%u')"
        return TimeRole(column.name, "it counts weeks, each taken as its Monday", True, sql=sql)
    if column.type == "text" and _object_id(column):
        sql = "to_timestamp(CAST('0x' || substr({v}, 1, 8) AS BIGINT))"
        return TimeRole(
            column.name, "its ids begin with the second in which they were given", False, zoned=True, sql=sql
        )
    unit = _unit(column)
    if unit is not None:
        return TimeRole(
            column.name, f"in {unit} since 1970 its values lie between 1990 and 2040", score >= 5, unit=unit
        )
    return _counted(column)


def _clock(events: Profile, day: Column) -> str | None:
    """The column that has the time of day, `17:05` or `17:05:59`, of one that has days alone."""
    if day.shape.zoned or any(re.search(r"\d:\d\d(?!.*00:00:00$)", text) for text, _ in day.texts):
        return None
    clocks = [
        c.name for c in events.columns
        if c.filled >= 0.5 * c.rows and (
            c.sql_type == "TIME"
            or (c.type == "text" and all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?", t.strip()) for t, _ in c.texts))
        )
    ]  # fmt: skip
    named = [name for name in clocks if of_time(name) > 0]
    return (named or clocks)[0] if len(clocks) == 1 or len(named) == 1 else None


def _counted(column: Column) -> TimeRole:
    """A count from an origin of its own, such as days since a study began."""
    each = next(
        (s for word, s in (("day", 86400), ("week", 604800), ("hour", 3600), ("minute", 60)) if word in column.words), 1
    )
    if each == 1 and (column.high or 0) > 4e9:
        sql, what = "to_timestamp(1577836800 + {v} / 1000.0)", "milliseconds"
    else:
        what = {1: "seconds", 60: "minutes", 3600: "hours", 86400: "days", 604800: "weeks"}[each]
        sql = f"to_timestamp(1577836800 + {{v}} * {each})"
    reason = f"it counts from an origin of its own, taken as {what} from 2020 on"
    return TimeRole(column.name, reason, False, relative=True, zoned=True, sql=sql)
