"""Which table holds the events, which columns are the person, the thing and the moment, and which tables join there."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from llactr.profile.click_rule import Label
from llactr.profile.found import Join, Profile, Roles, Stated
from llactr.profile.joins import assign, chain, find_joins, join_shown, why_unused
from llactr.profile.keys import find_keys
from llactr.profile.labels import label_candidates
from llactr.profile.moments import find_time, is_epoch
from llactr.profile.names import of_time

__all__ = ["find_roles"]


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
    matches = {one.table.name: find_joins(connection, one, profiles) for one in profiles}
    labels = {
        one.table.name: label_candidates(connection, one.table, one.columns, headed=one.headed) for one in profiles
    }
    if stated.events is not None:
        events = next(one for one in profiles if one.table.name == stated.events)
    else:
        able = [one for one in profiles if set(stated.needs) <= {column.name for column in one.columns}] or profiles
        events = max(able, key=lambda one: _events_score(one, labels[one.table.name], matches[one.table.name]))
    ranked = [label for label in labels[events.table.name] if label.column != stated.time]
    label = stated.label or ranked[0]
    time = find_time(events, stated.time, label)
    slate = label.kind in {"slate", "pairs"}
    shown = join_shown(connection, events, profiles, label) if slate else None
    joins = assign([j for j in matches[events.table.name] if shown is None or j.profile is not shown.profile])
    user, item = find_keys(events, joins, label, time, stated, shown)
    if label.kind == "chosen" and item is None and stated.label is None:
        others = [one for one in ranked if one.kind != "chosen"]
        label = others[0] if others else label
    taken = {role.column for role in (user, item) if role is not None}
    more = [j for j in joins if j.to not in taken]
    used = {events.table.name, *(j.profile.table.name for j in joins)}
    used |= {shown.profile.table.name} if shown is not None else set()
    user, item, chained = chain(connection, profiles, used, user, item)
    unused = [(one.table.name, why_unused(events, one)) for one in profiles if one.table.name not in used | chained]
    return Roles(events, label, tuple(ranked), time, user, item, tuple(more), tuple(unused))


def _events_score(profile: Profile, labels: Sequence[Label], matches: Sequence[Join]) -> float:
    best = max((label.score for label in labels if label.kind != "chosen"), default=0.0)
    timed = max((of_time(c.name) for c in profile.columns if c.type == "time" or is_epoch(c)), default=0) > 0
    size = len(str(max(profile.table.rows, 1)))
    return 8.0 * len(assign(matches)) + best + 4.0 * timed + size
