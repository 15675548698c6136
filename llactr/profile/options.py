"""What a person says beside the tables, and what of it cannot be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from llactr.errors import InputError
from llactr.profile.drafting.work import Order
from llactr.profile.found import Profile, Roles, Stated
from llactr.profile.reading import SAMPLE_ROWS
from llactr.profile.spec_yaml import tables_folder
from llactr.profile.stated import stated_label

__all__ = ["StartOptions", "refuse_kept", "refuse_options", "stated_of", "with_label"]


@dataclass(frozen=True)
class StartOptions:
    """What a person says beside the tables; None where it is to be found out.

    Attributes:
        out: the spec's file.
        label: a column, `column > number`, `column = value`, or `none` where every row is a choice.
        user: a column of the events, or `none`; likewise `item` and `time`.
        order: of rows without a time.
        keep: columns that become fields although something speaks against them.
        force: replace a spec and its tables.
    """

    out: Path
    name: str | None = None
    events: str | None = None
    label: str | None = None
    user: str | None = None
    item: str | None = None
    time: str | None = None
    zone: str = "UTC"
    order: Order = "auto"
    seed: int = 0
    keep: tuple[str, ...] = ()
    force: bool = False
    sample_rows: int = SAMPLE_ROWS


def refuse_options(options: StartOptions) -> None:
    """Refuses what is wrong whatever the tables hold.

    Raises:
        InputError: the spec is there already or no YAML file, or the zone is unknown.
    """
    if options.out.suffix not in {".yaml", ".yml"}:
        raise InputError(f"--out is {str(options.out)!r}: give the name of a .yaml file")
    try:
        ZoneInfo(options.zone)
    except (OSError, ValueError, KeyError):
        raise InputError(f"--zone is {options.zone!r}: give a name such as UTC or Europe/Berlin") from None
    if options.force:
        return
    for path in (options.out, tables_folder(options.out)):
        if path.exists():
            raise InputError(f"{path} is there already: give another --out, or --force to replace it")


def refuse_kept(profiles: Sequence[Profile], options: StartOptions) -> None:
    """Refuses columns to keep that no table has.

    Raises:
        InputError: there is one.
    """
    known = {column.name for one in profiles for column in one.columns}
    for column in options.keep:
        if column not in known:
            raise InputError(f"--keep is {column!r}: the columns are {', '.join(sorted(known))}")


def stated_of(profiles: Sequence[Profile], options: StartOptions) -> Stated:
    """What the options say of the tables.

    Raises:
        InputError: they name a table or a column that is not there.
    """
    names = [one.table.name for one in profiles]
    events = options.events
    if events is not None:
        by_file = {path.name: one.table.name for one in profiles for path in one.table.files}
        by_file |= {path.stem: one.table.name for one in profiles for path in one.table.files}
        events = events if events in names else by_file.get(Path(events).name)
        if events is None:
            raise InputError(f"--events is {options.events!r}: the tables are {', '.join(names)}")
    known = {column.name for one in profiles for column in one.columns}
    named = [options.time, re.split(r"\s*[=>]", (options.label or "").strip())[0]]
    needs = tuple(dict.fromkeys(name for name in named if name in known))
    return Stated(events=events, time=options.time, user=options.user, item=options.item, needs=needs)


def with_label(roles: Roles, text: str | None) -> Roles:
    """The roles with the label that a person wrote.

    Raises:
        InputError: it names no column, or cannot be.
    """
    if text is None:
        return roles
    try:
        return replace(roles, label=stated_label(text, roles.events.columns))
    except ValueError as error:
        raise InputError(str(error)) from None
