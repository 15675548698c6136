"""Whether a challenger takes the champion's place: both score the newest rows, and gates say what is allowed.

The rows are the test split of the events as they are now: rows after all that the challenger was trained on, and
therefore after all that the champion, trained earlier, was trained on. Features are joined as of each row's moment,
history and value vectors included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.ctr.metrics import logloss, measure
from llactr.ctr.scoring import RowScorer, score_features
from llactr.datasets.rows import request_columns, request_table
from llactr.store import events_table
from llactr.store.ingested import dataset_spec
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = ["Figures", "Gate", "Gates", "Trial", "decide", "figures_of", "hold_trial"]


class Gates(BaseModel):
    """What a challenger has to reach.

    Attributes:
        auc: its AUC less the champion's, at least.
        logloss: its logloss less the champion's, at most.
        calibration: the distance of its mean score from the label rate, at most.
        min_positives: positives among the rows; with fewer nothing is decided, and the champion stays.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auc: float = Field(default=-0.001, ge=-1, le=1)
    logloss: float = Field(default=0.002, ge=-1, le=1)
    calibration: float = Field(default=0.02, gt=0, le=1)
    min_positives: int = Field(default=200, ge=1)


class Figures(BaseModel):
    """A model on the trial's rows; `calibration` is the mean score less the label rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    auc: float | None
    logloss: float
    calibration: float


class Gate(BaseModel):
    """One gate: what was found, the limit, and whether it is passed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    found: float | None
    limit: float
    passed: bool

    @property
    def sentence(self) -> str:
        """The gate in words."""
        found = "none" if self.found is None else f"{self.found:+.4f}"
        return f"{self.name} {found} (limit {self.limit:+.4f}): {'passed' if self.passed else 'not passed'}"


class Trial(BaseModel):
    """All of it; without a champion the challenger is held against the constant alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    positives: int
    challenger: Figures
    champion: Figures | None
    constant: Figures
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Whether the challenger takes the champion's place."""
        return all(gate.passed for gate in self.gates)


def hold_trial(
    workspace: Workspace,
    dataset: str,
    *,
    challenger: str,
    champion: str | None,
    gates: Gates,
    doubts: Sequence[str] = (),
) -> Trial:
    """Has both bundles, and the click rate of the rows before, score the newest rows.

    Args:
        workspace: where.
        dataset: whose.
        challenger: a bundle trained on the events as they are now.
        champion: the bundle in use; None for none.
        gates: what has to be reached.
        doubts: what speaks against serving the challenger at all; see `llactr.ctr.soundness`.

    Raises:
        BundleError, NotReadyError, StoreError: see `RowScorer.offline`.
    """
    spec = dataset_spec(workspace, dataset)
    events = events_table(workspace, spec)
    split = chronological_split(events.num_rows, spec.split)
    newest = events.slice(split.test.start, len(split.test))
    label = newest[LABEL].to_numpy().astype(np.float32)
    requests = request_table(newest.select([*dict.fromkeys([*request_columns(spec), EVENT_TIMESTAMP])]), spec)

    def figures(name: str) -> Figures:
        scorer = RowScorer.offline(workspace, dataset, name)
        return figures_of(
            name, label, score_features(scorer.bundle, scorer.source, scorer.source.features(requests))[1]
        )

    before = float(events[LABEL].to_numpy()[: len(split.train)].mean())
    constant = figures_of("constant", label, np.full(len(label), before, np.float32))
    one, other = figures(challenger), None if champion is None else figures(champion)
    positives = int(np.count_nonzero(label))
    return decide(one, other, constant, rows=len(label), positives=positives, gates=gates, doubts=doubts)


def decide(
    challenger: Figures,
    champion: Figures | None,
    constant: Figures,
    *,
    rows: int,
    positives: int,
    gates: Gates,
    doubts: Sequence[str] = (),
) -> Trial:
    """Holds figures against the gates."""
    found = [
        _at_most("doubts about serving it", float(len(doubts)), 0.0),
        _at_least("positives", float(positives), float(gates.min_positives)),
        _at_most("logloss against a constant", challenger.logloss - constant.logloss, 0.0),
        _at_most("calibration", abs(challenger.calibration), gates.calibration),
    ]
    if champion is not None:
        gain = None if challenger.auc is None or champion.auc is None else challenger.auc - champion.auc
        found += [
            _at_least("AUC against the champion", gain, gates.auc),
            _at_most("logloss against the champion", challenger.logloss - champion.logloss, gates.logloss),
        ]
    return Trial(
        rows=rows, positives=positives, challenger=challenger, champion=champion, constant=constant, gates=tuple(found)
    )


def figures_of(name: str, label: NDArray[np.float32], scores: NDArray[np.float32]) -> Figures:
    """The figures of scores (N,) of rows with labels (N,)."""
    found = measure(label, scores)
    gap = float(scores.mean()) - float(label.mean())
    return Figures(model=name, auc=found.auc, logloss=logloss(label, scores), calibration=gap)


def _at_least(name: str, found: float | None, limit: float) -> Gate:
    return Gate(name=name, found=found, limit=limit, passed=found is not None and found >= limit)


def _at_most(name: str, found: float, limit: float) -> Gate:
    return Gate(name=name, found=found, limit=limit, passed=found <= limit)
