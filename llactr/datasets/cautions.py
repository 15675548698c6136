"""What an ingest finds odd, in sentences: events that match no user or item, dates that hardly can be, infinities.

None of it is wrong by itself, so nothing is changed; but a model trained on it would be another one than was meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from pydantic import BaseModel, ConfigDict

from llactr.columns import EVENT_TIMESTAMP
from llactr.spec import DatasetSpec, NumericField, TimestampSpec
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.transforms import raw_column

__all__ = ["LIMIT", "UnmatchedKeys", "odd_periods", "odd_values", "rows_ahead", "unmatched_keys"]

LIMIT = 0.05
"""The share of events without a row in an entity's table from which on it is worth a word."""
_EXAMPLES = 3
_SAMPLE = 1000
_EARLY = datetime(1990, 1, 1, tzinfo=UTC)
_UNIT_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
# How a key of one file may differ from the same key of another; in this order where several are undone.
_SPELLINGS = {
    "spaces at the ends": r"regexp_replace({key}, '^\s+|\s+$', '', 'g')",
    "'.0' at the end": r"regexp_replace({key}, '^(-?[0-9]+)\.0+$', '\1')",
    "zeros at the front": r"regexp_replace({key}, '^0+([0-9])', '\1')",
    "capital letters": "lower({key})",
}


