"""A recipe's tables in the cache: Parquet files beside an `origin.json` that says where they came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llactr.atomic import writing_folder
from llactr.manifest import file_hash

__all__ = ["ORIGIN", "intact", "writing_tables"]

ORIGIN = "origin.json"


@contextmanager
def writing_tables(
    target: Path, names: Sequence[str], *, origin: str, credit: str, facts: dict[str, Any] | None = None
) -> Iterator[Path]:
    """A fresh folder for the tables `<name>.parquet`; it becomes `target` once the block ends well.

    Args:
        target: the folder in the cache.
        names: the tables that the block writes.
        origin: where the rows came from.
        credit: whom to thank.
        facts: what else to note in `origin.json`; the block may add to it.
    """
    with writing_folder(target) as draft:
        yield draft
        hashes = {f"{name}.parquet": file_hash(draft / f"{name}.parquet") for name in names}
        content = {"origin": origin, "credit": credit, **(facts or {}), "sha256": hashes}
        (draft / ORIGIN).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def intact(folder: Path, names: Sequence[str]) -> bool:
    """Whether a folder holds the tables, unchanged since they were written."""
    try:
        hashes = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))["sha256"]
        return all(file_hash(folder / f"{name}.parquet") == hashes[f"{name}.parquet"] for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return False
