"""What a bundle can be exported to, one file each; entry points `llactr.exports` of other packages add theirs.

Importing this package imports none of them, nor torch: names are those of the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llactr.pieces import ALONE, Workers
from llactr.registry import Registry

if TYPE_CHECKING:
    from llactr.ctr.bundle import Bundle
    from llactr.workspace import Workspace

__all__ = ["EXPORTS", "Export", "ExportSource"]


@dataclass(frozen=True)
class ExportSource:
    """What is exported: a bundle, where it lies, and the workspace whose tables and adapters it was made of.

    Attributes:
        buckets: for `training_set`, into how many parts the events are cut; None joins them all at once.
        workers: who joins the buckets.
    """

    bundle: Bundle
    folder: Path
    workspace: Workspace
    buckets: int | None = None
    workers: Workers = ALONE


Export = Callable[[ExportSource, Path], dict[str, Any]]
"""Writes into a folder that is there and empty; returns facts for `export.json`, `note` among them for people."""

EXPORTS: Registry[Export] = Registry(
    "export format", package=__name__, group="llactr.exports", order=("torch", "onnx", "parquet", "training_set", "hf")
)
"""Name -> function."""
