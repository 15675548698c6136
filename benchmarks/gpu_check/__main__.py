"""Tries on one card all that llactr does there, against the CPU: under eight minutes, without network.

    make gpu-check FAISS=gpu                                      # all of it, into gpu-check.json
    python -m benchmarks.gpu_check --device cpu --small           # that the check itself works: two CPU-minutes
    python -m benchmarks.gpu_check --bundle folder                # what a machine without network needs

Every check ends as passed, failed or left out (what it lacks is told), and the others go on; the exit code is 1 unless
all have passed. Rates to aim for are told as reached or not on a card alone. Shares of bandwidth are bytes that a model
has to move, computed from its sizes, over time, against a copy within the same memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts: a product adds up in one order

from rich.console import Console

from benchmarks.gpu_check.check import Found, Setting, run_checks

__all__ = ["checks", "main"]


def checks() -> dict[str, Callable[[Setting], Found]]:
    """The checks by name, in order; each imports what it needs when it begins."""
    return {
        "encode MiniLM": partial(_call, "encoders.encoded", model="minilm"),
        "tune MiniLM": partial(_call, "encoders.tuned", model="minilm"),
        "encode SmolLM2": partial(_call, "encoders.encoded", model="smollm2"),
        "tune SmolLM2": partial(_call, "encoders.tuned", model="smollm2"),
        "train DeepFM": partial(_call, "training.same_auc", backbone="deepfm"),
        "train FinalMLP": partial(_call, "training.same_auc", backbone="finalmlp"),
        "rate of DeepFM": partial(_call, "training.training_rate", backbone="deepfm"),
        "rate of FinalMLP": partial(_call, "training.training_rate", backbone="finalmlp"),
        "exact resume": partial(_call, "resume.exact_resume"),
        "out of core": partial(_call, "out_of_core.trained_from_disk"),
        "FAISS": partial(_call, "neighbours.same_neighbours"),
        "FAISS, many vectors": partial(_call, "neighbours.near_neighbours"),
        "scoring": partial(_call, "scoring.scored"),
    }


def _call(name: str, setting: Setting, **arguments: str) -> Found:
    from importlib import import_module

    module, function = name.split(".")
    found: Found = getattr(import_module(f"benchmarks.gpu_check.{module}"), function)(setting, **arguments)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks, prints the table and writes the JSON; 0 if all have passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto (the first GPU, else the CPU), cpu, cuda or cuda:N")
    parser.add_argument("--small", action="store_true", help="small sizes; always on a CPU")
    parser.add_argument("--only", nargs="+", choices=list(checks()), help="only these checks")
    parser.add_argument("--minutes", type=float, default=7.0, help="no check begins after so many")
    parser.add_argument("--models", type=Path, help="a folder with the models minilm and smollm2, else installed ones")
    parser.add_argument("--json", type=Path, help="a file for what was found")
    parser.add_argument("--bundle", type=Path, help="collect wheels and models in a folder, and check nothing")
    asked = parser.parse_args(arguments)
    if asked.bundle is not None:
        from benchmarks.gpu_check.bundle import collect

        collect(asked.bundle)
        return 0
    from benchmarks.gpu_check.card import copy_bandwidth, facts
    from benchmarks.gpu_check.report import as_json, show, write
    from llactr.device import pick_device

    device = pick_device(asked.device)
    small = asked.small or device.type == "cpu"
    console = Console(width=None if sys.stdout.isatty() else 140)
    warnings.filterwarnings("ignore", message=".*deterministic.*")
    chosen = {name: check for name, check in checks().items() if not asked.only or name in asked.only}
    bandwidth = copy_bandwidth(device, size_bytes=(64 if small else 2048) * 2**20)
    with tempfile.TemporaryDirectory() as folder:
        done = run_checks(
            chosen,
            Setting(device, small, Path(folder), asked.models, bandwidth),
            seconds=asked.minutes * 60,
            shown=lambda name: print(f"{name} ...", file=sys.stderr, flush=True),
        )
    content = as_json(facts(device), done, small=small, bandwidth=bandwidth)
    show(content, console)
    if asked.json is not None:
        write(content, asked.json)
    return 0 if content["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
