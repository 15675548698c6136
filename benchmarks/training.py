"""Training side by side: llactr, FuxiCTR and DeepCTR-Torch on one click log, one thread, CPU time.

Each system runs in its own environment and process, through the same measuring code (`benchmarks/peers/rate.py`),
on rows in memory: no loader is measured. Both measurements treat all systems alike:

- *rates*, in training steps. Rounds alternate between the systems, so that a busy moment of the machine meets all of
  them; a ratio is taken within a round, and its median and range over the rounds are told.
- *test AUC* (`--auc`). Every system trains with every learning rate of one grid; the learning rate and the number of
  epochs with the highest validation AUC are taken, and the test AUC they have is told. Where FuxiCTR is too slow for
  that, both sides get fewer rows (`SPLITS`).

    python -m benchmarks.training --short                 # rates only, minutes
    python -m benchmarks.training --auc --out found.json  # an hour or two of one core

The environments are made on first use in `--folder` (torch 2.13.0 and the peer, nothing of llactr). Where that fails,
there being no network for example, the peer is left out, and said to be.
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
    # What FuxiCTR's constructor has when nothing is said.
    "finalmlp": {
        "first_hidden_units": [64, 64, 64],
        "second_hidden_units": [64, 64, 64],
        "gate_hidden_units": [64],
        "num_heads": 1,
    },
    "finalmlp-400": {
        "first_hidden_units": [400, 400, 400],
        "second_hidden_units": [400, 400, 400],
        "gate_hidden_units": [64],
        "num_heads": 1,
    },
    # `FinalMLP_default` of FuxiCTR's model_zoo/FinalMLP/config/model_config.yaml, called "a config template" there.
    "finalmlp-zoo": {
        "first_hidden_units": [1024, 512],
        "second_hidden_units": [1024, 512, 256],
        "gate_hidden_units": [1024, 512],
        "num_heads": 2,
    },
}
GOALS = {"fm": 10, "fwfm": 10, "deepfm": 1.5, "fmfm": 30}
GOALS |= dict.fromkeys(("finalmlp", "finalmlp-400", "finalmlp-zoo"), 10)  # times FuxiCTR
IDLE_RATES = {"fm": 26_000, "fwfm": 25_000, "deepfm": 16_000, "fmfm": 360, "finalmlp-zoo": 620}
"""FuxiCTR's rows per second in training, seen once on an idle machine; FinalMLP's sizes were not noted with it."""
BACKBONES = ("fm", "fwfm", "deepfm", "fmfm", "finalmlp", "finalmlp-400", "finalmlp-zoo")
SYSTEMS = {"fm": ("llactr", "fuxictr", "deepctr"), "deepfm": ("llactr", "fuxictr", "deepctr")}
SLOW = ("fmfm", "finalmlp-400", "finalmlp-zoo")  # at FuxiCTR: a step takes seconds
LEARNING_RATES = (1e-3, 2e-3, 4e-3, 8e-3)
EPOCHS = 2
ROWS = 1_000_000  # of the click log
SPLITS = {
    "many": {"train": [0, 200_000], "validation": [800_000, 900_000], "test": [900_000, 1_000_000]},
    "few": {"train": [0, 50_000], "validation": [800_000, 830_000], "test": [900_000, 930_000]},
}
"""Rows for the AUC; `few` for the backbones of SLOW."""


def prepare(folder: Path, seed: int = 0) -> dict[str, Path]:
    """The click log as arrays in memory-mapped files, and the jobs that every system gets: on many rows, on few."""
    place = folder / f"clicks-{ROWS}"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "probability.npy").exists():
        log = ClickLog().rows(ROWS)
        np.save(place / "ids.npy", log.values + RESERVED_IDS)
        np.save(place / "label.npy", log.label)
        np.save(place / "probability.npy", log.probability)
    label, probability = np.load(place / "label.npy"), np.load(place / "probability.npy")
    jobs = {}
    for name, splits in SPLITS.items():
        tested = slice(*splits["test"])
        job = {
            "ids": str(place / "ids.npy"),
            "label": str(place / "label.npy"),
            "sizes": [shape.size + RESERVED_IDS for shape in FIELDS],
            **splits,
            "batch_size": 4096,
            "seed": seed,
            "settings": SETTINGS,
            "auc_of_true_probabilities": auc(label[tested], probability[tested]),
        }
        jobs[name] = place / f"{name}-{seed}.json"
        jobs[name].write_text(json.dumps(job, indent=1))
    return jobs


def python_of(system: str, folder: Path) -> str | None:
    """The Python of a system's environment, made if it is not there; None where it cannot be made."""
    if system == "llactr":
        return sys.executable
    place = folder / f"env-{system}"
    python = place / "bin" / "python"
    if not (place / ".ready").exists():
        print(f"installing {', '.join(ENVIRONMENTS[system])} into {place}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *ENVIRONMENTS[system]]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{system} is left out: it cannot be installed\n{done.stderr[-1000:]}", file=sys.stderr)
            return None
        (place / ".ready").touch()
    return str(python)


