"""Late-arriving rows and corrections: new part files beside those that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llactr.atomic import scratch
from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.datasets.cautions import UnmatchedKeys, unmatched_keys
from llactr.datasets.events import EventReader, read_entities
from llactr.datasets.ingest import BEFORE_FIRST_EVENT, FIRST_PART, announce_description, refuse_unmatched, write_events
from llactr.datasets.sources import source_files, table_files
from llactr.datasets.summary import IngestSummary, summarize
from llactr.errors import DataError, NotReadyError
from llactr.manifest import file_hash, read_manifest
from llactr.pending import finish
from llactr.spec import DatasetSpec, EntityOwner, load_spec, spec_difference
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.workspace import Workspace

__all__ = ["append_events", "append_offline_tables"]


def append_offline_tables(
    spec: DatasetSpec,
    workspace: Workspace,
    data_folder: Path,
    *,
    written: datetime | None = None,
    allow_unmatched: bool = False,
) -> IngestSummary:
    """Adds what a data folder holds to the offline tables of a dataset, as new part files.

    Rows that are there already are left out, so that a second call adds nothing. Of an entity with timestamps, a row
    for a known key and event time is a correction: it carries a later created timestamp, and the earlier row stays.

    Args:
        spec: the spec that the dataset was ingested with.
        workspace: where the dataset is.
        data_folder: holds at least one of the spec's sources; those that it lacks get no new rows.
        written: created timestamp (UTC) of entity rows that do not say it themselves; by default now.
        allow_unmatched: go on although no new event finds its user's or item's row, because the keys are spelled
            otherwise.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: the spec differs, a source does not fit it, events lie before the first one, or a row of an entity
            without timestamps contradicts the one that is there.
    """
    manifest = _manifest(spec, workspace)
    folder = workspace.offline_table(spec.name, "events").parent
    base = datetime.fromisoformat(manifest["start"])
    known = _known(folder)
    given = {
        name: source_files(source, name, data_folder)
        for name, source in spec.sources.items()
        if _is_there(spec, name, data_folder)
    }
    if not given:
        raise DataError(f"the folder {data_folder} holds none of the sources {', '.join(map(repr, spec.sources))}")
    dropped = int(manifest["summary"]["dropped"])
    with scratch(folder / "append") as draft:
        if spec.events in given:
            reader = EventReader(spec, data_folder)
            write_events(reader, draft, known=known["events"])
            dropped += reader.dropped
            _refuse_earlier(draft / "events", base)
        for owner, entity in spec.entities.items():
            if entity.source in given:
                rows = read_entities(
                    spec,
                    owner,
                    data_folder,
                    static_time=base - BEFORE_FIRST_EVENT,
                    written=(written or datetime.now(UTC)).astimezone(UTC),
                )
                rows = _new_rows(spec, owner, rows, known[owner])
                (draft / owner).mkdir()
                pq.write_table(rows, draft / owner / "part.parquet", compression="zstd")
        doubts = _unmatched(spec, draft, known)
        if not allow_unmatched:
            refuse_unmatched(one for one in doubts.values() if one.spelling)
        added = {str(path): file_hash(path) for files in given.values() for path in files}
        said = [f"of the new rows, {one.sentence}" for one in doubts.values()]
        return _placed(spec, workspace, draft, manifest, dropped=dropped, added=added, warnings=said)


def append_events(
    spec: DatasetSpec, workspace: Workspace, events: pa.Table, *, announce: Callable[[str], None]
) -> IngestSummary:
    """Adds events that were logged to a dataset's, as a new part file.

    Args:
        spec: of the dataset.
        workspace: where it is.
        events: in the columns of `event_schema`, in the order of time; at least one, and none that is there already.
        announce: called with the new file's hash before it takes its place.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: the spec differs, or events lie before the first one.
    """
    manifest = _manifest(spec, workspace)
    folder = workspace.offline_table(spec.name, "events").parent
    with scratch(folder / "append") as draft:
        (draft / "events").mkdir()
        pq.write_table(events, draft / "events" / FIRST_PART, compression="zstd")
        _refuse_earlier(draft / "events", datetime.fromisoformat(manifest["start"]))
        announce(file_hash(draft / "events" / FIRST_PART))
        dropped = int(manifest["summary"]["dropped"])
        return _placed(spec, workspace, draft, manifest, dropped=dropped, added={}, warnings=())


def _known(folder: Path) -> dict[str, list[Path]]:
    """Table -> its files."""
    return {name: files for name in ("events", "user", "item") if (files := table_files(folder / name))}


def _placed(
    spec: DatasetSpec,
    workspace: Workspace,
    draft: Path,
    manifest: dict[str, Any],
    *,
    dropped: int,
    added: dict[str, str],
    warnings: Sequence[str],
) -> IngestSummary:
    """Moves a draft's parts beside those that are there, and describes the whole."""
    folder = workspace.offline_table(spec.name, "events").parent
    known = _known(folder)
    moves, new_rows = _moves(draft, folder)
    tables = {
        name: [*files, *(draft for draft, place in moves.items() if place.parent.name == name)]
        for name, files in known.items()
    }
    if not any(new_rows.values()):
        dropped = int(manifest["summary"]["dropped"])  # the same rows again: their drops are counted already
    summary = summarize(spec, tables, dropped=dropped, new_rows=new_rows, inputs=manifest["inputs"])
    summary = summary.model_copy(update={"warnings": (*warnings, *summary.warnings)})
    if any(new_rows.values()):
        history = [*manifest.get("appended", []), {"inputs": added, "new_rows": new_rows}]
        placed = {path: path for files in known.values() for path in files}
        placed |= {place: draft for draft, place in moves.items()}
        announce_description(spec, workspace, summary, manifest["key"], placed, moves=moves, appended=history)
        finish(workspace.dataset(spec.name), root=workspace.root)
    return summary


