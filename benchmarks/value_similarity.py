"""Similarity of many value vectors: CPU, memory, and recall of the index against brute force.

    python -m benchmarks.value_similarity                                     # 1M vectors of 128 numbers
    python -m benchmarks.value_similarity --vectors 10000000 --device gpu     # on a card

Vectors are made up: one of 20,000 centres and noise around it, as texts come in topics; of length 1. What is measured
is `llactr.diagnostics.value_neighbours.value_similarity`, which `llactr diagnose` calls for each field: centering,
building the index, the recall on 200 values, ten neighbours of 2,000. Each size is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
from numpy.typing import NDArray

__all__ = ["clustered", "main", "measure"]

_REPOSITORY = Path(__file__).resolve().parents[1]
_BLOCK_ROWS = 100_000


def clustered(count: int, dim: int, *, centres: int = 20_000, noise: float = 0.9) -> NDArray[np.float32]:
    """(N, L) unit vectors around centres; `noise` is the length of what is added to a centre of length 1."""
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((min(centres, max(count // 50, 1)), dim), dtype=np.float32)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    vectors = np.empty((count, dim), np.float32)
    for start in range(0, count, _BLOCK_ROWS):
        part = vectors[start : start + _BLOCK_ROWS]
        rng.standard_normal(out=part, dtype=np.float32)
        part *= noise / dim**0.5
        part += middles[rng.integers(0, len(middles), len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def measure(count: int, dim: int, device: Any) -> dict[str, Any]:
    """Figures of one size, in this process."""
    from llactr.diagnostics.value_neighbours import value_similarity

    value_similarity(clustered(500, dim), device=device)
    vectors = clustered(count, dim)
    before, wall, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    found = value_similarity(vectors, device=device)
    return {
        "vectors": count,
        "dim": dim,
        "vectors_mb": round(vectors.nbytes / 1e6),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "wall_seconds": round(time.perf_counter() - wall, 1),
        "peak_rss_mb": round(_peak_mb()),
        "rss_before_mb": round(before),
        **found.model_dump(mode="json"),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Prints a table and returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectors", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.dim, asked.device)))
        return []
    found = []
    print("| vectors | of | index | recall | CPU-s | peak RSS, MB | vectors themselves, MB |")
    print("|---:|---:|---|---:|---:|---:|---:|")
    for count in asked.vectors:
        command = [sys.executable, "-m", "benchmarks.value_similarity", "--measure", str(count)]
        command += ["--dim", str(asked.dim), "--device", asked.device]
        done = subprocess.run(command, cwd=_REPOSITORY, check=True, stdout=subprocess.PIPE)
        row = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {row['vectors']:,} | {row['dim']} | {row['index']} on {row['device']} | {row['recall']:.3f} "
            f"| {row['cpu_seconds']:,} | {row['peak_rss_mb']:,} | {row['vectors_mb']:,} |",
            flush=True,
        )
        found.append(row)
    if asked.json:
        asked.json.write_text(json.dumps({"benchmark": "value_similarity", "results": found}, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
