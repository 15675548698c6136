"""What more or less training on a bundle is worth: `python -m benchmarks.going_on WORKSPACE`, after `llactr replay`.

Walks through the dataset's weeks behind its first half as `llactr replay` does, for several ways of going on from one
and the same first model, and parts what `llactr replay` tells together: the mean AUC of weeks on all rows, on rows of
users that the live model was trained on, and on rows of users that it does not know. Figures are CPU-seconds of all
trainings; `--cold` trains anew each week as well, which costs twenty times as much.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llactr.ctr import Bundle
from llactr.ctr.metrics import measure
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.lifecycle.policies.models import WalkedRows
from llactr.lifecycle.policies.periods import Period, periods_of
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store.ingested import dataset_spec
from llactr.transforms import FIRST
from llactr.workspace import Workspace

__all__ = ["WAYS", "main"]

_WEEK_US = 7 * 24 * 3600 * 1_000_000
WAYS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one pass, 10 of new values before": ({}, {}),
    "20 of new values before": ({"new_value_passes": 20}, {}),
    "one pass": ({"new_value_passes": 0}, {}),
    "two passes": ({"new_value_passes": 0, "epochs": 2}, {}),
    "four passes": ({"new_value_passes": 0, "epochs": 4}, {}),
    "one pass, half the learning rate": ({"new_value_passes": 0}, {"learning_rate": 5e-4}),
    "one pass, batches of 512": ({"new_value_passes": 0}, {"batch_size": 512}),
}
"""What differs from the defaults: of `warm`, and of `train.training`, which the first model does not see."""

Next = Callable[[Path, int, Path], bool]


def known_users(spec: DatasetSpec, folder: Path, rows: WalkedRows, period: Period) -> NDArray[np.bool_]:
    """(R,) which of a period's rows are of users that a bundle was trained on."""
    transform = Bundle.load(folder).transform
    key = spec.entities["user"].join_key
    place = next(number for number, one in enumerate(spec.fields) if getattr(one, "column", None) == key)
    ids = transform.ids(rows.table.slice(period.start, period.stop - period.start))
    found: NDArray[np.bool_] = ids[:, int(transform.layout.slot_starts[place])] >= FIRST
    return found


def walked(rows: WalkedRows, periods: list[Period], first: Path, folder: Path, go_on: Next) -> tuple[str, float]:
    """A line of the table, and the CPU-seconds of all trainings."""
    live, spent = first, 0.0
    aucs: dict[str, list[float]] = {"all": [], "known": [], "new": []}
    for period in periods:
        if period.number:
            made, began = folder / f"{period.number:03d}", time.process_time()
            live = made if go_on(made, period.start, live) else live
            spent += time.process_time() - began
        label = rows.label[period.start : period.stop]
        scores = rows.scores(live, range(period.start, period.stop))
        known = known_users(rows.spec, live, rows, period)
        for name, mask in (("all", known | True), ("known", known), ("new", ~known)):
            found = measure(label[mask], scores[mask]).auc if mask.sum() >= 30 else None
            if found is not None:
                aucs[name].append(found)
    return " | ".join(f"{np.mean(some):.4f}" if some else "-" for some in aucs.values()), spent


def main(arguments: list[str] | None = None) -> None:
    """Prints a table."""
    from llactr.jobs.cli.console import Terminal

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, help="with one dataset, which `llactr replay` has walked through")
    parser.add_argument("--backbone", default="deepfm")
    parser.add_argument("--arm", default="plain")
    parser.add_argument("--cold", action="store_true", help="train anew each week as well")
    given = parser.parse_args(arguments)
    job = Job(Workspace.at(given.workspace), Terminal(as_json=True))
    (dataset,) = job.workspace.datasets()
    spec = dataset_spec(job.workspace, dataset)
    rows = WalkedRows.of(job, spec, TrainJobConfig(backbone=given.backbone, arm=given.arm))
    periods = periods_of(rows.times, every_us=_WEEK_US, first=0.5)
    print(f"{dataset}, {len(periods)} weeks: mean AUC of weeks, on all rows, of known users, of new users\n")
    print("| | all | known users | new users | CPU-s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        first = Path(place) / "first"
        first.mkdir()
        rows.train_anew(first, periods[0].start)

        def told(name: str, go_on: Next) -> None:
            line, spent = walked(rows, periods, first, Path(place) / name.replace(" ", "-"), go_on)
            print(f"| {name} | {line} | {spent:.1f} |", flush=True)

        told("never retrained", lambda *_: False)
        for name, (warm, training) in WAYS.items():
            told(name, _gone_on(rows, WarmConfig.model_validate(warm), training))
        if given.cold:
            told("anew", _anew(rows))


def _gone_on(rows: WalkedRows, warm: WarmConfig, training: dict[str, Any]) -> Next:
    own = dataclasses.replace(rows, config=rows.config.model_copy(update={"training": training}))

    def go_on(folder: Path, known: int, live: Path) -> bool:
        folder.mkdir(parents=True)
        return own.train_on(folder, known, live, warm)

    return go_on


def _anew(rows: WalkedRows) -> Next:
    def go_on(folder: Path, known: int, _: Path) -> bool:
        folder.mkdir(parents=True)
        rows.train_anew(folder, known)
        return True

    return go_on


if __name__ == "__main__":
    main()
