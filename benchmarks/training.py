"""Training throughput side by side: llactr, FuxiCTR and DeepCTR-Torch on one click log, one thread, CPU time.

Each system runs in its own environment and process, through the same measuring code (`benchmarks/peers/rate.py`),
in training steps from rows in memory: no loader is measured. Runs alternate between the systems, so that a busy moment
of the machine meets all of them; medians and ranges are over the timed pieces of all rounds.

    python -m benchmarks.training --short            # rates only, minutes
    python -m benchmarks.training --auc              # and one epoch each, with test AUC

The environments are made on first use in `--folder` (torch 2.13.0 and the peer, nothing of llactr).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.click_log import FIELDS, ClickLog, auc

PEERS = Path(__file__).with_name("peers")
REPO = Path(__file__).parents[1]
TORCH = "torch==2.13.0"
ENVIRONMENTS = {
    "fuxictr": [TORCH, "fuxictr==2.3.10", "polars<2"],
    "deepctr": [TORCH, "deepctr-torch==0.3.0", "requests"],
}
RESERVED_IDS = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "deepfm": {"hidden_units": [300, 300, 128]},
    # FuxiCTR's own default sizes, and sizes at which the bilinear fusion weighs as much as the perceptrons.
    "finalmlp": {
        "first_hidden_units": [64, 64, 64],
        "second_hidden_units": [64, 64, 64],
        "gate_hidden_units": [64],
        "num_heads": 1,
    },
    "finalmlp-wide": {
        "first_hidden_units": [400, 400, 400],
        "second_hidden_units": [400, 400, 400],
        "gate_hidden_units": [64],
        "num_heads": 1,
    },
}
GOALS = {"fm": 10, "fwfm": 10, "deepfm": 1.5, "fmfm": 30, "finalmlp": 10}  # times FuxiCTR
BACKBONES = ("fm", "fwfm", "deepfm", "fmfm", "finalmlp", "finalmlp-wide")
SYSTEMS = {"fm": ("llactr", "fuxictr", "deepctr"), "deepfm": ("llactr", "fuxictr", "deepctr")}
SLOW_PEERS = {"fmfm", "finalmlp-wide"}  # few steps are timed; an epoch of FmFM takes FuxiCTR 40 CPU-minutes
LAZY_LEARNING_RATE = 2e-3  # the peers' 1e-3 moves a rare row on for many steps after it was read; lazy Adam does not


def prepare(folder: Path, rows: int) -> tuple[Path, dict[str, Any]]:
    """The click log as arrays in memory-mapped files, and the job that every system gets."""
    place = folder / f"clicks-{rows}"
    job_file = place / "job.json"
    if not job_file.exists():
        place.mkdir(parents=True, exist_ok=True)
        log = ClickLog().rows(rows)
        np.save(place / "ids.npy", log.values + RESERVED_IDS)
        np.save(place / "label.npy", log.label)
        tested = slice(rows * 9 // 10, rows)
        lazy = {"learning_rate": LAZY_LEARNING_RATE}
        job = {
            "ids": str(place / "ids.npy"),
            "label": str(place / "label.npy"),
            "sizes": [shape.size + RESERVED_IDS for shape in FIELDS],
            "train": [0, rows * 8 // 10],
            "test": [rows * 9 // 10, rows],
            "batch_size": 4096,
            "seed": 0,
            "settings": SETTINGS,
            "llactr_training": lazy,
            "auc_of_true_probabilities": auc(log.label[tested], log.probability[tested]),
        }
        job_file.write_text(json.dumps(job, indent=1))
    return job_file, json.loads(job_file.read_text())


def python_of(system: str, folder: Path) -> str:
    """The Python of a system's environment, made if it is not there."""
    if system == "llactr":
        return sys.executable
    place = folder / f"env-{system}"
    python = place / "bin" / "python"
    if not (place / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[system]], check=True)
        (place / ".ready").touch()
    return str(python)


