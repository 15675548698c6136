"""What a shadow costs a service: CPU a request with `serve --shadow` at share 1 and without, at one offered rate.

    python -m benchmarks.serving_shadow --workspace .llactr --bundle A --shadow B

The workspace holds MovieLens-100K and two bundles. A request ranks 200 films. The rate is one that both can
keep up with: a round in which a request was refused, or not scored twice, is left out and made again. Rounds alternate;
CPU is that of the service's process, what it does between requests included. The store is a Redis of our own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.serving import fill_redis, write_bodies
from benchmarks.serving_processes import Process, cpu_seconds, load, redis_server, service

__all__ = ["main", "measure"]

CANDIDATES = 200
_SETTLES_S = 1.0


def measure(started: Process, bodies: Path, *, seconds: float, rate: float) -> dict[str, Any]:
    """CPU milliseconds a request at an offered rate, and what the shadow scored, dropped and failed meanwhile."""
    load(started.port, bodies, seconds=min(2.0, seconds), connections=16, rate=rate)  # warm
    time.sleep(_SETTLES_S)
    cpu, before = cpu_seconds(started.process.pid), _shadow(started)
    found = load(started.port, bodies, seconds=seconds, connections=16, rate=rate)
    time.sleep(_SETTLES_S)  # what waits for the shadow is scored
    spent, after = cpu_seconds(started.process.pid) - cpu, _shadow(started)
    return {
        "requests": found["requests"],
        "statuses": found["statuses"],
        "cpu_ms": spent * 1000 / found["requests"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        **{name: after[name] - before.get(name, 0) for name in after},
    }


def _shadow(started: Process) -> dict[str, float]:
    """Requests that the shadow was given so far, by what became of them: scored, dropped, failed."""
    prefix = 'llactr_shadow_requests_total{outcome="'
    return {name[len(prefix) : -2]: value for name, value in started.metrics().items() if name.startswith(prefix)}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Prints a table and returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--bundle", required=True, help="id of the bundle that answers")
    parser.add_argument("--shadow", required=True, help="id of the one that scores beside it")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=10, help="requests a second, which both can keep up with")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    asked = parser.parse_args(arguments)
    found: dict[str, Any] = {
        "rate": asked.rate,
        "load_before": round(os.getloadavg()[0], 2),
        "candidates": CANDIDATES,
        "runs": [],
    }
    with redis_server() as (redis, _), tempfile.TemporaryDirectory() as folder:
        workspace, bodies = Path(folder) / "workspace", Path(folder) / "bodies.jsonl"
        shutil.copytree(asked.workspace, workspace)
        fill_redis(workspace, redis)
        write_bodies(workspace, bodies, candidates=CANDIDATES)
        plain: dict[str, Any] = {"redis": redis, "bundle": asked.bundle, "anyway": True}
        variants: list[tuple[str, dict[str, Any]]] = [
            ("without", {}),
            ("with", {"shadow": asked.shadow, "shadow_share": 1.0}),
        ]
        for _ in range(3 * asked.rounds):
            pair = []
            for name, settings in variants:
                with service(workspace, **plain, **settings) as started:
                    one = {"shadow": name, **measure(started, bodies, seconds=asked.seconds, rate=asked.rate)}
                print(one, flush=True)
                pair.append(one)
            answered = all(one["statuses"] == {"200": one["requests"]} for one in pair)
            if answered and pair[1].get("scored") == pair[1]["requests"]:
                found["runs"] += pair
            if len(found["runs"]) == 2 * asked.rounds:
                break
        else:
            raise SystemExit("too often not every request was answered and scored twice: give a lower --rate")
    without, beside = (
        [one["cpu_ms"] for one in found["runs"] if one["shadow"] == name] for name in ("without", "with")
    )
    ratios = [b / a for a, b in zip(without, beside, strict=True)]
    added = [(b - a) * 1000 / CANDIDATES for a, b in zip(without, beside, strict=True)]
    found |= {"times_the_cpu": ratios, "added_cpu_us_a_row": added}
    print(
        f"\n{asked.rate:g} requests a second of {CANDIDATES} films; median (least to most) of {asked.rounds} rounds\n"
    )
    print("| | |\n|---|---:|")
    for label, values, digits in (
        ("CPU ms a request, without", without, 2),
        ("CPU ms a request, with a shadow at share 1", beside, 2),
        ("times the CPU", ratios, 2),
        ("CPU added, µs a scored row", added, 1),
    ):
        spread = f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
        print(f"| {label} | {spread} |")
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
