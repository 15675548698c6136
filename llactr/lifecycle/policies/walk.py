"""Walks through a data set's time, period by period, once for each policy of retraining; every period is kept.

```
replays/running/<dataset>-<key>/
  first/                        the model that all policies begin with
  <policy>/003/                 a period: figures.json, scores.safetensors, model/ where one was trained and is live
```
A period's folder is there whole or not at all, so a walk that was killed goes on with the period that it was at, and
ends the same. A model that is live no longer is removed. When all is done the figures become the artifact, and the
folder goes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from llactr.atomic import writing_folder
from llactr.ctr.metrics import logloss, measure
from llactr.evaluation.prequential import PeriodFigures, PolicyFigures, PolicyName, PrequentialResult, figures_of
from llactr.lifecycle.policies.config import WalkConfig
from llactr.lifecycle.policies.models import WalkedRows
from llactr.lifecycle.policies.periods import Period, periods_of

__all__ = ["walk"]

_FIGURES, _SCORES, _MODEL = "figures.json", "scores.safetensors", "model"
Shown = Callable[[int, int, str], None]


def walk(rows: WalkedRows, config: WalkConfig, folder: Path, progress: Shown) -> PrequentialResult:
    """Walks through all periods for each policy; what a folder holds of an earlier walk is taken over.

    Args:
        rows: joined.
        config: periods and policies.
        folder: of this walk alone.
        progress: told how many periods of how many are done.

    Raises:
        InputError: there is no period.
        DataError: the rows of a split have one label.
    """
    periods = periods_of(rows.times, every_us=round(config.every * 1e6), first=config.first)
    first, spent = folder / "first", 0.0
    if not first.is_dir():
        progress(0, 0, f"the first model, of {periods[0].start:,} rows")
        with writing_folder(first) as draft:
            began = time.process_time()
            rows.train_anew(draft / _MODEL, periods[0].start)
            (draft / _FIGURES).write_text(json.dumps(time.process_time() - began), encoding="utf-8")
    spent = float(json.loads((first / _FIGURES).read_text(encoding="utf-8")))
    total, found = len(periods) * len(config.policies), []
    for number, policy in enumerate(config.policies):

        def shown(done: int, number: int = number, policy: str = policy) -> None:
            progress(number * len(periods) + done, total, f"{policy}: period {done} of {len(periods)}")

        found.append(_walked(rows, config, policy, periods, folder, shown))
    scored = slice(periods[0].start, periods[-1].stop)
    label = rows.label[scored]
    return PrequentialResult(
        dataset=rows.spec.name,
        backbone=rows.config.backbone,
        arm=str(rows.config.arm),
        every_seconds=config.every,
        first_rows=periods[0].start,
        first_cpu_seconds=round(spent, 3),
        rows=len(label),
        positives=int(np.count_nonzero(label)),
        constant_logloss=logloss(label, _rates(rows.label, periods)),
        policies=tuple(found),
    )


def _walked(
    rows: WalkedRows,
    config: WalkConfig,
    policy: PolicyName,
    periods: list[Period],
    folder: Path,
    progress: Callable[[int], None],
) -> PolicyFigures:
    """One policy through all periods."""
    figures: list[PeriodFigures] = []
    scores: list[NDArray[np.float32]] = []
    for period in periods:
        place = folder / policy / f"{period.number:03d}"
        live = _model_of(folder, policy, figures[-1].live if figures else 0)
        if not place.is_dir():
            with writing_folder(place) as draft:
                _one_period(rows, config, policy, period, draft, live)
        figures.append(PeriodFigures.model_validate_json((place / _FIGURES).read_text(encoding="utf-8")))
        scores.append(load_file(place / _SCORES)["scores"])
        for number in {one.number for one in figures} - {0, figures[-1].live}:
            shutil.rmtree(folder / policy / f"{number:03d}" / _MODEL, ignore_errors=True)
        progress(len(figures))
    label = rows.label[periods[0].start : periods[-1].stop]
    return figures_of(policy, tuple(figures), label, np.concatenate(scores))


def _one_period(
    rows: WalkedRows, config: WalkConfig, policy: PolicyName, period: Period, draft: Path, live: Path
) -> None:
    """Trains as the policy says, unless it is the first period, and has the live model score the period's rows."""
    began, note, model, trained = time.process_time(), "", draft / _MODEL, False
    if period.number and policy == "cold":
        rows.train_anew(model, period.start)
        trained = True
    elif period.number and policy in {"warm", "gated"}:
        trained = rows.train_on(model, period.start, live, config.warm)
        note = "" if trained else "no new row to train on"
    if trained and policy == "gated":
        trial = rows.trial(model, live, period.start, config.promote)
        note = "; ".join(gate.sentence for gate in trial.gates if not gate.passed)
    spent = time.process_time() - began
    is_live = trained and not note
    before = 0 if live.parent.name == "first" else int(live.parent.name)
    rows_ = range(period.start, period.stop)
    scores = rows.scores(model if is_live else live, rows_)
    if trained and not is_live:
        shutil.rmtree(model)
    label = rows.label[period.start : period.stop]
    found = PeriodFigures(
        number=period.number,
        begins=datetime.fromtimestamp(period.begins / 1e6, UTC).isoformat(timespec="seconds"),
        rows=len(label),
        positives=int(np.count_nonzero(label)),
        auc=measure(label, scores).auc,
        logloss=logloss(label, scores),
        cpu_seconds=round(spent, 3),
        live=period.number if is_live else before,
        trained=trained,
        note=note,
    )
    save_file({"scores": scores}, draft / _SCORES)
    (draft / _FIGURES).write_text(found.model_dump_json(), encoding="utf-8")


def _model_of(folder: Path, policy: PolicyName, live: int) -> Path:
    return (folder / policy / f"{live:03d}" if live else folder / "first") / _MODEL


def _rates(label: NDArray[np.float32], periods: list[Period]) -> NDArray[np.float32]:
    """What a constant says of each scored row: the click rate of all rows before its period."""
    return np.concatenate([np.full(one.stop - one.start, label[: one.start].mean(), np.float32) for one in periods])
