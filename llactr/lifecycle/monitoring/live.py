"""The figures of a running service: rows are gathered as they are scored, and compared window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llactr.lifecycle.monitoring.profile import Profile
from llactr.lifecycle.monitoring.window import DEFAULTS, Finding, Thresholds, Window, compare
from llactr.spec import DatasetSpec
from llactr.transforms import FieldLayout

__all__ = ["LiveWindow"]


@dataclass
class LiveWindow:
    """Holds the ids and scores of one window; memory: 4 bytes a slot and row of it.

    Attributes:
        rows: of a window.
    """

    profile: Profile
    spec: DatasetSpec
    layout: FieldLayout
    rows: int = 1000
    thresholds: Thresholds = DEFAULTS
    _ids: list[NDArray[np.int32]] = field(default_factory=list)
    _scores: list[NDArray[np.float32]] = field(default_factory=list)
    _held: int = 0

    def add(self, ids: NDArray[np.int32], scores: NDArray[np.float32]) -> Window | None:
        """Takes the rows of a request in; a window where they complete one."""
        self._ids.append(ids[:, : self.layout.slot_count])
        self._scores.append(scores)
        self._held += len(ids)
        if self._held < self.rows:
            return None
        numbers = np.repeat(np.arange(len(self._ids)), [len(one) for one in self._ids])
        window = Window(np.concatenate(self._ids), np.concatenate(self._scores), requests=numbers)
        self._ids, self._scores, self._held = [], [], 0
        return window

    def judge(self, window: Window) -> Sequence[Finding]:
        """The figures of a window; some milliseconds."""
        return compare(self.profile, self.spec, self.layout, window, self.thresholds)
