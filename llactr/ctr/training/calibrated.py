"""Which calibration a model gets, and how: fitted on validation rows, chosen by rows of these that no fit has seen.

`auto` compares no calibration and Platt's, `chosen` the isotonic one as well: each is fitted on four fifths of the
validation rows and measured on the fifth that is left, five times. The simplest whose logloss is within one standard
error of the best is taken, fitted on all of them. The error is that of the mean difference of the rows' losses.

Legend: N validation rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from llactr.ctr.calibration import platt
from llactr.ctr.isotonic import Curve, isotonic
from llactr.ctr.metrics import row_logloss
from llactr.ctr.model import CTRModel

__all__ = ["KINDS", "RULE", "Kind", "calibrate", "chosen_kind"]

Kind = Literal["off", "platt", "isotonic"]
KINDS: tuple[Kind, ...] = ("off", "platt", "isotonic")
"""The simplest first."""
RULE = "auto: platt where logloss gains"
"""Names the rule among those of other versions, so that models of two of them are not compared as if of one."""
_FOLDS = 5
_Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def calibrate(
    model: CTRModel,
    kind: Kind,
    label: NDArray[np.float32],
    logits: NDArray[np.float32],
    *,
    before: NDArray[np.float32] | None,
) -> None:
    """Has a calibration follow the model's logits.

    Args:
        model: as it is, its logits being `logits`.
        kind: which; an isotonic one without clicks enough to bend is Platt's.
        label: (N,) 0 or 1, of both kinds.
        logits: (N,).
        before: labels of the training rows, which know the click rate better if it has not changed.

    Raises:
        DataError: the rows hold one kind, or a logit is not finite.
    """
    if kind == "off":
        return
    curve = isotonic(label, logits, before=before) if kind == "isotonic" else None
    if curve is None:
        model.calibrate(*platt(label, logits, before=before))
    else:
        model.bend(curve)


def chosen_kind(
    label: NDArray[np.float32],
    logits: NDArray[np.float32],
    *,
    before: NDArray[np.float32] | None,
    among: Sequence[Kind] = KINDS,
) -> Kind:
    """The simplest calibration within one standard error of the best, on rows (N,) that its fit has not seen.

    Raises:
        DataError: the rows hold one kind, or a logit is not finite.
    """
    fold = np.arange(len(label)) % _FOLDS
    platt(label, logits)  # refuses what no fold could be fitted on
    losses: dict[Kind, NDArray[np.float64]] = {kind: np.empty(len(label)) for kind in among}
    for number in range(_FOLDS):
        held, fit = fold == number, fold != number
        if not 0 < np.count_nonzero(label[fit]) < np.count_nonzero(fit):
            return "platt"
        for kind, some in losses.items():
            found = _fitted(kind, label[fit], logits[fit], before)(logits[held].astype(np.float64))
            some[held] = row_logloss(label[held], (1 / (1 + np.exp(-found))).astype(np.float32))
    best = min(losses.values(), key=lambda some: float(some.mean()))
    for kind, some in losses.items():
        gap = some - best
        if float(gap.mean()) <= float(gap.std()) / math.sqrt(len(gap)):
            return kind
    return among[-1]


def _fitted(
    kind: Kind, label: NDArray[np.float32], logits: NDArray[np.float32], before: NDArray[np.float32] | None
) -> _Map:
    if kind == "off":
        return lambda values: values
    curve: Curve | None = isotonic(label, logits, before=before) if kind == "isotonic" else None
    if curve is not None:
        return curve
    scale, shift = platt(label, logits, before=before)
    return lambda values: scale * values + shift