def measure(python: str, system: str, backbone: str, job: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """One process of one system on one backbone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    environment["PYTHONPATH"] = str(REPO) if system == "llactr" else ""
    command = [python, str(PEERS / f"run_{system}.py"), "--job", str(job), "--backbone", backbone]
    began = time.monotonic()
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{system} failed on {backbone}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    told = {key: value for key, value in found.items() if key != "backbone"}
    took = time.monotonic() - began
    print(f"{backbone:14} {system:8} {' '.join(arguments)} {took:6.1f} s {told}", file=sys.stderr, flush=True)
    return found


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """All measurements; `arguments.out` is written after each backbone: an interrupted run leaves what it has."""
    jobs = prepare(arguments.folder, arguments.seed)
    pythons = {system: python_of(system, arguments.folder) for system in ("llactr", *ENVIRONMENTS)}
    found: dict[str, Any] = {
        "splits": SPLITS,
        "rounds": arguments.rounds,
        "learning_rates": arguments.learning_rates,
        "epochs": EPOCHS,
        "seed": arguments.seed,
        "load_average": os.getloadavg(),
        "left_out": [system for system, python in pythons.items() if python is None],
        "auc_of_true_probabilities": {
            name: json.loads(file.read_text())["auc_of_true_probabilities"] for name, file in jobs.items()
        },
        "settings": SETTINGS,
        "results": {},
    }
    for backbone in arguments.backbones:
        systems = {
            system: python
            for system in SYSTEMS.get(backbone, ("llactr", "fuxictr"))
            if (python := pythons[system]) is not None
        }
        rounds: dict[str, list[dict[str, Any]]] = {system: [] for system in systems}
        for _ in range(arguments.rounds):
            for system, python in systems.items():
                slow = backbone in SLOW and system != "llactr"
                options = ["--steps", "1" if slow else "5", "--pieces", "2" if slow or arguments.short else "4"]
                rounds[system].append(measure(python, system, backbone, jobs["many"], options))
        found["results"][backbone] = {system: _rates(runs) if runs else {} for system, runs in rounds.items()}
        if arguments.auc:
            size = "few" if backbone in SLOW else "many"
            for system, python in systems.items():
                if system in arguments.auc_of:
                    rates = arguments.learning_rates
                    runs = {
                        rate: measure(
                            python,
                            system,
                            backbone,
                            jobs[size],
                            ["--epochs", str(EPOCHS), "--learning-rate", str(rate)],
                        )
                        for rate in rates
                    }
                    found["results"][backbone][system]["auc"] = {"rows": size, **_chosen(runs)}
        if arguments.out is not None:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    return found


def _rates(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds, and all that was measured."""
    rounds = [statistics.median(run["rows_per_cpu_second"]) for run in runs]
    found: dict[str, Any] = {
        "rows_per_cpu_second": statistics.median(rounds),
        "rounds": rounds,
        "pieces": [run["rows_per_cpu_second"] for run in runs],
    }
    scoring = [run["mlp_rows_per_cpu_second"] for run in runs if "mlp_rows_per_cpu_second" in run]
    if scoring:
        # A step computes the products of a perceptron three times: forward, for the weights, for the input.
        found["ceilings"] = [rate / 3 for rate in scoring]
        found["shares_of_ceiling"] = [3 * own / rate for own, rate in zip(rounds, scoring, strict=True)]
    return found


def _chosen(runs: dict[float, dict[str, Any]]) -> dict[str, Any]:
    """The learning rate and the epoch of the highest validation AUC, and the test AUC they have."""
    rate, epoch = max(
        ((rate, epoch) for rate, run in runs.items() for epoch in range(len(run["validation_auc"]))),
        key=lambda at: runs[at[0]]["validation_auc"][at[1]],
    )
    return {
        "learning_rate": rate,
        "epoch": epoch + 1,
        "validation_auc": runs[rate]["validation_auc"][epoch],
        "test_auc": runs[rate]["test_auc"][epoch],
        "grid": {str(rate): run for rate, run in runs.items()},
    }


def _median(values: Sequence[float], form: str) -> str:
    """Median (lowest to highest)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def table(found: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    true = found["auc_of_true_probabilities"]
    lines = [
        f"Click log of 20 fields, D=32, batch 4096, fp32, one thread; median of {found['rounds']} rounds "
        "(range). Test AUC at the learning rate and epoch that validation chose; true probabilities have "
        f"{true['many']:.4f} ({true['few']:.4f} on the few rows).",
        "",
        "| backbone | system | rows per CPU-s | times FuxiCTR | goal | times FuxiCTR idle | test AUC | lr, epoch "
        "| share of ceiling |",
        "|---|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for backbone, systems in found["results"].items():
        for system, one in systems.items():
            cells = [backbone, system, _median(one["rounds"], ",.0f") if "rounds" in one else ""]
            other = systems.get("fuxictr", {})
            compared = system == "llactr"
            if "rounds" not in other or not compared:
                cells.append("")
            else:
                cells.append(_median([a / b for a, b in zip(one["rounds"], other["rounds"], strict=True)], ".1f"))
            cells.append(f"{GOALS[backbone]:g}" if compared else "")
            idle = IDLE_RATES.get(backbone)
            cells.append(f"{one['rows_per_cpu_second'] / idle:.1f}" if compared and idle and "rounds" in one else "")
            chosen = one.get("auc")
            cells.append("" if chosen is None else f"{chosen['test_auc']:.4f}" + "*" * (chosen["rows"] == "few"))
            cells.append("" if chosen is None else f"{chosen['learning_rate']:g}, {chosen['epoch']}")
            share = one.get("shares_of_ceiling")
            cells.append("" if share is None else _median(share, ".0%"))
            lines.append("| " + " | ".join(cells) + " |")
    if any("auc" in one for systems in found["results"].values() for one in systems.values()):
        many, few = (splits["train"][1] for splits in found["splits"].values())
        lines += ["", f"AUC: trained on {many:,} rows, both sides; \\* on {few:,}, a step of FuxiCTR takes seconds."]
    if found["left_out"]:
        lines += ["", f"Left out, because it could not be installed: {', '.join(found['left_out'])}."]
    return "\n".join(lines)


def main() -> None:
    """Prints one table, or with --json one object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="of the rates; 0 for AUC alone")
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--short", action="store_true", help="one round of few steps, rates only")
    parser.add_argument("--auc", action="store_true", help="train with each learning rate, and measure test AUC")
    parser.add_argument("--auc-of", nargs="+", default=["llactr", "fuxictr"], choices=["llactr", *ENVIRONMENTS])
    parser.add_argument("--learning-rates", nargs="+", type=float, default=list(LEARNING_RATES))
    parser.add_argument("--seed", type=int, default=0, help="of first weights and the order of rows")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="click log and environments")
    parser.add_argument("--out", type=Path, help="write the JSON here as well")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.rounds, arguments.auc = 1, False
    arguments.folder = arguments.folder.absolute()
    found = compare(arguments)
    print(json.dumps(found) if arguments.json else table(found))


if __name__ == "__main__":
    main()
