"""What a workspace holds, without what may differ between two runs: times, costs, and when a row was written."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from feast.protos.feast.core.Registry_pb2 import Registry
from feast.protos.feast.types.Value_pb2 import Value

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.manifest import content_hash, file_hash
from llactr.store.events.changes import Changes

__all__ = ["canonical", "differences"]

_VOLATILE = {
    "created", "seconds", "cpu_seconds", "peak_rss_mb", "views", "new", "new_rows", "tables", "train_seconds",
    "runs", "sha256_of_the_rest", "when",
}  # fmt: skip
_RUN = re.compile(r'"run": "[0-9a-f]{12}"')
"""The name of a materialization, in the online store's marks."""
_IGNORED = {".lock", "online.db-wal", "online.db-shm"}


def canonical(root: Path) -> dict[str, str]:
    """Relative path -> digest of what the file means. Drafts and whatever else is left over are in it by name."""
    found: dict[str, str] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and path.name not in _IGNORED):
        name = str(path.relative_to(root))
        if name.startswith(("forgotten/", "llactr.log")):
            continue  # killed after the last word of a receipt, a command that is run again writes another one
        if path.suffix == ".parquet":
            # Part names hold hashes of content, in which the time of writing is.
            name, digest = str(Path(name).parent / path.name.split("-")[0].split("@")[0]), _rows(path)
            while name in found:
                name += "+"
            found[name] = digest
        elif path.suffix == ".json":
            found[name] = content_hash(_lasting(json.loads(path.read_text(encoding="utf-8"))))
        elif path.name == "online.db":
            found |= {f"{name} {table}": digest for table, digest in _online(path).items()}
        elif path.name == "registry.db":
            registry = Registry.FromString(path.read_bytes())
            views = sorted(
                (view.spec.name, len(view.meta.materialization_intervals) > 0) for view in registry.feature_views
            )
            found[name] = content_hash(views)
        else:
            found[name] = file_hash(path)
    return found


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """The files that differ, are missing, or are too many."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def _rows(path: Path) -> str:
    table = pq.ParquetFile(path).read()
    # Of vectors the event time is when they were written; of events and entities it is data.
    written = {CREATED_TIMESTAMP} | ({EVENT_TIMESTAMP} if "vector" in table.column_names else set())
    kept = table.drop_columns([name for name in written if name in table.column_names])
    return hashlib.sha256(repr(kept.to_pydict()).encode()).hexdigest()


def _online(path: Path) -> dict[str, str]:
    """Table -> digest of its rows."""
    with sqlite3.connect(path) as connection:
        names = sorted(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        rows = {}
        for name in names:
            # Of rows of views without the moments of writing; of histories which are filled and up to which event.
            columns = "*" if name.startswith("llactr_history_") else "entity_key, feature_name, value"
            found = connection.execute(f'SELECT {columns} FROM "{name}"')
            rows[name] = sorted(_RUN.sub("", repr(_without_era(row))) for row in found)
    connection.close()
    return {name: content_hash(found) for name, found in rows.items()}


def _without_era(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row; one of changes without what its filling drew by lot."""
    if not isinstance(row[0], bytes) or b"#changed@" not in row[0]:
        return row
    value = Value.FromString(row[2])
    changes = Changes.parse(value.bytes_val)
    return row if changes is None else (row[0], row[1], changes.count, changes.items)


def _lasting(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _lasting(part) for name, part in content.items() if name not in _VOLATILE}
    return [_lasting(part) for part in content] if isinstance(content, list) else content
