"""Users leave the offline tables: files of rows are written anew without theirs, and take their places whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.atomic import flush, writing_file
from llactr.columns import FIELD, VALUE
from llactr.ctr.forget import key_fields
from llactr.datasets.ingest import announce_description, table_files
from llactr.datasets.summary import summarize
from llactr.errors import DataError, NotReadyError
from llactr.manifest import read_manifest
from llactr.pending import finish
from llactr.spec import DatasetSpec
from llactr.store.tables import VALUE_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["forget_in_files", "forget_in_tables", "forget_values", "rows_of", "tables_hold"]

_COSTS = ("seconds", "cpu_seconds", "peak_rss_mb")


def rows_of(path: Path, wanted: Mapping[str, Collection[str]]) -> int:
    """How many rows of a Parquet file hold, in each of some columns, one of some texts.

    Raises:
        DataError: the file cannot be read.
    """
    file = _opened(path)
    if not set(wanted) <= set(file.schema_arrow.names):
        return 0
    try:
        batches = file.iter_batches(columns=list(wanted))
        return sum(int(pc.sum(_mask(batch, wanted)).as_py() or 0) for batch in batches)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def forget_in_files(folder: Path, wanted: Mapping[str, Collection[str]]) -> int:
    """Writes the files of a table anew, each by itself, where they hold such rows; one of which nothing is left goes.

    Returns:
        how many rows were removed.
    """
    removed = 0
    for path in sorted(folder.rglob("*.parquet")):
        if path.name.startswith(".") or not (count := rows_of(path, wanted)):
            continue
        if count == pq.read_metadata(path).num_rows:
            path.unlink()
            flush(path.parent)
        else:
            with writing_file(path) as draft:
                _write_without(path, draft, wanted)
        removed += count
    return removed


def forget_values(workspace: Workspace, spec: DatasetSpec, keys: Collection[str]) -> int:
    """Removes the vectors of values that are users' keys: where the spec gives the key itself a text."""
    fields = set(key_fields(spec)) & {field.name for field in spec.text_fields}
    if not fields:
        return 0
    folder, removed = workspace.semantics_table(VALUE_SEMANTICS), 0
    for path in sorted(folder.glob(f"{spec.name}@*.parquet")):
        wanted = {FIELD: fields, VALUE: keys}
        if not (count := rows_of(path, wanted)):
            continue
        # Its name says the hash of its content: another file takes its place, under a name that says none.
        fresh = path.with_name(f"{path.stem.rpartition('-')[0]}-rewritten.parquet")
        if count < pq.read_metadata(path).num_rows:
            with writing_file(fresh) as draft:
                _write_without(path, draft, wanted)
        path.unlink()
        flush(folder)
        removed += count
    return removed


def tables_hold(workspace: Workspace, spec: DatasetSpec, keys: Collection[str]) -> bool:
    """Whether a row of an offline table, a state or a line of the served log is one of these users'."""
    wanted = {spec.entities["user"].join_key: keys}
    folders = (workspace.offline_table(spec.name, "events").parent, workspace.root / "states" / spec.name,
               workspace.offline_table(spec.name, "served"))  # fmt: skip
    return any(rows_of(path, wanted) for folder in folders for path in sorted(folder.rglob("[!.]*.parquet")))


def forget_in_tables(workspace: Workspace, spec: DatasetSpec, keys: Collection[str]) -> dict[str, int]:
    """Removes users from the tables that ingest wrote, and describes these anew.

    All tables change at once, with their description (`llactr.pending`): killed anywhere, either the old ones stand or
    the next writing command finishes the change. The dataset's start stays, so that releases and the rows of entities
    without a time of their own hold as before; so does the key of the ingest: the same sources
    are not ingested again.

    Returns:
        table -> rows removed; tables of none are left out.

    Raises:
        NotReadyError: the dataset has not been ingested.
        DataError: no event would be left.
    """
    folder = workspace.offline_table(spec.name, "events").parent
    manifest = read_manifest(workspace.dataset(spec.name))
    if manifest is None:
        raise NotReadyError(f"dataset {spec.name!r} is not in this workspace: run 'llactr ingest' first")
    wanted = {spec.entities["user"].join_key: keys}
    files = {path: rows_of(path, wanted) for path in sorted(folder.rglob("*.parquet"))}
    removed: dict[str, int] = {}
    for path, count in files.items():
        if count:
            table = path.relative_to(folder).parts[0]
            removed[table] = removed.get(table, 0) + count
    if not removed:
        return {}
    events = {path: count for path, count in files.items() if path.relative_to(folder).parts[0] == "events"}
    if sum(pq.read_metadata(path).num_rows - count for path, count in events.items()) == 0:
        raise DataError(
            f"no event of {spec.name!r} would be left: these are all its users; remove the workspace instead"
        )
    with workspace.writing(folder) as draft:
        for path in sorted(folder.rglob("*")):
            place = draft / path.relative_to(folder)
            if path.is_dir():
                place.mkdir(parents=True, exist_ok=True)
            elif files.get(path):
                _write_without(path, place, wanted)
            else:
                _link(path, place)
        _describe(workspace, spec, manifest, draft, folder)
    finish(workspace.dataset(spec.name), root=workspace.root)
    return removed


def _describe(workspace: Workspace, spec: DatasetSpec, manifest: dict[str, Any], draft: Path, folder: Path) -> None:
    tables = {name: files for name in ("events", "user", "item") if (files := table_files(draft / name))}
    dropped = int(manifest.get("summary", {}).get("dropped", 0))
    summary = summarize(spec, tables, dropped=dropped, new_rows={}, inputs=manifest.get("inputs", {}))
    start = manifest.get("start")
    if start is not None:
        summary = type(summary).model_validate(summary.model_dump() | {"start": start})
    facts = {name: manifest[name] for name in ("appended", *_COSTS) if name in manifest}
    if "result" in manifest:
        facts["result"] = summary.as_json()
    placed = {folder / path.relative_to(draft): path for files in tables.values() for path in files}
    announce_description(spec, workspace, summary, manifest.get("key", ""), placed, **facts)


def _write_without(source: Path, target: Path, wanted: Mapping[str, Collection[str]]) -> None:
    """Copies a file's rows but for those that are to go; a batch is in memory."""
    file = _opened(source)
    try:
        with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
            for batch in file.iter_batches():
                writer.write_batch(batch.filter(pc.invert(_mask(batch, wanted))))
    except pa.ArrowException as error:
        raise _unreadable(source, error) from None


def _mask(batch: pa.RecordBatch, wanted: Mapping[str, Collection[str]]) -> pa.Array:
    """(N,) whether each row holds one of the texts in each of the columns; a null is none of them."""
    found: Any = pa.array([True] * batch.num_rows)
    for name, texts in wanted.items():
        found = pc.and_(found, pc.is_in(batch.column(name).cast(pa.string()), pa.array(sorted(texts), pa.string())))
    return found


def _link(path: Path, place: Path) -> None:
    """Files of tables are never changed in place, so that two names may lead to one."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copy2(path, place)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    said = " ".join(str(error).split())[:200]
    return DataError(
        f"the file {path} cannot be read ({said}), so that nobody can tell whom it speaks of: restore it from a copy, "
        "or remove it; then run 'llactr forget' again"
    )
