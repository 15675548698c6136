"""The facts of a column: what its values are, how many there are, which come most often, how far they reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import duckdb

from llactr.profile.names import of_time, words
from llactr.profile.reading import Opened
from llactr.profile.shapes import MISSING, POINT_ZERO, Shape, shape_of
from llactr.sql import quote_identifier

__all__ = ["Column", "ColumnType", "columns_of", "number_of", "text_sql"]

ColumnType = Literal["empty", "boolean", "integer", "number", "time", "list", "text", "other"]
_COMMON, _RARE = 1500, 1500
_LISTS = {"tag", "tags", "ids", "genres", "categories", "topics", "labels", "keywords", "skills", "tokens"}


@dataclass(frozen=True)
class Column:
    """A column of a sample.

    Attributes:
        name: in its table.
        sql_type: DuckDB's.
        type: of its values, whatever holds them: digits in a text are an integer.
        shape: of its texts; of typed columns, plain.
        rows: of the sample; `nulls` of them hold nothing.
        distinct: different values.
        top: the most frequent, as text, with their rows.
        low: the least number, `high` the greatest; None for other types.
        texts: some of its values, with their rows.
        listed: whether the values are Arrow lists.
    """

    name: str
    sql_type: str
    type: ColumnType
    shape: Shape
    rows: int
    nulls: int
    distinct: int
    top: tuple[tuple[str, int], ...]
    texts: tuple[tuple[str, int], ...]
    low: float | None = None
    high: float | None = None

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.nulls

    @property
    def listed(self) -> bool:
        """Whether a value is a list, not a text of one."""
        return self.sql_type.endswith("[]")

    @property
    def unique_share(self) -> float:
        """Different values a row with a value."""
        return self.distinct / self.filled if self.filled else 0.0

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of its name."""
        return words(self.name)

    @property
    def span(self) -> float:
        """From the least to the greatest number."""
        return (self.high or 0.0) - (self.low or 0.0)

    @property
    def value(self) -> str:
        """SQL of its value in its type; `text_sql` has it as text."""
        name = quote_identifier(self.name)
        if self.shape.sql and not (self.shape.kind == "list" and not self.shape.sql):
            return (
                self.shape.sql.replace("{v}", text_sql(self.name, self.sql_type)).replace("{{", "{").replace("}}", "}")
            )
        return name if self.sql_type != "JSON" else text_sql(self.name, self.sql_type)

    def said(self, *, most: int = 3) -> str:
        """Distinct values, nulls, the most frequent values and the range, in short."""
        parts = [f"{self.distinct:,} distinct"]
        if self.nulls:
            parts.append(f"{self.nulls / max(self.rows, 1):.1%} null" if self.nulls < self.rows else "all null")
        if self.type in {"integer", "number"} and self.low is not None and self.high is not None:
            parts.append(f"{_short(self.low)} to {_short(self.high)}")
        elif self.top:
            shown = [
                _clip(text) + (f" {share:.0%}" if (share := rows / max(self.filled, 1)) >= 0.005 else "")
                for text, rows in self.top[:most]
            ]
            parts.append(", ".join(shown))
        return "; ".join(parts)


def _short(number: float) -> str:
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < 1e15 else f"{number:.4g}"


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 24 else f"{text[:23]}…"


def text_sql(name: str, sql_type: str) -> str:
    """SQL of a column's value as text."""
    quoted = quote_identifier(name)
    if sql_type == "JSON":
        return f"nullif(json_extract_string({quoted}, '$'), 'NaN')"
    return quoted if sql_type == "VARCHAR" else f"CAST({quoted} AS VARCHAR)"


def columns_of(connection: duckdb.DuckDBPyConnection, table: Opened) -> list[Column]:
    """The facts of all columns of a table's sample, in its order."""
    found = connection.execute(f"SELECT count(*) FROM {table.sample}").fetchone()
    rows = found[0] if found else 0
    return [_column(connection, table, name, kind, rows) for name, kind in table.columns.items()]


