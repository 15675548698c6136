"""How much of the past a warm training should read again: `python -m research.warm_windows SPEC WORKSPACE --until 8`.

Walks through the first periods alone (the later ones are for figures), once for each setting of `warm`, from one first
model, and prints AUC over all scored rows, the mean over periods, and CPU beside those of training anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.jobs.cli.console import Terminal
from llactr.lifecycle.policies.config import WalkConfig
from llactr.lifecycle.policies.models import WalkedRows
from llactr.lifecycle.policies.periods import periods_of
from llactr.lifecycle.policies.walk import walk
from llactr.spec import find_spec, load_spec
from llactr.steps import Job
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("workspace", type=Path, help="in which `llactr replay` has run")
    parser.add_argument("--until", type=int, default=8, help="periods that are looked at")
    parser.add_argument("--settings", nargs="+", default=["2:1", "2:4", "2:8"], help="EPOCHS:REPLAY_SHARE")
    parser.add_argument("--cold", action="store_true", help="train anew as well, to compare with")
    parser.add_argument("--backbone", default="deepfm")
    parser.add_argument("--rate", type=float, help="learning rate of warm trainings")
    given = parser.parse_args(arguments)
    name = load_spec(find_spec(given.spec)).name
    job = Job(Workspace.at(given.workspace), Terminal(as_json=True))
    model = TrainJobConfig(backbone=given.backbone, arm="plain")
    rows = WalkedRows.of(job, dataset_spec(job.workspace, name), model)
    week = WalkConfig(train=model)
    periods = periods_of(rows.times, every_us=round(week.every * 1e6), first=week.first)
    rows = dataclasses.replace(rows, table=rows.table.slice(0, periods[given.until - 1].stop))
    first = periods[0].start / len(rows.times) - 1e-9
    with tempfile.TemporaryDirectory() as folder:
        for setting in [*given.settings, *(["cold"] if given.cold else [])]:
            epochs, _, share = setting.partition(":")
            warm = WarmConfig() if setting == "cold" else WarmConfig(epochs=int(epochs), replay_share=float(share))
            training = {"learning_rate": given.rate} if given.rate and setting != "cold" else {}
            walked = dataclasses.replace(rows, config=model.model_copy(update={"training": training}))
            config = WalkConfig(
                first=first, train=model, warm=warm, policies=("cold",) if setting == "cold" else ("warm",)
            )
            place = Path(folder) / "walk"
            found = walk(walked, config, place, lambda done, total, note: None).policies[0]
            (place / found.policy).rename(Path(folder) / f"{setting}")
            print(
                f"{setting:>8}: AUC {found.auc:.4f}, mean of periods {found.mean_auc:.4f}, logloss {found.logloss:.4f}, "
                f"{found.cpu_seconds:.1f} CPU-seconds",
                flush=True,
            )


if __name__ == "__main__":
    main()
