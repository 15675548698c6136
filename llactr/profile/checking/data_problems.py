"""All that a spec and its data disagree about: files, columns, values, each column by itself."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llactr.datasets.csv_source import cell_numbers, csv_names
from llactr.datasets.events import apply_label_rule
from llactr.datasets.sources import source_batches, source_files
from llactr.errors import DataError
from llactr.profile.checking.places import SpecText
from llactr.profile.checking.spec_problems import Problem
from llactr.spec import DatasetSpec, EntitySpec, Field, NumericField, SourceSpec, TimestampPartField, TimestampSpec
from llactr.sql import connect
from llactr.transforms import admit, admit_key, utc_timestamps

__all__ = ["data_problems"]

Test = Callable[[pa.ChunkedArray], object]


class _Use:
    """A use of a column: what is done to its values, and the line of the spec that says so."""

    def __init__(self, column: str, line: int, said: str, test: Test) -> None:
        self.column, self.line, self.said, self.test = column, line, said, test
        self.problem = ""

    def look(self, values: pa.ChunkedArray) -> None:
        """Tries a batch of values; the first thing wrong stays."""
        if not self.problem:
            try:
                self.test(values)
            except DataError as error:
                self.problem = str(error)


def data_problems(spec: DatasetSpec, text: SpecText, folder: Path) -> list[Problem]:
    """What is wrong with the files, columns and values that a spec reads.

    Args:
        spec: valid by itself.
        text: its file.
        folder: the data folder.
    """
    found: list[Problem] = []
    for name, source in spec.sources.items():
        line = text.line("sources", name)
        uses = [*_of_events(spec, text, name), *_of_entities(spec, text, name)]
        if not uses:
            found.append(Problem((line, f"source {name!r} is read by nothing: name it in 'events' or in an entity")))
            continue
        try:
            columns = _columns(source, name, folder)
        except DataError as error:
            found.append(Problem((line, str(error))))
            continue
        found += _missing(uses, columns, name)
        there = [use for use in uses if columns.count(use.column) == 1]
        try:
            _look(source, name, folder, there)
        except DataError as error:
            found.append(Problem((line, str(error))))
        found += [Problem((use.line, f"{use.said}: {use.problem}")) for use in there if use.problem]
    return found


def _missing(uses: list[_Use], columns: list[str], source: str) -> Iterator[Problem]:
    for use in uses:
        if use.column not in columns:
            near = difflib.get_close_matches(use.column, columns, 1)
            hint = f": did you mean {near[0]!r}?" if near else f", it has {', '.join(map(repr, columns[:30]))}"
            yield Problem((use.line, f"{use.said}: source {source!r} has no column {use.column!r}{hint}"))
        elif columns.count(use.column) > 1:
            yield Problem((use.line, f"{use.said}: source {source!r} has the column {use.column!r} twice: rename one"))


def _columns(source: SourceSpec, name: str, folder: Path) -> list[str]:
    """The columns of a source's first file."""
    path = source_files(source, name, folder)[0]
    place = f"source {name!r} ({path.name})"
    try:
        if source.format == "parquet":
            return list(pq.read_schema(path).names)
        if source.format == "csv":
            return csv_names(path, place, separator=source.separator, quote=source.quote)
        with connect(path) as connection:
            rows = connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = ? "
                "AND table_schema = current_schema() ORDER BY ordinal_position",
                [source.table],
            ).fetchall()
            if not rows:
                listed = connection.execute("SELECT table_name FROM information_schema.tables ORDER BY 1").fetchall()
                raise DataError(
                    f"{place} has no table {source.table!r}: its tables are {', '.join(r[0] for r in listed)}"
                )
            return [row[0] for row in rows]
    except (pa.ArrowException, OSError, duckdb.Error) as error:
        raise DataError(f"{place} cannot be read as {source.format} ({str(error).splitlines()[0]})") from None


def _look(source: SourceSpec, name: str, folder: Path, uses: list[_Use]) -> None:
    wanted = {use.column: pa.string() for use in uses}
    if not wanted:
        return
    for batch in source_batches(source, name, folder, wanted):
        table = pa.Table.from_batches([batch])
        for use in uses:
            use.look(table.column(use.column))


def _of_events(spec: DatasetSpec, text: SpecText, source: str) -> Iterator[_Use]:
    if spec.events != source:
        return
    csv = spec.sources[source].format == "csv"
    for owner, entity in spec.entities.items():
        yield _Use(
            entity.join_key, text.line("entities", owner, "join_key"), f"the {owner}'s join key", _key(entity.join_key)
        )
    yield _Use(spec.timestamp.column, text.line("timestamp"), "the timestamp", _moment(spec.timestamp))
    yield _Use(spec.label.column, text.line("label"), "the label", _label(spec, csv=csv))
    for field in spec.owned_by("context"):
        if not (isinstance(field, TimestampPartField) and field.source_column is None):
            yield _field_use(field, text, csv=csv, times=(spec.timestamp,))


def _of_entities(spec: DatasetSpec, text: SpecText, source: str) -> Iterator[_Use]:
    for owner, entity in spec.entities.items():
        if entity.source != source:
            continue
        line = text.line("entities", owner, "join_key")
        yield _Use(entity.join_key, line, f"the {owner}'s join key in its table", _key(entity.join_key))
        times = [time for time in (entity.timestamp, entity.created) if time is not None]
        for time in times:
            yield _Use(time.column, text.line("entities", owner), f"a timestamp of the {owner}'s rows", _moment(time))
        csv = spec.sources[source].format == "csv"
        for field in _own_fields(spec, owner, entity):
            yield _field_use(field, text, csv=csv, times=tuple(times))


def _own_fields(spec: DatasetSpec, owner: Any, entity: EntitySpec) -> Iterator[Field]:
    return (field for field in spec.owned_by(owner) if field.column != entity.join_key)


def _field_use(field: Field, text: SpecText, *, csv: bool, times: tuple[TimestampSpec, ...]) -> _Use:
    def test(values: pa.ChunkedArray) -> None:
        if isinstance(field, NumericField) and csv:
            values = pa.chunked_array([cell_numbers(values, field.column, "the source").combine_chunks()])
        for time in times:
            if time.column == field.column and isinstance(field, TimestampPartField):
                values = utc_timestamps(values, time)
        admit(values, field)

    return _Use(field.column, text.field_line(field.name), f"field {field.name!r}", test)


def _key(name: str) -> Test:
    def test(values: pa.ChunkedArray) -> None:
        nulls = admit_key(values, name).null_count
        if nulls:
            raise DataError(f"column {name!r} has rows without a value, and it is a join key: leave them out")

    return test


def _moment(time: TimestampSpec) -> Test:
    def test(values: pa.ChunkedArray) -> None:
        if utc_timestamps(values, time).null_count:
            raise DataError(f"column {time.column!r} has rows without a value: leave them out, or fill them in")

    return test


def _label(spec: DatasetSpec, *, csv: bool) -> Test:
    def test(values: pa.ChunkedArray) -> None:
        if csv and spec.label.equals is None:
            values = pa.chunked_array([cell_numbers(values, spec.label.column, "the source").combine_chunks()])
        apply_label_rule(values, spec.label)

    return test