def _column(connection: duckdb.DuckDBPyConnection, table: Opened, name: str, kind: str, rows: int) -> Column:
    text = text_sql(name, kind)
    upper = kind.upper()
    counts = (
        f"SELECT v, count(*) AS n FROM (SELECT {text} AS v FROM {table.sample}) WHERE v IS NOT NULL AND v <> '' GROUP"
        " BY v"
    )
    known = connection.execute(f"SELECT count(*), sum(n) FROM ({counts})").fetchone() or (0, 0)
    distinct, filled = int(known[0]), int(known[1] or 0)
    common = connection.execute(f"{counts} ORDER BY n DESC, v LIMIT {_COMMON}").fetchall()
    texts = list(common)
    if distinct > _COMMON:
        texts += connection.execute(
            f"SELECT * FROM ({counts}) ORDER BY hash(v) LIMIT {_RARE}"
        ).fetchall()  # by hash: from all along the alphabet
        texts = list(dict(texts).items())
    nulls = rows - filled
    shape, type_ = _typed(upper, texts, name)
    if shape.kind in {"integer", "number", "boolean", "time"} and upper in {"VARCHAR", "JSON"}:
        marked = sum(count for value, count in common if value.strip().lower() in MISSING)
        gone = sum(value.strip().lower() in MISSING for value, _ in common)
        nulls, distinct = nulls + marked, distinct - gone
        common = [one for one in common if one[0].strip().lower() not in MISSING]
    low = high = None
    if type_ in {"integer", "number"} and filled:
        value = f"TRY_CAST({text} AS DOUBLE)" if not shape.sql else shape.sql.replace("{v}", text)
        low, high = connection.execute(
            f"SELECT min(v), max(v) FROM (SELECT {value} AS v FROM {table.sample}) WHERE isfinite(v)"
        ).fetchone() or (None, None)
    return Column(
        name, kind, "empty" if not distinct else type_, shape, rows, nulls, distinct, tuple(common[:10]), tuple(texts),
        low, high,
    )  # fmt: skip


def _typed(upper: str, texts: Sequence[tuple[str, int]], name: str) -> tuple[Shape, ColumnType]:
    """The shape and type of a column of a DuckDB type."""
    if upper in {"VARCHAR", "JSON"} or upper.startswith("ENUM"):
        listed = any(word in _LISTS or word.endswith("tag") for word in words(name))
        shape = shape_of(texts, name_says_time=of_time(name) > 0, name_says_list=listed)
        if upper == "JSON" and shape.plain and shape.kind != "empty":
            shape = Shape(**{**shape.__dict__, "plain": False, "sql": shape.sql or "{v}"})
        return shape, "integer" if shape.spelled == POINT_ZERO else shape.kind
    if upper.endswith("[]"):
        return Shape("list", plain=False, spelled="lists", separator="|"), "list"
    if upper == "BOOLEAN":
        return Shape("boolean"), "boolean"
    if upper.startswith(("TIMESTAMP", "DATE")):
        return Shape("time", zoned="TIME ZONE" in upper), "time"
    if upper in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}:
        digits = [(value, count) for value, count in texts if value.isdigit()]
        if of_time(name) > 0 and digits:
            dated = shape_of(digits, name_says_time=True)
            if dated.kind == "time":
                return dated, "time"
        return Shape("integer"), "integer"
    if upper in {"FLOAT", "DOUBLE"} or upper.startswith("DECIMAL"):
        whole = bool(texts) and all(_is_whole(value) for value, _ in texts)
        return Shape("number", spelled="whole numbers" if whole else "numbers"), "integer" if whole else "number"
    return Shape("text", plain=False), "other"


def number_of(text: str) -> float | None:
    """The number that a text spells; None where it spells none."""
    try:
        return float(text)
    except ValueError:
        return None


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except (ValueError, OverflowError):
        return False
