"""What the workers of one service share: which bundle was asked for at run time, and how to tell the others."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from llactr.atomic import write_text

__all__ = ["NEWEST", "Control"]

NEWEST = "*"
"""The bundle promoted last, or trained last where none ever was; no bundle is called so."""


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
        """The bundle asked for last by /v1/admin/reload, `NEWEST` after a SIGHUP from outside; None before either."""
        try:
            return self._file.read_text(encoding="utf-8") or None
        except OSError:
            return None

    def spread(self, bundle: str) -> None:
        """Has all workers load a bundle that this one has loaded already."""
        self._write(bundle)
        self._asked.touch()
        os.kill(self.parent, signal.SIGHUP)

    def follow(self) -> None:
        """Has a worker that takes the place of a dead one load the bundle promoted last, as the others have."""
        self._write(NEWEST)

    def hangup(self) -> None:
        """Called by the parent when it is sent SIGHUP: by a worker, for the bundle that it spread, or from outside."""
        if self._asked.exists():
            self._asked.unlink()
        else:
            self._write(NEWEST)

    def _write(self, target: str) -> None:
        write_text(self._file, target)

    @property
    def _asked(self) -> Path:
        return self.folder / "asked"

    @property
    def _file(self) -> Path:
        return self.folder / "bundle"
