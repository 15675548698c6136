"""Measures the online service on Redis against a straightforward one, in one run.

    make quickstart && python -m benchmarks.serving --workspace .llactr
    python -m benchmarks.serving --workspace .llactr --only steady --steady-minutes 10

Throughput of /v1/rank with 200 candidates, load by a second process; latency at 50 % and 80 % of the saturating rate;
CPU per request by stage; two workers against one; memory under overload and under steady load. Each round measures all
variants side by side; the ratios are given as the median and the range over the rounds, of CPU time per request as well
as of rates: on a machine that has other work to do, trust the first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_processes import ROOT, Process, cpu_seconds, load, redis_server, resident_mb, service

__all__ = ["main"]

_DATASET = "movielens-100k"
_CONNECTIONS = 16


def write_bodies(workspace: Path, path: Path, *, candidates: int, count: int = 500) -> None:
    """Requests of users and films drawn from those that training saw, popular ones more often."""
    from llactr.ctr import Bundle
    from llactr.workspace import Workspace

    transform = Bundle.load(Workspace.at(workspace).current(_DATASET)["train"]).transform
    random = np.random.default_rng(0)
    users, items = transform.values("user_id"), transform.values("item_id")
    weights = 1 / np.arange(10, len(items) + 10)
    lines = []
    for _ in range(count):
        chosen = random.choice(len(items), candidates, replace=False, p=weights / weights.sum())
        body = {"user": users[random.integers(len(users))], "items": [items[i] for i in chosen]}
        lines.append(json.dumps(body | {"timestamp": "1998-04-20T12:00:00Z"}))
    path.write_text("\n".join(lines))


def fill_redis(workspace: Path, redis: str) -> None:
    """Materializes the workspace into our own Redis."""
    os.environ["LLACTR_REDIS"] = redis
    from llactr.store import apply, materialize
    from llactr.workspace import Workspace

    config = ROOT / "feature_repo" / "feature_store.redis.yaml"
    apply(Workspace.at(workspace), config=config)
    materialize(Workspace.at(workspace), config=config)


def saturate(started: Process, bodies: Path, seconds: float) -> dict[str, Any]:
    """The rate at which the service is as fast as it can, and its CPU per request."""
    load(started.port, bodies, seconds=min(2.0, seconds), connections=_CONNECTIONS)  # warm
    cpu, stages = cpu_seconds(started.process.pid), stage_seconds(started)
    found = load(started.port, bodies, seconds=seconds, connections=_CONNECTIONS)
    found["cpu_ms"] = round((cpu_seconds(started.process.pid) - cpu) * 1000 / found["requests"], 3)
    after = stage_seconds(started)
    found["stages_ms"] = {
        name: round((after[name] - stages.get(name, 0)) * 1000 / found["requests"], 3) for name in after
    }
    return found


def stage_seconds(started: Process) -> dict[str, float]:
    """CPU by stage so far; nothing for the baseline, which does not count."""
    try:
        metrics = started.metrics()
    except OSError:
        return {}
    prefix = 'llactr_stage_cpu_seconds_total{stage="'
    return {name[len(prefix) : -2]: value for name, value in metrics.items() if name.startswith(prefix)}


def compare(workspace: Path, redis: str, bodies: Path, seconds: float) -> dict[str, Any]:
    """One round: baseline, cache off and on, with and without batching; latencies of the service's two variants."""
    found: dict[str, Any] = {}
    variants: list[tuple[str, dict[str, Any]]] = [
        ("baseline", {"baseline": True}),
        ("cache_off", {"cache_ttl_s": 0}),
        ("cache_off_no_batching", {"cache_ttl_s": 0, "micro_batching": False}),
        ("cache_on_no_batching", {"micro_batching": False}),
        ("cache_on", {}),
    ]
    for name, settings in variants:
        with service(workspace, redis=redis, **settings) as started:
            found[name] = saturate(started, bodies, seconds)
            say(name, found[name])
            if name in ("cache_off", "cache_on"):
                for share in (0.5, 0.8):
                    rate = share * found[name]["rate"]
                    result = load(started.port, bodies, seconds=seconds, connections=64, rate=rate)
                    found[f"{name}_at_{share:.0%}"] = result
                    say(f"{name} at {share:.0%}", result)
    return found


def two_workers(workspace: Path, redis: str, bodies: Path, seconds: float) -> dict[str, Any]:
    """One round: two workers against one; the load generator and Redis take their share of the same cores."""
    found = {}
    for workers in (1, 2):
        with service(workspace, redis=redis, workers=workers) as started:
            time.sleep(3 if workers > 1 else 0)  # the second worker comes up after the first
            found[str(workers)] = saturate(started, bodies, seconds)
            say(f"{workers} worker{'s' if workers > 1 else ''}", found[str(workers)])
    return found | {"generator_share": found["2"]["generator_cpu_s"] / (seconds * (os.cpu_count() or 1))}


def headline(comparisons: list[dict[str, Any]], workers: list[dict[str, Any]]) -> dict[str, Any]:
    """What is claimed of the service, each as the median, least and greatest over the rounds."""
    found: dict[str, Any] = {}
    for name in ("cache_off", "cache_on") if comparisons else ():
        found[f"{name}: times the baseline's rate"] = [
            one[name]["rate"] / one["baseline"]["rate"] for one in comparisons
        ]
        found[f"{name}: times less CPU a request than the baseline"] = [
            one["baseline"]["cpu_ms"] / one[name]["cpu_ms"] for one in comparisons
        ]
        half = [one[f"{name}_at_50%"] for one in comparisons]
        found[f"{name}: p99 / p50 at 50 % of saturation"] = [one["p99_ms"] / one["p50_ms"] for one in half]
        plain, batched = f"{name}_no_batching", name
        found[f"{name}: times less CPU by micro-batching"] = [
            one[plain]["cpu_ms"] / one[batched]["cpu_ms"] for one in comparisons
        ]
    if workers:
        found["two workers: times the rate of one"] = [one["2"]["rate"] / one["1"]["rate"] for one in workers]
        found["two workers: the load generator's share of the machine"] = [one["generator_share"] for one in workers]
    return {
        name: {
            "median": round(float(np.median(values)), 3),
            "least": round(min(values), 3),
            "most": round(max(values), 3),
        }
        for name, values in found.items()
    }


