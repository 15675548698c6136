"""Seven data sets, all arms with their placebos and the rivals: one command that goes on where it was killed.

    python -m research.many --data FOLDER --cache DIR [SET ...]         # runs what is missing, keeps it, prints it
    python -m research.many --data FOLDER --cache DIR --choose [SET ...] # chooses anew among what is kept, on validation
    python -m research.many --page                                      # tables and picture of what is kept, no data

FOLDER holds one folder a set with its raw files (`research.datasets.tables` says whose they are), DIR gets tables and
workspaces. Each set's figures are kept in `research/results/many/SET.parquet`, and a set that is kept is left alone
unless it is asked for `--again`. The split is chronological, 8:1:1; settings are the product's defaults but for the
weight decay, nothing is chosen on test, and every arm of a set is trained before its test rows are read, once. The sets
come in the order of their size, so that a run that is cut short has most of them.

`--tuned` asks another question, whether value vectors gain by being tuned on likes, of the sets that have some; what it
finds is kept in `research/results/many/tuned`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from llactr.errors import LlactrError
from llactr.evaluation.rivals.kinds import RIVALS
from research.datasets.tables import names
from research.many.page import page
from research.many.picture import write_picture
from research.many.study import Plan, choose_anew, run_set
from research.results import RESULTS, keep, load

KEPT = RESULTS / "many"
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "many.svg"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"{', '.join(names())}; all without one")
    parser.add_argument("--data", type=Path, help="one folder a set, with its raw files")
    parser.add_argument("--cache", type=Path, help="gets tables and workspaces")
    parser.add_argument("--backbones", nargs="+", default=["fm", "deepfm"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rivals", nargs="*", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--tuned", action="store_true", help="values tuned on likes against untuned ones, nothing else")
    parser.add_argument(
        "--again", action="store_true", help="also the sets that are kept; their test rows are read again"
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="say anew which arm the product would serve of what is kept; reads no test",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder of the figures")
    parser.add_argument("--page", action="store_true", help="print tables of what is kept, and draw the picture")
    options = parser.parse_args()
    unknown = [name for name in options.sets if name not in names()]
    if unknown:
        parser.error(f"no data set {unknown[0]!r}: choose one of {', '.join(names())}")
    if not options.page:
        if options.data is None or options.cache is None:
            parser.error("--data and --cache are needed, or --page")
        torch.set_num_threads(options.threads)
        plan = Plan(
            options.data,
            options.cache,
            tuple(options.backbones),
            options.seeds,
            tuple(options.rivals),
            tuned=options.tuned,
        )
        for name in options.sets or names():
            path = options.kept / "tuned" / f"{name}.parquet" if options.tuned else options.kept / f"{name}.parquet"
            if options.choose:
                if path.exists() and "past" in (before := load(path)):
                    keep(choose_anew(before, plan), path)
                continue
            if path.exists() and not options.again:
                print(f"{name}: kept already, its test rows are read again with --again", file=sys.stderr)
                continue
            try:
                found = run_set(name, plan, earlier=_readings(path))
            except LlactrError as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            if "left_out" in found:
                print(f"{name}: left out, {found['left_out']}", file=sys.stderr)
                continue
            keep(found, path)
            print(f"{name}: kept, {sum(found['cpu_s'].values()):.0f} CPU-seconds", file=sys.stderr)
    kept = [load(path) for name in names() if (path := options.kept / f"{name}.parquet").exists()]
    if not kept:
        parser.error(f"nothing is kept in {options.kept}: run it with --data and --cache")
    print(page(kept))
    if options.page:
        write_picture(kept, PICTURE)


def _readings(path: Path) -> list[str]:
    """When a set's test rows were read for what is kept of it."""
    if not path.exists():
        return []
    reading = load(path)["reading"]
    return [*reading["earlier_readings"], reading["read_at"]]


if __name__ == "__main__":
    main()