class UnmatchedKeys(BaseModel):
    """Events whose user or item has no row in its table: its features are null there.

    Attributes:
        owner: `user` or `item`.
        key: the join key.
        rows: such events; `of` all of them.
        events: examples of keys that the events hold and the table does not.
        table: how the table spells these, or some of its keys where no spelling explains it.
        spelling: what the two differ by; empty where that is not known.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    key: str
    rows: int
    of: int
    events: tuple[str, ...]
    table: tuple[str, ...]
    spelling: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """All of it, and what would make them meet."""
        mend = (
            f"they would meet without {' and '.join(self.spelling)}: write the column alike in both"
            if self.spelling
            else "see that both columns hold the same kind of key, spelled alike"
        )
        return (
            f"{self.rows:,} of {self.of:,} events find no row in the {self.owner} table, and have none of its features:"
            f" {self.key!r} is {_quoted(self.events)} in the events and {_quoted(self.table)} in the table; {mend}"
        )


def unmatched_keys(spec: DatasetSpec, tables: Mapping[str, Sequence[Path]]) -> dict[str, UnmatchedKeys]:
    """Of each entity with a table, the events without a row there, where they are more than `LIMIT` of all.

    Args:
        spec: the dataset's spec.
        tables: the Parquet files of `events`, `user` and `item`.
    """
    events = parquet_scan(tables["events"])
    found = {}
    with connect() as connection:
        for owner, entity in spec.entities.items():
            if owner not in tables:
                continue
            key, table = quote_identifier(entity.join_key), parquet_scan(tables[owner])
            rows = _count(connection, f"FROM {events}")
            lost = _count(connection, f"FROM {events} ANTI JOIN {table} USING ({key})")
            if lost > LIMIT * rows:
                pairs, spelling = _respelled(connection, events, table, key)
                found[str(owner)] = UnmatchedKeys(
                    owner=owner,
                    key=entity.join_key,
                    rows=lost,
                    of=rows,
                    events=tuple(pair[0] for pair in pairs if pair[0]),
                    table=tuple(pair[1] for pair in pairs if pair[1]),
                    spelling=spelling,
                )
    return found


def odd_periods(
    spec: DatasetSpec, tables: Mapping[str, Sequence[Path]], *, now: datetime | None = None
) -> tuple[str, ...]:
    """Sentences about rows dated before 1990, which a wrong unit gives, and after now, which are not served yet.

    Args:
        spec: the dataset's spec.
        tables: the Parquet files of `events`, `user` and `item`.
        now: by default, now.
    """
    now = now or datetime.now(UTC)
    said = []
    with connect() as connection:
        for name, files in tables.items():
            entity = spec.entities.get(name)  # `events` is no entity
            time = spec.timestamp if name == "events" else entity.timestamp if entity else None
            rows, early, late, first, last = (
                column[0].as_py()
                for column in connection.execute(
                    f"SELECT count(*), count(*) FILTER ({EVENT_TIMESTAMP} < $early), "
                    f"count(*) FILTER ({EVENT_TIMESTAMP} > $now), min({EVENT_TIMESTAMP}), max({EVENT_TIMESTAMP}) "
                    f"FROM {parquet_scan(list(files))}",
                    {"early": _EARLY, "now": now},
                )
                .to_arrow_table()
                .columns
            )
            what = "events" if name == "events" else f"{name} rows"
            if early and time is not None:
                said.append(
                    f"{early:,} of {rows:,} {what} lie before 1990, the first at {_minute(first)}: check column "
                    f"{time.column!r}{_other_unit(time, first, last, now)}"
                )
            if late:
                why = "" if time is not None else ", as rows without a time of their own hold from the first event on"
                said.append(
                    f"{late:,} of {rows:,} {what} lie after now, the last at {_minute(last)}{why}: they are not "
                    "brought online before their time"
                )
    return tuple(said)


def odd_values(spec: DatasetSpec, tables: Mapping[str, Sequence[Path]]) -> tuple[str, ...]:
    """Sentences about infinite numbers in fields of the request: no JSON can carry them."""
    said = []
    with connect() as connection:
        for field in spec.owned_by("context"):
            if isinstance(field, NumericField):
                column = quote_identifier(raw_column(field))
                rows = _count(connection, f"FROM {parquet_scan(list(tables['events']))} WHERE isinf({column})")
                if rows:
                    said.append(
                        f"field {field.name!r} is infinite in {rows:,} events, and no request can say so: leave the "
                        "value out there, or write a number"
                    )
    return tuple(said)


def rows_ahead(tables: Mapping[str, Sequence[Path]], *, now: datetime | None = None) -> dict[str, int]:
    """How many rows of each table lie after now; tables without any are left out."""
    now = now or datetime.now(UTC)
    found = {}
    with connect() as connection:
        for name, files in tables.items():
            if files:
                scan = f"FROM {parquet_scan(list(files))} WHERE {EVENT_TIMESTAMP} > $now"
                found[name] = _count(connection, scan, now=now)
    return {name: rows for name, rows in found.items() if rows}


def _respelled(
    connection: duckdb.DuckDBPyConnection, events: str, table: str, key: str
) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Pairs of an event's key and the table's, and what they differ by: the fewest differences that explain most."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE known AS SELECT DISTINCT {key} AS key FROM {table}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE lost AS SELECT key FROM (SELECT DISTINCT {key} AS key FROM {events}) "
        f"WHERE key NOT IN (SELECT key FROM known) ORDER BY key LIMIT {_SAMPLE}"
    )
    best: list[tuple[str, str]] = []
    spelling: tuple[str, ...] = ()
    for count in range(1, len(_SPELLINGS) + 1):
        for some in itertools.combinations(_SPELLINGS, count):
            same = f"{_plain('lost.key', some)} = {_plain('known.key', some)}"
            pairs = connection.execute(
                f"SELECT lost.key, min(known.key) FROM lost JOIN known ON {same} GROUP BY 1 ORDER BY 1"
            ).fetchall()
            if len(pairs) > len(best):
                best, spelling = pairs, some
    if best:
        return best[:_EXAMPLES], spelling
    lost, known = (
        [row[0] for row in connection.execute(f"SELECT key FROM {name} ORDER BY 1 LIMIT {_EXAMPLES}").fetchall()]
        for name in ("lost", "known")
    )
    return list(itertools.zip_longest(lost, known, fillvalue="")), ()


def _plain(key: str, spellings: Sequence[str]) -> str:
    for name in spellings:
        key = _SPELLINGS[name].format(key=key)
    return key


def _other_unit(time: TimestampSpec, first: datetime, last: datetime, now: datetime) -> str:
    if time.unit is None:
        return ""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for unit, seconds in _UNIT_S.items():
        factor = seconds / _UNIT_S[time.unit]
        span = [(moment - epoch).total_seconds() * factor for moment in (first, last)]
        if all((_EARLY - epoch).total_seconds() < at < (now - epoch).total_seconds() + 86_400 for at in span):
            begin = epoch + timedelta(seconds=span[0])
            return f" and its 'unit' in the spec, now {time.unit}: read as {unit} it begins at {_minute(begin)}"
    return f" and its 'unit' in the spec, now {time.unit}"


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _quoted(keys: Sequence[str]) -> str:
    return ", ".join(map(repr, keys)) or "nothing"


def _count(connection: duckdb.DuckDBPyConnection, query: str, **values: datetime) -> int:
    row = connection.execute(f"SELECT count(*) {query}", values).fetchone()
    return int(row[0]) if row else 0
