"""Sources -> offline tables: directories of Parquet files that grow by new files."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from llactr.columns import EVENT_TIMESTAMP
from llactr.datasets.appended import appended_to
from llactr.datasets.cautions import UnmatchedKeys
from llactr.datasets.events import EventReader, event_schema, read_entities
from llactr.datasets.sources import source_files, table_files
from llactr.datasets.summary import IngestSummary, summarize
from llactr.errors import DataError
from llactr.manifest import MANIFEST, content_hash, file_hash, manifest_of, manifest_text, read_manifest
from llactr.pending import announce, finish
from llactr.spec import DatasetSpec, dump_spec
from llactr.sql import connect, parquet_scan, quote_identifier, quote_literal
from llactr.steps import Step
from llactr.workspace import Workspace

__all__ = [
    "BEFORE_FIRST_EVENT",
    "FIRST_PART",
    "announce_description",
    "ingest_key",
    "input_hashes",
    "refuse_unmatched",
    "table_files",
    "tables_stand",
    "write_events",
    "write_offline_tables",
]

FIRST_PART = "part-00000.parquet"
BEFORE_FIRST_EVENT = timedelta(days=1)
"""How long before the first event the rows of an entity without timestamps hold."""


def input_hashes(spec: DatasetSpec, data_folder: Path) -> dict[str, str]:
    """sha256 of each source file, by its path relative to the data folder where it lies in there.

    Raises:
        DataError: a source has no file.
    """
    hashes = {}
    for name, source in sorted(spec.sources.items()):
        for path in source_files(source, name, data_folder):
            inside = path.relative_to(data_folder) if path.is_relative_to(data_folder) else path
            hashes[str(inside)] = file_hash(path)
    return hashes


def ingest_key(spec: DatasetSpec, data_folder: Path) -> str:
    """Content hash of the spec and its source files: what the offline tables depend on."""
    return content_hash({"spec": spec.model_dump(mode="json"), "inputs": input_hashes(spec, data_folder)})


def write_offline_tables(
    spec: DatasetSpec,
    workspace: Workspace,
    data_folder: Path,
    *,
    drop_appended: bool = False,
    allow_unmatched: bool = False,
) -> IngestSummary:
    """Reads a spec's sources, checks them, and writes the offline tables `events`, `user` and `item`.

    What was there before is replaced once the new tables are complete; when something is wrong it stays untouched.
    Events stream from the source to Parquet and are sorted by DuckDB, which spills; entities are held in memory.

    Rows that were appended are data: where sources and tables stay as they are (a description has changed), the tables
    are kept; otherwise the sources must hold the appended rows.

    Args:
        spec: the dataset's spec.
        workspace: where the tables go.
        data_folder: the folder that the spec's source paths are relative to.
        drop_appended: let go of appended rows that the sources do not hold.
        allow_unmatched: go on although no event at all finds its user's or item's row.

    Returns:
        what was written, in figures; it is in the dataset's manifest as well.

    Raises:
        DataError: a source is missing or does not fit the spec, appended rows would be lost, or no event finds a row in
            an entity's table.
    """
    _check_identifier(spec, workspace)
    inputs = input_hashes(spec, data_folder)
    key = ingest_key(spec, data_folder)
    target = workspace.offline_table(spec.name, "events").parent
    appended = appended_to(workspace, spec.name)
    intact = appended is not None and ("tables" not in appended.manifest or tables_stand(workspace, spec.name))
    if appended and intact and not drop_appended and appended.same_tables(spec, inputs):
        return describe_again(spec, workspace, appended.manifest, key)
    with workspace.writing(target) as draft:
        reader = EventReader(spec, data_folder)
        write_events(reader, draft)
        tables = {"events": table_files(draft / "events")}
        static_time = _first_event(tables["events"]) - BEFORE_FIRST_EVENT
        for owner, entity in spec.entities.items():
            if entity.source is not None:
                rows = read_entities(spec, owner, data_folder, static_time=static_time)
                (draft / owner).mkdir()
                pq.write_table(rows, draft / owner / FIRST_PART, compression="zstd")
                tables[owner] = table_files(draft / owner)
        new_rows = {name: sum(pq.read_metadata(path).num_rows for path in files) for name, files in tables.items()}
        summary = summarize(spec, tables, dropped=reader.dropped, new_rows=new_rows, inputs=inputs)
        _check_labels(summary, spec)
        if not allow_unmatched:
            refuse_unmatched(summary.unmatched_keys.values())
        if appended and not drop_appended:
            appended.refuse_loss(tables)
        placed = {target / path.relative_to(draft): path for files in tables.values() for path in files}
        announce_description(spec, workspace, summary, key, placed)
    finish(workspace.dataset(spec.name), root=workspace.root)
    return summary


def write_events(reader: EventReader, draft: Path, *, known: Sequence[Path] = ()) -> None:
    """Writes a spec's events into `draft/events`, in event order; ties keep the order of the source.

    Args:
        reader: the events.
        draft: a fresh folder.
        known: events that are there already; a row that equals one of them is left out.
    """
    unsorted = draft / "unsorted.parquet"
    schema = event_schema(reader.spec)
    with pq.ParquetWriter(unsorted, schema, compression="lz4") as writer:
        for table in reader.batches():
            writer.write_table(table)
    if reader.row_count == reader.dropped:
        dropped = f", its label rule drops all {reader.dropped}" if reader.dropped else ""
        raise DataError(
            f"the events source {reader.spec.events!r} has no rows{dropped}: give it some, or mend the label rule"
        )
    names = [quote_identifier(name) for name in schema.names]
    unknown = ""
    if known:
        same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM new.{name}" for name in names)
        unknown = f"WHERE NOT EXISTS (SELECT 1 FROM {parquet_scan(known)} old WHERE {same}) "
    (draft / "events").mkdir()
    part = quote_literal(str(draft / "events" / FIRST_PART))
    with connect(temporary=draft / "spilled") as connection:
        connection.execute(
            f"COPY (SELECT {', '.join(names)} FROM {parquet_scan(unsorted, row_numbers=True)} new {unknown}"
            f"ORDER BY {EVENT_TIMESTAMP}, file_row_number) TO {part} (FORMAT parquet, COMPRESSION zstd)"
        )
    shutil.rmtree(draft / "spilled", ignore_errors=True)
    unsorted.unlink()


def _first_event(files: list[Path]) -> datetime:
    first = pq.ParquetFile(files[0]).read_row_group(0, columns=[EVENT_TIMESTAMP]).column(0)[0]
    moment: datetime = first.as_py()
    return moment


def _check_identifier(spec: DatasetSpec, workspace: Workspace) -> None:
    for other in workspace.datasets():
        if other != spec.name and re.sub("[^a-z0-9]", "_", other) == spec.identifier:
            raise DataError(
                f"dataset {spec.name!r} would share its feature names with {other!r}, which is in this workspace: "
                "rename one of them"
            )


def _check_labels(summary: IngestSummary, spec: DatasetSpec) -> None:
    if summary.positives in (0.0, 1.0):
        raise DataError(
            f"all {summary.rows} labels are {summary.positives:g}: a model needs both, "
            f"check the label rule of column {spec.label.column!r}"
        )


def refuse_unmatched(found: Iterable[UnmatchedKeys]) -> None:
    """Raises DataError for an entity of which no event finds a row."""
    for one in found:
        if one.rows == one.of:
            raise DataError(f"{one.sentence}, or say --allow-unmatched to go on without these features")


def announce_description(
    spec: DatasetSpec,
    workspace: Workspace,
    summary: IngestSummary,
    key: str,
    tables: Mapping[Path, Path],
    *,
    moves: Mapping[Path, Path] | None = None,
    **facts: Any,
) -> None:
    """Announces the dataset's `spec.yaml` and `manifest.json`; `finish` writes them once the tables are in place.

    Args:
        spec: the dataset's spec.
        workspace: where.
        summary: of all rows.
        key: of the ingest.
        tables: each file's place -> where it lies now.
        moves: see `llactr.pending`.
        facts: more for the manifest.
    """
    hashes = {place: file_hash(path) for place, path in tables.items()}
    folder = workspace.offline_table(spec.name, "events").parent
    manifest = manifest_of(
        step=Step.INGEST,
        key=key,
        config=spec.model_dump(mode="json"),
        start=summary.start.isoformat(),
        end=summary.end.isoformat(),
        inputs=summary.inputs,
        tables={str(place.relative_to(folder)): digest for place, digest in sorted(hashes.items())},
        summary=summary.model_dump(mode="json"),
        **facts,
    )
    texts = {"spec.yaml": dump_spec(spec), MANIFEST: manifest_text(manifest)}
    announce(workspace.dataset(spec.name), texts, root=workspace.root, proof=hashes, moves=moves)


def describe_again(spec: DatasetSpec, workspace: Workspace, manifest: dict[str, Any], key: str) -> IngestSummary:
    """Describes the tables that are there by a spec that reads them otherwise; they stay, appended rows included."""
    folder = workspace.offline_table(spec.name, "events").parent
    tables = {name: files for name in ("events", "user", "item") if (files := table_files(folder / name))}
    dropped = int(manifest["summary"]["dropped"])
    summary = summarize(spec, tables, dropped=dropped, new_rows={}, inputs=manifest["inputs"])
    kept = {path: path for files in tables.values() for path in files}
    announce_description(spec, workspace, summary, key, kept, appended=manifest["appended"])
    finish(workspace.dataset(spec.name), root=workspace.root)
    return summary


def tables_stand(workspace: Workspace, dataset: str) -> bool:
    """Whether the tables that the dataset's manifest describes are there, bit by bit; files beside them do not count.

    Cost: one pass over the tables' files.
    """
    manifest = read_manifest(workspace.dataset(dataset)) or {}
    folder = workspace.offline_table(dataset, "events").parent
    try:
        return bool(manifest.get("tables")) and all(
            file_hash(folder / name) == digest for name, digest in manifest["tables"].items()
        )
    except OSError:
        return False