def _manifest(spec: DatasetSpec, workspace: Workspace) -> dict[str, Any]:
    folder = workspace.dataset(spec.name)
    manifest = read_manifest(folder)
    if manifest is None:
        raise NotReadyError(f"dataset {spec.name!r} is not in this workspace: run 'llactr ingest' first")
    known = load_spec(folder / "spec.yaml")
    if known != spec:
        raise DataError(
            f"dataset {spec.name!r} was ingested with another spec ({spec_difference(known, spec)}): append with the "
            "spec it has, or ingest it again, without appending"
        )
    return manifest


def _is_there(spec: DatasetSpec, name: str, data_folder: Path) -> bool:
    try:
        return bool(source_files(spec.sources[name], name, data_folder))
    except DataError:
        return False


def _unmatched(spec: DatasetSpec, draft: Path, known: dict[str, list[Path]]) -> dict[str, UnmatchedKeys]:
    """The new events that find no row in an entity's table, its new rows included."""
    new = {name: table_files(draft / name) for name in known}
    if not new["events"] or not pq.read_metadata(new["events"][0]).num_rows:
        return {}
    return unmatched_keys(
        spec, {**{name: [*files, *new[name]] for name, files in known.items()}, "events": new["events"]}
    )


def _refuse_earlier(folder: Path, base: datetime) -> None:
    for path in table_files(folder):
        times = pq.ParquetFile(path).read(columns=[EVENT_TIMESTAMP]).column(0)
        if len(times) and times[0].as_py() < base:
            raise DataError(
                f"the new events begin at {times[0].as_py().isoformat()}, before the dataset's first one at "
                f"{base.isoformat()}: ingest everything again, without appending"
            )


def _new_rows(spec: DatasetSpec, owner: EntityOwner, rows: pa.Table, known: list[Path]) -> pa.Table:
    """The rows that no known row equals, the created timestamp aside unless the source gives it."""
    entity = spec.entities[owner]
    compared = [name for name in rows.column_names if name != CREATED_TIMESTAMP or entity.created is not None]
    names = [quote_identifier(name) for name in compared]
    same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM new.{name}" for name in names)
    key = quote_identifier(entity.join_key)
    with connect() as connection:
        connection.register("new_rows", rows)
        query = (
            f"SELECT new.* FROM new_rows new WHERE NOT EXISTS (SELECT 1 FROM {parquet_scan(known)} old WHERE {same})"
        )
        found = connection.execute(f"{query} ORDER BY {key}, {EVENT_TIMESTAMP}, {CREATED_TIMESTAMP}").to_arrow_table()
        found = found.cast(rows.schema)
        if entity.timestamp is None and len(found):
            connection.register("found_rows", found)
            changed = connection.execute(
                f"SELECT {key} FROM found_rows SEMI JOIN {parquet_scan(known)} USING ({key}) ORDER BY 1 LIMIT 1"
            ).fetchone()
            if changed is not None:
                raise DataError(
                    f"{owner} {changed[0]!r} is there already with other values, and the spec gives {owner} no "
                    "'timestamp' to tell them apart: ingest everything again, or give the entity a timestamp"
                )
    return found


def _moves(draft: Path, folder: Path) -> tuple[dict[Path, Path], dict[str, int]]:
    """The draft's parts -> their places beside the old ones, which sort behind them; and how many rows each brings."""
    moves, new_rows = {}, {}
    for path in sorted(draft.glob("*/*.parquet")):
        table = folder / path.parent.name
        new_rows[table.name] = pq.read_metadata(path).num_rows
        if new_rows[table.name]:
            moves[path] = table / f"part-{len(table_files(table)):05d}-{file_hash(path)[:8]}.parquet"
    return moves, new_rows
