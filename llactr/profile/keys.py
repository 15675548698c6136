"""Which columns of the events are the person and the thing."""

from __future__ import annotations

from collections.abc import Sequence

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column, text_sql
from llactr.profile.found import EntityName, Join, KeyRole, Profile, Stated, TimeRole
from llactr.profile.joins import keylike
from llactr.profile.names import is_measure, noun, of_item, of_outcome, of_user, words

__all__ = ["find_keys", "key_candidates"]

_PERSONAL = {"age", "gender", "sex", "occupation", "income", "zip", "zipcode", "city", "education", "marital", "birth",
             "household", "registered", "country", "job", "spent", "town", "nationality", "profession",
             "yob"}  # fmt: skip
_MATERIAL = {"title", "genre", "genres", "price", "category", "brand", "author", "publisher", "colour", "color", "tags",
             "description", "artist", "album", "developer", "department", "manufacturer", "year", "size",
             "headline"}  # fmt: skip


_NAMELESS = 8
"""Columns without names, up to which the order of them tells the person and the thing."""


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
        if not (keylike(column) or (owner == "item" and column.shape.words >= 3 and speaks(column.name) >= 4)):
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


def find_keys(
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
    acts = time.column is not None or bool(joined) or slate or label.kind == "chosen" or bool(label.holds)
    few = len(events.columns) <= (6 if events.headed else _NAMELESS)
    if acts and few and (not events.headed or found["user"] is found["item"] is None):
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
        if keylike(c) and c.name not in {label.column, label.second, time.column} and c.distinct > 10
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