def overload(workspace: Path, redis: str, bodies: Path, seconds: float) -> dict[str, Any]:
    """Four times the saturating rate on many connections: what is answered, what is shed, and what memory does."""
    with service(workspace, redis=redis, max_concurrency=32) as started:
        rate = 4 * saturate(started, bodies, 3)["rate"]
        before = resident_mb(started.process.pid)
        result = load(started.port, bodies, seconds=seconds, connections=256, rate=rate)
        after = resident_mb(started.process.pid)
        say("overload", result)
        unexpected = set(result["statuses"]) - {"200", "429", "503"}
        print(f"overload: answers by status {result['statuses']}, memory {before:.0f} -> {after:.0f} MB")
        return result | {"memory_mb": [round(before, 1), round(after, 1)], "unexpected_statuses": sorted(unexpected)}


def steady(workspace: Path, redis: str, bodies: Path, minutes: float) -> dict[str, Any]:
    """Memory and errors under a steady load at half the saturating rate."""
    with service(workspace, redis=redis, log_rate=0.05) as started:
        rate = 0.5 * saturate(started, bodies, 3)["rate"]
        memory, errors, requests = [], 0, 0
        for _ in range(max(2, round(minutes * 4))):
            result = load(started.port, bodies, seconds=15, connections=32, rate=rate)
            errors, requests = errors + result["errors"], requests + result["requests"]
            memory.append(resident_mb(started.process.pid))
        reference = memory[min(3, len(memory) - 1)]
        growth = memory[-1] / reference - 1
        change = f"memory {reference:.0f} -> {memory[-1]:.0f} MB ({growth:+.1%})"
        print(f"steady: {requests} requests at {rate:.0f}/s, {errors} errors, {change}")
        return {
            "requests": requests,
            "errors": errors,
            "memory_mb": [round(m, 1) for m in memory],
            "growth": round(growth, 4),
        }


def model_share(workspace: Path, candidates: int) -> dict[str, Any]:
    """CPU of the model alone for one request's candidates, one thread."""
    import torch

    from llactr.ctr import Bundle
    from llactr.serving.loaded import scoring
    from llactr.workspace import Workspace

    torch.set_num_threads(1)
    found = {}
    for folder in sorted((Workspace.at(workspace).root / "bundles").glob(f"{_DATASET}-*")):
        bundle = Bundle.load(folder)
        layout = bundle.transform.layout
        sizes = np.asarray(layout.vocab_sizes)[layout.slot_fields]
        ids = (np.random.default_rng(0).random((candidates, len(sizes))) * sizes).astype(np.int32)
        score = scoring(bundle)
        for _ in range(20):
            score(ids)
        began = time.process_time()
        for _ in range(200):
            score(ids)
        found[folder.name] = round((time.process_time() - began) / 200 * 1000, 3)
        print(f"model alone, {candidates} candidates: {found[folder.name]:.3f} ms CPU ({folder.name})")
    return found


def say(name: str, found: dict[str, Any]) -> None:
    """One line a run."""
    cpu = f", {found['cpu_ms']:.2f} ms CPU a request" if "cpu_ms" in found else ""
    print(
        f"{name:<24} {found['rate']:>7.1f}/s  p50 {found['p50_ms']:.1f}  p95 {found['p95_ms']:.1f}  "
        f"p99 {found['p99_ms']:.1f}  max {found['max_ms']:.1f} ms, {found['errors']} errors{cpu}"
    )
    if found.get("stages_ms"):
        print(" " * 25 + "  ".join(f"{stage} {value:.2f}" for stage, value in found["stages_ms"].items()))
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path(".llactr"), help="of a quickstart")
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=6, help="of each run")
    parser.add_argument("--only", choices=["compare", "workers", "overload", "steady", "model"], action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steady-minutes", type=float, default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    parts = given.only or ["model", "compare", "workers", "overload", "steady"]
    workspace = given.workspace.absolute()
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    with redis_server() as (redis, _), tempfile.TemporaryDirectory() as folder:
        fill_redis(workspace, redis)
        bodies = Path(folder) / "bodies.jsonl"
        write_bodies(workspace, bodies, candidates=given.candidates)
        if "model" in parts:
            found["model_ms"] = model_share(workspace, given.candidates)
        rounds = range(given.rounds)
        comparisons = [compare(workspace, redis, bodies, given.seconds) for _ in rounds if "compare" in parts]
        workers = [two_workers(workspace, redis, bodies, given.seconds) for _ in rounds if "workers" in parts]
        found |= {"headline": headline(comparisons, workers), "compare": comparisons, "workers": workers}
        for name, value in found["headline"].items():
            print(f"{name}: {value['median']:.2f} ({value['least']:.2f} to {value['most']:.2f})")
        if "overload" in parts:
            found["overload"] = overload(workspace, redis, bodies, given.seconds)
        if "steady" in parts:
            found["steady"] = steady(workspace, redis, bodies, given.steady_minutes)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
