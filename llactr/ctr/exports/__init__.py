"""What a bundle can be exported to, one file each; entry points `llactr.exports` of other packages add theirs.

Importing this package imports none of them, nor torch: names are those of the files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llactr.registry import Registry

if TYPE_CHECKING:
    from llactr.ctr.bundle import Bundle

__all__ = ["EXPORTS", "Export"]

Export = Callable[["Bundle", Path], dict[str, Any]]
"""Writes a bundle into a folder that is there and empty; returns facts for `export.json`."""

EXPORTS: Registry[Export] = Registry(
    "export format", package=__name__, group="llactr.exports", order=("torch", "onnx", "parquet")
)
"""Name -> function."""
