"""A spec held against its data: what is wrong by itself, with its columns, and with what it would train."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.datasets import write_offline_tables
from llactr.datasets.sources import table_files
from llactr.errors import DataError, SpecError
from llactr.profile.checking.data_problems import data_problems
from llactr.profile.checking.places import SpecText, read_spec_text
from llactr.profile.checking.spec_problems import Problem, spec_problems
from llactr.profile.facts import columns_of
from llactr.profile.reading import Opened
from llactr.profile.spoilers import KNOWS, knows_label, split_counts
from llactr.spec import DatasetSpec, TimestampPartField
from llactr.spec.descriptions import poor_descriptions
from llactr.sql import connect, parquet_scan
from llactr.steps import StepResult
from llactr.workspace import Workspace

__all__ = ["Checked", "check_spec"]

_LOOKED_AT = 60_000


class Checked(StepResult):
    """What a check found.

    Attributes:
        wrong: `file:line: what is wrong, and the mend`; the spec cannot be ingested as it is.
        doubts: the same of what can be, but would hardly give the model that is meant.
        rows: events, None where they were not read as a whole because something is wrong.
    """

    spec: str
    wrong: tuple[str, ...]
    doubts: tuple[str, ...]
    rows: int | None


def check_spec(
    path: Path, data_folder: Path | None = None, *, also: Callable[[DatasetSpec, Path], Mapping[str, str]] | None = None
) -> Checked:
    """Lists all that is wrong with a spec and with its data as the spec reads them.

    The spec is read as far as it can be, every column that it names is looked at by itself, and where nothing is wrong
    so far, all is ingested into a folder that is thrown away.

    Args:
        path: the spec.
        data_folder: where its sources lie; beside it unless given.
        also: the spec and its data folder -> what else is wrong, by field.

    Raises:
        SpecError: the file is missing or is no YAML.
    """
    text = read_spec_text(path)
    folder = data_folder or path.parent
    wrong, spec = spec_problems(text)
    doubts: list[Problem] = []
    rows = None
    if spec is not None and (spec.recipe is None or data_folder is not None):
        wrong += data_problems(spec, text, folder)
        if also is not None:
            wrong += [Problem((text.field_line(name), said)) for name, said in also(spec, folder).items()]
        if not wrong:
            rows, more, doubts = _tried(spec, text, folder)
            wrong += more
    if spec is not None:
        doubts += [Problem((_line_of(text, said), said)) for said in poor_descriptions(spec)]
    return Checked(spec=str(path), wrong=_listed(path, wrong), doubts=_listed(path, doubts), rows=rows)


def _listed(path: Path, found: list[Problem]) -> tuple[str, ...]:
    return tuple(f"{path.name}:{one.line}: {one.text}" for one in sorted(dict.fromkeys(found)))


def _line_of(text: SpecText, said: str) -> int:
    return text.field_line(said.split("'")[1]) if "'" in said else 1


def _tried(spec: DatasetSpec, text: SpecText, folder: Path) -> tuple[int | None, list[Problem], list[Problem]]:
    """Ingests into a folder that is thrown away; what ingest refuses, and what it and the splits say."""
    with tempfile.TemporaryDirectory(prefix="llactr-") as thrown_away:
        workspace = Workspace.at(Path(thrown_away))
        try:
            summary = write_offline_tables(spec, workspace, folder)
        except (DataError, SpecError) as error:
            said = str(error)
            return None, [Problem((_guessed(text, said, spec), said))], []
        doubts = [Problem((_guessed(text, said, spec), said)) for said in summary.warnings]
        events = table_files(workspace.offline_table(spec.name, "events"))
        doubts += _spoiled(spec, text, events)
        return summary.rows, [], doubts


def _guessed(text: SpecText, said: str, spec: DatasetSpec) -> int:
    """The line that a sentence of ingest is about."""
    for owner in spec.entities:
        if f"{owner} table" in said or f"'{spec.entities[owner].source}'" in said:
            return text.line("entities", owner)
    if "label" in said:
        return text.line("label")
    return text.line("timestamp") if "lie" in said or "timestamp" in said else text.line("events")


def _spoiled(spec: DatasetSpec, text: SpecText, files: list[Path]) -> list[Problem]:
    """Splits with one class, few clicks, context fields that know the label or say nothing."""
    found = []
    with connect() as connection:
        connection.execute(
            f"CREATE TABLE all_rows AS SELECT {LABEL}, {EVENT_TIMESTAMP}, row_number() OVER () AS row_of_sample "
            f"FROM {parquet_scan(files)}"
        )
        counts = split_counts(
            connection, "all_rows", label=LABEL, time=EVENT_TIMESTAMP, train=spec.split.train,
            validation=spec.split.validation, total=_count(connection, "all_rows"),
        )  # fmt: skip
        found += [Problem((text.line("split"), said)) for said in counts.troubles()]
        connection.execute(
            f"CREATE TABLE some_rows AS SELECT *, row_number() OVER () AS row_of_sample FROM {parquet_scan(files)} "
            f"USING SAMPLE reservoir({_LOOKED_AT} ROWS) REPEATABLE (0)"
        )
        kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE some_rows").fetchall()}
        wanted = {f.name for f in spec.owned_by("context") if not isinstance(f, TimestampPartField)} & set(kinds)
        table = Opened(
            "events",
            "parquet",
            (),
            "some_rows",
            {n: kinds[n] for n in kinds if n in wanted},
            0,
            False,
            False,
            "some_rows",
        )
        for column in columns_of(connection, table):
            line = text.field_line(column.name)
            auc, how = knows_label(connection, "some_rows", column, LABEL)
            if auc >= KNOWS:
                found.append(
                    Problem(
                        (line, f"field {column.name!r} tells the label by {how} alone (AUC {auc:.3f}): it would leak")
                    )
                )
            if column.distinct <= 1:
                said = "the same value in all rows" if column.distinct else "no value in any row"
                found.append(Problem((line, f"field {column.name!r} has {said}: leave it out")))
    return found


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