def measure(system: str, backbone: str, job: Path, folder: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """One process of one system on one backbone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = str(REPO) if system == "llactr" else ""
    command = [python_of(system, folder), str(PEERS / f"run_{system}.py"), "--job", str(job), "--backbone", backbone]
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{system} failed on {backbone}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """All measurements."""
    job_file, job = prepare(arguments.folder, arguments.rows)
    results: dict[str, dict[str, Any]] = {}
    for round_number in range(arguments.rounds):
        for backbone in arguments.backbones:
            for system in SYSTEMS.get(backbone, ("llactr", "fuxictr")):
                slow = backbone in SLOW_PEERS and system != "llactr"
                options = ["--steps", "1" if slow else "10", "--repeats", "2" if slow or arguments.short else "5"]
                whole_epoch = arguments.auc and round_number == 0 and (not slow or arguments.slow_auc)
                if whole_epoch:
                    options = ["--steps", "10", "--auc"]
                began = time.monotonic()
                found = measure(system, backbone, job_file, arguments.folder, options)
                print(f"{backbone:14} {system:8} {time.monotonic() - began:6.1f} s", file=sys.stderr)
                kept = results.setdefault(backbone, {}).setdefault(system, {"rates": [], "test_auc": None})
                kept["rates"] += found["rows_per_cpu_second"]
                kept["test_auc"] = found.get("test_auc", kept["test_auc"])
                kept["scoring_rate"] = found.get("mlp_rows_per_cpu_second", kept.get("scoring_rate"))
    return {
        "rows": arguments.rows,
        "auc_of_true_probabilities": job["auc_of_true_probabilities"],
        "load_average": os.getloadavg(),
        "results": {b: {s: _summary(kept) for s, kept in systems.items()} for b, systems in results.items()},
    }


def _summary(kept: dict[str, Any]) -> dict[str, Any]:
    rates = kept["rates"]
    found = {
        "rows_per_cpu_second": round(statistics.median(rates)),
        "lowest": round(min(rates)),
        "highest": round(max(rates)),
        "pieces": len(rates),
        "test_auc": kept["test_auc"],
    }
    if kept["scoring_rate"] is not None:
        # A step computes the products of a perceptron three times: forward, for the weights, for the input.
        found["ceiling"] = round(kept["scoring_rate"] / 3)
        found["share_of_ceiling"] = round(found["rows_per_cpu_second"] / found["ceiling"], 3)
    return found


def table(found: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    lines = [
        f"{found['rows']:,} rows, 20 fields, D=32, batch 4096, fp32, one thread; test AUC after one epoch "
        f"(true probabilities: {found['auc_of_true_probabilities']:.4f})",
        "",
        "| backbone | system | rows per CPU-second (range) | times FuxiCTR (goal) | test AUC | share of ceiling |",
        "|---|---|---|---|---|---|",
    ]
    for backbone, systems in found["results"].items():
        for system, one in systems.items():
            times = one["rows_per_cpu_second"] / systems["fuxictr"]["rows_per_cpu_second"]
            goal = f" ({GOALS[backbone]:g})" if system == "llactr" and backbone in GOALS else ""
            measured = "" if one["test_auc"] is None else f"{one['test_auc']:.4f}"
            share = "" if "ceiling" not in one else f"{one['share_of_ceiling']:.0%} of {one['ceiling']:,}"
            lines.append(
                f"| {backbone} | {system} | {one['rows_per_cpu_second']:,} ({one['lowest']:,} to {one['highest']:,}) "
                f"| {times:.1f}{goal} | {measured} | {share} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Prints one table, or with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--short", action="store_true", help="one round, rates only")
    parser.add_argument("--auc", action="store_true", help="train an epoch each, and measure test AUC")
    parser.add_argument(
        "--slow-auc", action="store_true", help="also for the peers that take the better part of an hour"
    )
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="click log and environments")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.rounds, arguments.auc = 1, False
    arguments.folder = arguments.folder.absolute()
    found = compare(arguments)
    if arguments.out is not None:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
