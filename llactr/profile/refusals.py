"""What cannot be drafted from, each with a sentence that says what would mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from llactr.errors import DataError, InputError
from llactr.profile.drafting.work import Draft
from llactr.profile.facts import Column
from llactr.profile.found import Profile, Roles
from llactr.profile.names import of_item, of_user
from llactr.profile.reading import Opened
from llactr.profile.stated import one_sided

__all__ = ["refuse_empty", "refuse_hopeless", "refuse_labelless", "refuse_roles"]

_MATRIX = 20
"""Columns alike, from which on a table is taken for a matrix."""


def refuse_empty(tables: Sequence[Opened]) -> None:
    """Refuses tables without rows.

    Raises:
        DataError: one has none.
    """
    for table in tables:
        if not table.rows:
            raise DataError(f"{table.files[0]} has names of columns and no rows: give a table with rows")
        lists = [name for name, kind in table.columns.items() if kind.endswith("[]")]
        if table.format == "json" and table.rows == 1 and lists:
            raise DataError(f"{table.files[0]} is one record, and {lists[0]!r} holds a list: write that list alone")


def refuse_roles(roles: Roles) -> None:
    """Refuses columns that a person named for what they cannot be.

    Raises:
        InputError: one is not there, is named for two things, or tells no time.
    """
    has = [column.name for column in roles.events.columns]
    named = {"--user": roles.user, "--item": roles.item, "--time": roles.time}
    columns = {flag: role.column for flag, role in named.items() if role is not None and role.column is not None}
    made = {flag for flag, role in (("--user", roles.user), ("--item", roles.item)) if role is not None and role.sql}
    for flag, name in columns.items():
        if name not in has and flag not in made:
            raise InputError(
                f"{flag} is {name!r}: the events in {roles.events.table.name!r} have {', '.join(has)}, or say none"
            )
    if roles.label.kind in {"column", "above", "equals"}:
        columns = {"--label": roles.label.column, **columns}
    taken: dict[str, str] = {}
    for flag, name in columns.items():
        if name in taken:
            raise InputError(f"{taken[name]} and {flag} both name {name!r}: each needs a column of its own, or none")
        taken[name] = flag
    if roles.time.relative:
        column = roles.events.column(roles.time.column or "")
        if column.type not in {"integer", "number"} or column.distinct <= 2:
            raise InputError(
                f"--time is {column.name!r}, which holds {column.said()}: name a column of moments or of numbers that "
                "count up, or say none"
            )


def refuse_labelless(roles: Roles, *, stated: bool) -> None:
    """Refuses tables in which nothing can be predicted.

    Raises:
        DataError: none says what was a click, nor what was chosen; or the label, unless it is `stated`, has one value.
    """
    if roles.label.kind == "chosen" and not stated:
        _refuse_matrix(roles.events)
    found = one_sided(roles.events.columns) if roles.label.kind == "chosen" and not stated else None
    if found is not None:
        raise DataError(f"{found[1]}; or say --label none where every row is a choice")
    if roles.label.kind == "chosen" and roles.item is None:
        has = ", ".join(column.name for column in roles.events.columns)
        raise DataError(
            "no column tells what was a click, and none says which thing was chosen: say one of them by --label (as in "
            f"'bought', 'stars > 3', 'action = buy') or --item; {roles.events.table.name!r} has {has}"
        )


def _refuse_matrix(events: Profile) -> None:
    """Refuses a row a person and a column a thing: `User1, User2, ...`, or numbers of one range without names.

    Raises:
        DataError: the table is such a matrix.
    """
    columns = [c for c in events.columns if c.type in {"integer", "number"} and c.filled]
    if events.headed:
        keyed = [c for c in columns if len(c.words) == 2 and c.words[1].isdigit()]
        keyed = [c for c in keyed if of_user(c.words[0]) > 0 or of_item(c.words[0]) > 0]
    else:
        ends = Counter((c.low, c.high) for c in columns)
        range_ = max(ends, key=lambda one: ends[one], default=None)
        near = range_ is not None and range_[0] is not None and range_[1] is not None and range_[1] - range_[0] > 1
        keyed = [c for c in columns if _within(c, range_)] if near else []
    if len(keyed) < _MATRIX or len(keyed) < 0.9 * len(events.columns):
        return
    names = ", ".join(column.name for column in keyed[:3])
    raise DataError(
        f"{events.table.name!r} looks like a matrix of persons and things ({names} and so on, {len(keyed)} columns): "
        "write a row for each rating, with the person, the thing and the rating, as by melt of pandas"
    )


def _within(column: Column, ends: tuple[float | None, float | None] | None) -> bool:
    """Whether a column's numbers reach as far as those of most, up to a tenth of the way."""
    if ends is None or None in {*ends, column.low, column.high}:
        return False
    low, high = ends
    reach = 0.1 * ((high or 0) - (low or 0))
    return abs((column.low or 0) - (low or 0)) <= reach and abs((column.high or 0) - (high or 0)) <= reach


def refuse_hopeless(draft: Draft, roles: Roles) -> None:
    """Refuses a draft without rows, with one class, or with fewer than two fields.

    Raises:
        DataError: it is one of these.
    """
    if draft.rows == 0:
        raise DataError("no row has a label, its keys and a moment: say the columns by --label, --user, --item, --time")
    if draft.positives in {0.0, 1.0}:
        raise DataError(
            f"by the label rule {roles.label.words!r} all {draft.rows:,} rows are"
            f" {'clicks' if draft.positives else 'no clicks'}: say another one by --label"
        )
    if len(draft.fields) < 2:
        few = f"only {draft.fields[0].name!r} can be one" if draft.fields else "no column can be one"
        why = "".join(f"; {left.column}: {left.reason}" for left in draft.left_out if left.column)[:600]
        raise DataError(
            f"a spec needs two fields, and {few}: give a table with more columns, or say --keep COLUMN{why}"
        )
