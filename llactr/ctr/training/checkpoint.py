"""Checkpoints: the whole state of a training run, written so that it is there whole or not at all.

```
<folder>/step-000001200/
  state.safetensors     weights, moments, generators, sums of the running epoch
  best.safetensors      weights of the best epoch so far, if any; a link to the last checkpoint's when it is the same
  checkpoint.json       where training stands, its history, and the fingerprint of what is trained
```
A checkpoint is written as `llactr.atomic` writes folders. Killed at any moment, a run loses what it did
since the last rename; the newest checkpoint that can be read is taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llactr.atomic import writing_folder
from llactr.errors import InputError

__all__ = ["Checkpoint", "Checkpoints", "StopRequest"]

_STATE, _BEST, _FACTS = "state.safetensors", "best.safetensors", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: tensors by name, the best epoch's weights by name, and JSON-like facts."""

    state: dict[str, Tensor]
    best: dict[str, Tensor] | None
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: of this run alone.
        every_steps: save after so many steps; None for never.
        every_minutes: save after so many minutes; None for never.
        keep: how many of the newest stay.
    """

    def __init__(
        self, folder: Path, *, every_steps: int | None = None, every_minutes: float | None = None, keep: int = 2
    ) -> None:
        self.folder, self.every_steps, self.every_minutes, self.keep = folder, every_steps, every_minutes, keep
        self._saved_at = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether it is time to save after a step."""
        by_steps = self.every_steps is not None and step % self.every_steps == 0
        waited_s = time.monotonic() - self._saved_at
        return by_steps or (self.every_minutes is not None and waited_s >= 60 * self.every_minutes)

    def save(self, step: int, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint and removes those that are too old; returns its folder."""
        target = self.folder / f"step-{step:09d}"
        with writing_folder(target) as draft:
            save_file(_own(checkpoint.state), draft / _STATE)
            if checkpoint.best is not None and not self._link_best(draft, checkpoint):
                save_file(_own(checkpoint.best), draft / _BEST)
            (draft / _FACTS).write_text(json.dumps(checkpoint.facts, indent=1), encoding="utf-8")
        for old in self._finished()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)
        self._saved_at = time.monotonic()
        return target

    def latest(self, fingerprint: str) -> Checkpoint | None:
        """The newest checkpoint that can be read; None when there is none.

        Raises:
            InputError: it belongs to another model, data or configuration.
        """
        for folder in reversed(self._finished()):
            try:
                facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
                state = load_file(folder / _STATE)
                best = load_file(folder / _BEST) if facts["best"] is not None else None
            except (OSError, ValueError, KeyError, SafetensorError):
                continue
            if facts["fingerprint"] != fingerprint:
                raise InputError(
                    f"the checkpoint {folder} was made with another model, data or configuration "
                    f"({facts['fingerprint'][:12]}, now {fingerprint[:12]}): use another folder, or remove it"
                )
            return Checkpoint(state, best, facts)
        return None

    def steps(self) -> list[int]:
        """The steps of the checkpoints there are, rising."""
        return [int(folder.name.removeprefix("step-")) for folder in self._finished()]

    def discard_after(self, step: int) -> None:
        """Removes checkpoints of later steps, which other processes of the run do not have."""
        for folder, at in zip(self._finished(), self.steps(), strict=True):
            if at > step:
                shutil.rmtree(folder)

    def _finished(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())

    def _link_best(self, draft: Path, checkpoint: Checkpoint) -> bool:
        """Whether the last checkpoint's best weights could be taken over without copying them."""
        with contextlib.suppress(IndexError, OSError, ValueError, KeyError):
            last = self._finished()[-1]
            if json.loads((last / _FACTS).read_text(encoding="utf-8"))["best"] == checkpoint.facts["best"]:
                os.link(last / _BEST, draft / _BEST)
                return True
        return False


class StopRequest:
    """Whether the process was asked to end (SIGTERM) while `listening`; asked only between steps."""

    def __init__(self) -> None:
        self.asked = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes SIGTERM as a request to stop after the present step; outside the main thread it changes nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(_signal: int, _frame: object) -> None:
            self.asked = True

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as a file can hold them: on the CPU, contiguous, none sharing memory with another."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
