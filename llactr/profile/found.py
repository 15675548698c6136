"""What a draft takes tables and columns for: the events, keys, the moment, and tables that join there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column
from llactr.profile.reading import Opened

__all__ = ["EntityName", "Join", "KeyRole", "Profile", "Roles", "Stated", "TimeRole"]

EntityName = Literal["user", "item"]


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
        parts: columns that hold its year, month, day and so on; this one is the year's.
    """

    column: str | None
    reason: str
    sure: bool
    unit: Literal["s", "ms", "us", "ns"] | None = None
    relative: bool = False
    zoned: bool = False
    sql: str = ""
    clock: str | None = None
    parts: tuple[str, ...] = ()


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
    """What a person said; None where nothing was. `needs` are columns that the events have to have."""

    events: str | None = None
    label: Label | None = None
    time: str | None = None
    user: str | None = None
    item: str | None = None
    needs: tuple[str, ...] = ()
