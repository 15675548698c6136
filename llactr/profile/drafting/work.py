"""What a draft holds, and what is known while it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import duckdb

from llactr.profile.describe import Nouns
from llactr.profile.events_sql import EventRows
from llactr.profile.facts import Column
from llactr.profile.found import Roles
from llactr.profile.reading import Opened

__all__ = ["ROW_TIME", "Draft", "FieldDraft", "LeftOut", "Order", "Owner", "SourceDraft", "Work"]

Owner = str
Order = Literal["auto", "file", "random"]
ROW_TIME = "row_time"
"""The made-up time of rows that have none: their order."""


@dataclass(frozen=True)
class FieldDraft:
    """A field as drafted.

    Attributes:
        name: of the field, and of its column in a written table.
        column: in the table it comes from.
        table: that table's name; `sql` reads the value there.
        described: the description; `reason` and `facts` stand in comments.
        sure: whether a person need not look.
        settings: beside name, owner, kind and description.
        plain: whether the source is read as it stands for this field.
    """

    name: str
    column: str
    table: str
    owner: Owner
    kind: str
    described: str
    reason: str
    facts: str
    sure: bool
    sql: str
    plain: bool
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    """A column that no field reads, and why; `sure` where a person need not look."""

    column: str
    table: str
    reason: str
    facts: str = ""
    sure: bool = True


@dataclass(frozen=True)
class SourceDraft:
    """A table that the spec reads.

    Attributes:
        name: in the spec.
        table: what is read as it stands; None for one that is written.
        query: SQL of a table that is written; empty for one that is read as it stands.
        why: reasons for writing it.
    """

    name: str
    table: Opened | None
    query: str = ""
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A spec as drafted.

    Attributes:
        timestamp: as the spec has it, likewise `label` and the join keys.
        findings: what would spoil the result.
        costs: what the data do not allow.
        notes: reasons by the spec's top-level key.
        unsure: the keys of `notes` that a person should look at.
        repository: the folder of the user's own Feast repository; empty for none.
    """

    name: str
    description: str
    sources: tuple[SourceDraft, ...]
    events: str
    timestamp: dict[str, Any]
    label: dict[str, Any]
    entities: dict[str, dict[str, Any]]
    fields: tuple[FieldDraft, ...]
    left_out: tuple[LeftOut, ...]
    notes: dict[str, str]
    unsure: frozenset[str]
    findings: tuple[str, ...]
    costs: tuple[str, ...]
    nouns: Nouns
    rows: int
    positives: float
    repository: str = ""


@dataclass
class Work:
    """What is known while a draft is made."""

    connection: duckdb.DuckDBPyConnection
    roles: Roles
    rows: EventRows
    columns: list[Column]
    moment: str
    label: str
    nouns: Nouns
    zone: str
    fields: list[FieldDraft] = field(default_factory=list)
    left: list[LeftOut] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    costs: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    late: list[str] = field(default_factory=list)
    means: list[str] = field(default_factory=list)
    lost_moments: int = 0

    @property
    def table(self) -> str:
        """The name of the events' table."""
        return self.roles.events.table.name
