"""How well `llactr init` drafts: test AUC of specs taken as drafted, against those written by hand for the same sets.

    python -m research.drafted_specs [NAME ...] --data FOLDER --cache DIR [--seeds 3] [--backbone deepfm]

FOLDER holds one folder a set with the files as they were published, as for `research.datasets.tables`. Each set is
drafted from its raw files without an answer by anyone, ingested and trained (arm `plain`), and so is the spec by hand
on its tables; the table that is printed has both AUCs, the mean of the seeds, and how many kinds of columns are as by
hand. `--seeds 0` drafts alone and prints the kinds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from llactr.spec import load_spec
from research.datasets.tables import SPECS, names, prepared

FILES: dict[str, tuple[str, ...]] = {
    "steam-au-reviews": ("reviews.parquet", "steam_games.json.gz"),
    "ml-1m-sample100k": ("ratings_sample100k.dat", "movies.dat", "users.json"),
    "completejourney": ("transactions_sample.parquet", "products.parquet", "demographics.parquet"),
    "upworthy": ("upworthy_clean.parquet",),
    "movietweetings-100k": ("ratings.dat", "movies.dat"),
    "ml-latest-small": ("ratings.csv", "movies.csv", "tags.csv", "links.csv"),
    "ebnerd-demo": ("train_behaviors.parquet", "validation_behaviors.parquet"),
}
"""What a person would hand over of each set."""


RENAMED: dict[str, dict[str, str]] = {
    "ml-1m-sample100k": {"user_id": "userID", "zip_code": "zipcode"},
    "ml-latest-small": {"user_id": "userId", "item_id": "movieId"},
    "ebnerd-demo": {"article_id": "shown_article_id", "page_id": "article_id", "shown": "shown_count"},
}
"""Fields by hand -> what the raw files call them."""


def same_kinds(name: str, drafted: Path) -> tuple[int, int]:
    """How many fields of the spec by hand the draft has, of the same kind; and how many there are."""
    by_hand, found = load_spec(SPECS / f"{name}.yaml"), {one.name: one.kind for one in load_spec(drafted).fields}
    called = RENAMED.get(name, {})
    return sum(found.get(called.get(one.name, one.name)) == one.kind for one in by_hand.fields), len(by_hand.fields)


def llactr(*arguments: object) -> dict[str, Any]:
    """Runs a command with `--json`; returns what it printed."""
    command = [sys.executable, "-m", "llactr.jobs.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_auc(spec: Path, workspace: Path, data: Path, *, backbone: str, seeds: int) -> tuple[float, float]:
    """Test AUC of a spec, mean over seeds, and the rows it was trained and tested on in thousands."""
    at = ("--workspace", workspace)
    ingested = llactr("ingest", spec, "--data", data, *at)
    llactr("encode", "--untuned", *at)
    llactr("apply", *at)
    found = [
        llactr("train", "--arm", "plain", "--backbone", backbone, "--seed", seed, *at)["result"]
        for seed in range(seeds)
    ]
    return statistics.mean(one["metrics"]["test"]["auc"] for one in found), ingested["result"]["rows"] / 1000


def main() -> None:
    """Reads the command line, prints a line a set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--backbone", default="deepfm")
    options = parser.parse_args()
    print(
        "| set | rows by hand | rows drafted | AUC by hand | AUC drafted | difference | kinds | init, s"
        " |\n|---|---|---|---|---|---|---|---|"
    )
    right = total = 0
    for name in options.names or names():
        at = options.cache / "drafts" / name
        began = time.perf_counter()
        llactr(
            "init",
            *(options.data / name / file for file in FILES[name]),
            "--out",
            at / f"{name}.yaml",
            "--yes",
            "--force",
        )
        took = time.perf_counter() - began
        alike, fields = same_kinds(name, at / f"{name}.yaml")
        right, total = right + alike, total + fields
        if not options.seeds:
            print(f"| {name} | | | | | | {alike} of {fields} | {took:.0f} |", flush=True)
            continue
        settings = {"backbone": options.backbone, "seeds": options.seeds}
        folder = prepared(name, options.data, options.cache / "tables")
        hand, hand_rows = test_auc(SPECS / f"{name}.yaml", options.cache / "by-hand" / name, folder, **settings)
        ours, rows = test_auc(at / f"{name}.yaml", options.cache / "as-drafted" / name, at, **settings)
        auc = f"{hand:.4f} | {ours:.4f} | {ours - hand:+.4f}"
        print(f"| {name} | {hand_rows:.1f}k | {rows:.1f}k | {auc} | {alike} of {fields} | {took:.0f} |", flush=True)
    print(f"kinds as by hand: {right} of {total}")


if __name__ == "__main__":
    main()
