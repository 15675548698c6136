"""Vowpal Wabbit: logistic regression with hashed features, learned online, as many click logs are scored with."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.ctr.metrics import auc
from llactr.evaluation.rivals.base import Rival, Settings
from llactr.evaluation.rivals.kinds import RIVALS
from llactr.evaluation.rivals.rows import RivalRows
from llactr.transforms import PAD

__all__ = ["VowpalWabbit"]

_MAX_PASSES = 8
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class _Linear:
    workspace: Any
    rows: RivalRows
    passes: int

    @property
    def rounds(self) -> int:
        return self.passes

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return _scores(self.workspace, _lines(self.rows, rows))


@RIVALS.register("vowpalwabbit")
class VowpalWabbit(Rival):
    """Values alone, or all pairs of them as well; two learning rates. Rows are learned in the order of time."""

    package = "vowpalwabbit"
    search = (
        {"interactions": False, "learning_rate": 0.1},
        {"interactions": False, "learning_rate": 0.5},
        {"interactions": True, "learning_rate": 0.1},
        {"interactions": True, "learning_rate": 0.5},
    )

    def fit(self, rows: RivalRows, settings: Settings, *, seed: int, threads: int) -> _Linear:
        """Up to 8 passes; the first pass after which validation AUC falls ends it, and the one before is kept.

        It has one thread, and nothing in it is random.
        """
        given = _arguments(settings)
        training = list(_lines(rows, rows.split.train, labelled=True))
        held = list(_lines(rows, rows.split.validation))
        label = rows.label[rows.split.validation]
        best, passes = -1.0, 0
        workspace = _workspace(given)
        for number in range(1, _MAX_PASSES + 1):
            for line in training:
                workspace.learn(line)
            found = auc(label, _scores(workspace, held))
            if found <= best:
                break
            best, passes = found, number
        if number > passes:  # learned once too often: as online learning is cheap, it is done again
            workspace.finish()
            workspace = _workspace(given)
            for _ in range(passes):
                for line in training:
                    workspace.learn(line)
        return _Linear(workspace, rows, passes)


def _arguments(settings: Settings) -> str:
    pairs = " --interactions ::" if settings["interactions"] else ""
    return (
        "--quiet --no_stdin --loss_function logistic --link logistic -b 22 --random_seed 1 "
        f"--learning_rate {settings['learning_rate']}{pairs}"
    )


def _workspace(arguments: str) -> Any:
    import vowpalwabbit

    return vowpalwabbit.Workspace(arguments)


def _scores(workspace: Any, lines: Any) -> NDArray[np.float32]:
    return np.fromiter((workspace.predict(line) for line in lines), np.float32)


def _lines(rows: RivalRows, chosen: NDArray[np.int64], *, labelled: bool = False) -> Iterator[str]:
    """`1 |a 17 |b 3 5 |c 0:0.5`: a namespace a field. Ordered columns count as categories, measured ones by value."""
    spaces: list[list[str]] = []
    for ids in rows.categories.values():
        space = _namespace(len(spaces))
        spaces.append([f"{space} {value}" for value in ids[chosen].tolist()])
    for ids in rows.lists.values():
        space = _namespace(len(spaces))
        some = ids[chosen].tolist()
        spaces.append([f"{space} " + " ".join(str(value) for value in row if value != PAD) for row in some])
    for values in rows.ordered.values():
        space = _namespace(len(spaces))
        spaces.append([f"{space} {value:g}" for value in values[chosen].tolist()])
    for values in rows.measured.values():
        space = _namespace(len(spaces))
        known = values[rows.split.train]
        known = known[~np.isnan(known)]
        mean, deviation = (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)
        scaled = ((values[chosen] - mean) / deviation).clip(-5, 5).tolist()
        spaces.append([f"{space} missing" if value != value else f"{space} 0:{value:.4g}" for value in scaled])
    heads = [f"{1 if label > 0 else -1} " for label in rows.label[chosen].tolist()] if labelled else [""] * len(chosen)
    return (head + " ".join(parts) for head, *parts in zip(heads, *spaces, strict=True))


def _namespace(number: int) -> str:
    """A namespace a field; interactions look at its first letter alone, so fields past the 62nd share theirs."""
    return f"|{_LETTERS[number % len(_LETTERS)]}{number}"
