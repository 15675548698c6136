"""What the workers of one service share: which bundle was asked for at run time, and how to tell the others."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from llactr.atomic import write_text

__all__ = ["Control"]


@dataclass(frozen=True)
class Control:
    """A folder of the parent's that lives as long as the service.

    Attributes:
        folder: holds the id of the bundle asked for last.
        parent: process id of the parent, which passes SIGHUP on to all workers.
    """

    folder: Path
    parent: int

    def target(self) -> str | None:
        """The bundle asked for last by /v1/admin/reload; None when there was none."""
        try:
            return self._file.read_text(encoding="utf-8") or None
        except OSError:
            return None

    def spread(self, bundle: str) -> None:
        """Has all workers load a bundle that this one has loaded already."""
        write_text(self._file, bundle)
        os.kill(self.parent, signal.SIGHUP)

    @property
    def _file(self) -> Path:
        return self.folder / "bundle"
