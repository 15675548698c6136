"""Items newer than training, as a state of their own among those of items: kept up beside the states of a version."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llactr import atomic
from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP, HISTORY_VERSION, KEY, STATE, TIMESTAMP
from llactr.errors import DataError
from llactr.history import NEWER_ITEMS, HistoryDefinition, NewerItems
from llactr.manifest import content_hash
from llactr.spec import DatasetSpec
from llactr.store.history.items import newer_items
from llactr.workspace import Workspace

__all__ = ["newer_prefix", "stored_newer", "with_newer_items", "write_newer"]


def with_newer_items(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, *, config: Path | None = None
) -> HistoryDefinition:
    """The definition with what the offline store has of items that came after training.

    Args:
        workspace: of the dataset.
        spec: of the dataset.
        definition: of a bundle.
        config: see `open_store`.

    Raises:
        StoreError: Feast failed.
    """
    return definition.with_newer(newer_items(workspace, spec, definition, config=config))


def newer_prefix(version: str) -> str:
    """How the names of a version's files begin that hold newer items, in the table of items' states."""
    return f"{version}-items-"


def stored_newer(workspace: Workspace, dataset: str, version: str) -> NewerItems | None:
    """What was written last of a version's newer items; None where nothing was.

    Raises:
        DataError: it cannot be read.
    """
    rows: list[tuple[datetime, bytes]] = []
    for path in _files(workspace, dataset, version):
        try:
            table = pq.ParquetFile(path).read(columns=[EVENT_TIMESTAMP, STATE])
        except (pa.ArrowException, OSError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"{path} cannot be read ({said}): remove it and run 'llactr materialize'") from None
        rows += zip(table[EVENT_TIMESTAMP].to_pylist(), table[STATE].to_pylist(), strict=True)
    return NewerItems.from_bytes(max(rows)[1]) if rows else None


def write_newer(workspace: Workspace, spec: DatasetSpec, version: str, newer: NewerItems) -> None:
    """Writes what is known of newer items, unless that is what was written last."""
    before = stored_newer(workspace, spec.name, version)
    content = newer.to_bytes()
    if content == (before or NewerItems()).to_bytes():
        return
    now = datetime.now(UTC)
    key = spec.entities["item"].join_key
    columns = {key: KEY, HISTORY_VERSION: KEY, EVENT_TIMESTAMP: TIMESTAMP, CREATED_TIMESTAMP: TIMESTAMP}
    schema = pa.schema({**columns, STATE: pa.binary()})
    row = {key: NEWER_ITEMS, HISTORY_VERSION: version, EVENT_TIMESTAMP: now, CREATED_TIMESTAMP: now, STATE: content}
    table = pa.Table.from_pylist([row], schema=schema)
    older = _files(workspace, spec.name, version)
    name = f"{newer_prefix(version)}{content_hash([content.hex(), now.isoformat()])[:8]}.parquet"
    atomic.add_file(_folder(workspace, spec.name) / name, lambda draft: pq.write_table(table, draft))
    for path in older:
        path.unlink(missing_ok=True)


def _files(workspace: Workspace, dataset: str, version: str) -> list[Path]:
    return sorted(_folder(workspace, dataset).glob(f"{newer_prefix(version)}*.parquet"))


def _folder(workspace: Workspace, dataset: str) -> Path:
    return workspace.offline_table(dataset, "item_history")
