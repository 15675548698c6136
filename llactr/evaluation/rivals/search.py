"""Fits a rival with each of its settings, keeps the one of the best validation AUC, and scores the test rows with it.

What is kept of it is a file: the scores, the settings that were tried, and what it cost. The test rows' labels are not
read here.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.numpy import save_file

from llactr.atomic import writing_file
from llactr.ctr.metrics import measure
from llactr.errors import InputError
from llactr.evaluation.rivals.base import FittedRival
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.rows import RivalRows
from llactr.extras import EXTRAS, missing_extra, naming_extras

__all__ = ["SearchedRival", "TriedSettings", "check_rivals", "kept_facts", "kept_scores", "search_rival"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TriedSettings(_Model):
    """One fit: its settings, validation AUC and logloss, rounds, and CPU seconds."""

    settings: dict[str, Any]
    auc: float
    logloss: float
    rounds: int
    cpu_s: float


class SearchedRival(_Model):
    """A rival's search: all that was tried, and which of it was kept.

    `scored_per_cpu_s` are rows per CPU-second from their ids to probabilities.
    """

    rival: str
    seed: int
    tried: tuple[TriedSettings, ...]
    best: int
    scored_per_cpu_s: float | None

    @property
    def chosen(self) -> TriedSettings:
        """The fit that was kept."""
        return self.tried[self.best]

    @property
    def cpu_s(self) -> float:
        """Of the whole search."""
        return sum(one.cpu_s for one in self.tried)


def search_rival(name: str, rows: RivalRows, path: Path, *, seed: int, threads: int) -> SearchedRival:
    """Searches, and writes what is kept; the file is there as a whole or not at all.

    Args:
        name: of the rival.
        rows: all rows.
        path: of the file.
        seed: of what is random.
        threads: to use at most.

    Raises:
        InputError: there is no such rival, or its package is not installed.
    """
    with naming_extras():
        rival = RIVALS[name]()
        tried: list[TriedSettings] = []
        best: FittedRival | None = None
        at = 0
        held = rows.split.validation
        for number, settings in enumerate(rival.search):
            started = time.process_time()
            fitted = rival.fit(rows, settings, seed=seed, threads=threads)
            cpu_s = time.process_time() - started
            found = measure(rows.label[held], fitted.score(held))
            assert found.auc is not None, "the validation rows have both classes"
            assert found.logloss is not None
            tried.append(
                TriedSettings(
                    settings=dict(settings), auc=found.auc, logloss=found.logloss, rounds=fitted.rounds, cpu_s=cpu_s
                )
            )
            if best is None or found.auc > tried[at].auc:
                best, at = fitted, number
        assert best is not None, "a rival has settings to try"
        started = time.process_time()
        scores = best.score(rows.split.test)
        seconds = time.process_time() - started
    rate = len(scores) / seconds if seconds > 0 else None
    searched = SearchedRival(rival=name, seed=seed, tried=tuple(tried), best=at, scored_per_cpu_s=rate)
    with writing_file(path) as draft:
        save_file({"test": scores.astype(np.float32)}, draft, metadata={"facts": searched.model_dump_json()})
    return searched


def check_rivals(names: Iterable[str]) -> None:
    """Refuses a rival whose package is not installed, before any work.

    Raises:
        InputError: the package is missing; the message names the extra, or the package.
    """
    for name in names:
        package = RIVALS[name].package
        if importlib.util.find_spec(package) is None:
            if package in EXTRAS:
                raise missing_extra(package)
            raise InputError(f"the rival {name!r} needs the package {package!r}, which is not installed")


def kept_facts(path: Path) -> SearchedRival:
    """How a kept search went."""
    with safe_open(path, "np") as file:
        return SearchedRival.model_validate_json(file.metadata()["facts"])


def kept_scores(path: Path) -> NDArray[np.float32]:
    """Click probabilities of the test rows, in their order, by the model that was kept."""
    with safe_open(path, "np") as file:
        scores: NDArray[np.float32] = file.get_tensor("test")
        return scores
