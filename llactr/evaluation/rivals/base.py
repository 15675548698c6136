"""What a rival is: a few settings to try, a fit on training rows that stops by validation rows, and scores.

n rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from llactr.evaluation.rivals.rows import RivalRows

__all__ = ["FittedRival", "Rival", "Settings"]

Settings = Mapping[str, Any]
"""What a rival is told, by name; JSON can hold it."""


class FittedRival(Protocol):
    """A fitted rival."""

    @property
    def rounds(self) -> int:
        """Trees, or passes over the rows, of the model that is kept."""

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Click probabilities (n,) of some rows, by their numbers, all that this takes from their ids on included."""


class Rival(ABC):
    """A kind of model. `package` is the import name of what it needs, `search` the settings that are tried.

    A rival may look at the labels of training and validation rows, never at those of test rows.
    """

    package: ClassVar[str]
    search: ClassVar[Sequence[Settings]]

    @abstractmethod
    def fit(self, rows: RivalRows, settings: Settings, *, seed: int, threads: int) -> FittedRival:
        """Fits on the training rows; the validation rows say for how long.

        Args:
            rows: all rows.
            settings: one of `search`.
            seed: of what is random.
            threads: to use at most.
        """
