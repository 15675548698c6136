"""Measures history online: a push, by itself and over HTTP, what a user takes, and `/v1/rank` with and without history.

    python -m benchmarks.history_online --workspace .llactr --bundle PAST --plain PLAIN

The workspace has a bundle that reads history and, for the second part, one of MovieLens-100K that does not. CPU is that
of the service's process; the load comes from another, the store is a Redis of our own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import saturate, say, write_bodies
from benchmarks.serving_processes import ROOT, cpu_seconds, load, redis_server, service

__all__ = ["main"]


def push_costs(workspace: Path, config: Path, bundle: str, *, events: int) -> dict[str, Any]:
    """Events per CPU-second of this process, log, fsync and store included, by the size of a group; bytes a user."""
    from llactr.ctr import Bundle
    from llactr.spec import load_spec
    from llactr.store import events_table, open_store
    from llactr.store.events import LoggedEvent, Pusher, state_store
    from llactr.workspace import Workspace

    place = Workspace.at(workspace)
    loaded = Bundle.load(place.artifact("bundles", bundle))
    assert loaded.history is not None, "the bundle reads no history"
    spec = load_spec(place.dataset(loaded.spec.name) / "spec.yaml")
    store = open_store(place, config=config)
    known = events_table(place, spec)
    users, items = (known[spec.entities[owner].join_key].unique().to_pylist() for owner in ("user", "item"))
    random = np.random.default_rng(0)
    weights = 1 / np.arange(10, len(items) + 10)
    found: dict[str, Any] = {}
    at = 1_750_000_000_000_000
    for group in (1, 10, 100, 500):
        count = min(events, 500 * group)
        chosen = random.choice(len(items), count, p=weights / weights.sum())
        some = [
            LoggedEvent(users[int(user)], items[int(item)], at + number * 1_000_000, float(number % 2))
            for number, (user, item) in enumerate(zip(random.integers(len(users), size=count), chosen, strict=True))
        ]
        at += count * 1_000_000
        pusher = Pusher(place, spec, store, {loaded.history.version: loaded.history})
        pusher.push(some[:group])  # compiled, connected
        began, wall = time.process_time(), time.perf_counter()
        for start in range(group, count, group):
            pusher.push(some[start : start + group])
        cpu, wall = time.process_time() - began, time.perf_counter() - wall
        pusher.close()
        found[f"groups of {group}"] = {
            "events_per_cpu_s": round((count - group) / cpu),
            "events_per_s": round((count - group) / wall),
        }
        print(f"push, groups of {group:>4}: {(count - group) / cpu:>8,.0f} events per CPU-second")
    states = state_store(store, spec)
    sizes = [len(one) for one in states.read(loaded.history.version, "user", users) if one is not None]
    found["bytes_a_user"] = {"mean": round(float(np.mean(sizes))), "most": max(sizes)}
    print(f"a user online: {np.mean(sizes):,.0f} bytes on average, {max(sizes):,} at most")
    return found


def http_costs(workspace: Path, redis: str, folder: Path, bundle: str, seconds: float) -> dict[str, Any]:
    """Events per CPU-second of the service, one event a request, by connections; and what HTTP alone costs."""
    from llactr.ctr import Bundle
    from llactr.workspace import Workspace

    transform = Bundle.load(Workspace.at(workspace).artifact("bundles", bundle)).transform
    random = np.random.default_rng(0)
    users, items = transform.values("user_id"), transform.values("item_id")
    drawn = zip(random.integers(len(users), size=20_000), random.integers(len(items), size=20_000), strict=True)
    bodies = folder / "events.jsonl"
    events = [{"user": users[user], "item": items[item], "outcome": int(user % 2)} for user, item in drawn]
    bodies.write_text("\n".join(map(json.dumps, events)))  # each counts: its moment is that of the request
    found: dict[str, Any] = {}
    with service(workspace, redis=redis, bundle=bundle, anyway=True) as started:
        for target, connections in (("GET /healthz", 64), *(("POST /v1/events", number) for number in (1, 8, 64))):
            load(started.port, bodies, seconds=min(2.0, seconds), connections=connections, target=target)
            cpu = cpu_seconds(started.process.pid)
            one = load(started.port, bodies, seconds=seconds, connections=connections, target=target)
            one["per_cpu_s"] = round(one["requests"] / (cpu_seconds(started.process.pid) - cpu))
            label = f"{target}, {connections} connections"
            found[label] = one
            print(
                f"{label:<32} {one['per_cpu_s']:>6,} per CPU-second, {one['rate']:>7,.0f}/s, p50 {one['p50_ms']:.1f}, "
                f"p99 {one['p99_ms']:.1f} ms, {one['errors']} errors"
            )
    return found


def rank_costs(
    workspace: Path, redis: str, bodies: Path, bundles: dict[str, str], *, seconds: float, rounds: int
) -> dict[str, Any]:
    """CPU a request at saturation with both bundles, one after the other in each round; latencies at half of it."""
    found: dict[str, Any] = {}
    for cache_ttl_s in (0, 60):
        cache = "on" if cache_ttl_s else "off"
        runs: dict[str, list[dict[str, Any]]] = {"plain": [], "past": []}
        for _ in range(rounds):
            for name, bundle in bundles.items():
                settings: dict[str, Any] = {"bundle": bundle, "anyway": True, "cache_ttl_s": cache_ttl_s}
                with service(workspace, redis=redis, **settings) as started:
                    one = saturate(started, bodies, seconds)
                    say(f"{name}, item cache {cache}", one)
                    half = load(started.port, bodies, seconds=seconds, connections=64, rate=0.5 * one["rate"])
                    one["at_half"] = half
                    print(f"    at half: p50 {half['p50_ms']:.1f}, p99 {half['p99_ms']:.1f} ms")
                    runs[name].append(one)
        ratios = [past["cpu_ms"] / plain["cpu_ms"] for past, plain in zip(runs["past"], runs["plain"], strict=True)]
        tails = [one["at_half"]["p99_ms"] / one["at_half"]["p50_ms"] for one in runs["past"]]
        found[f"item cache {cache}"] = {"runs": runs, "times_the_cpu": ratios, "p99_by_p50_at_half": tails}
        for what, values, most in (("times the CPU without history", ratios, 1.4), ("p99 by p50 at half", tails, 4)):
            said = f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
            print(f"item cache {cache}: {what}: {said}, wanted: at most {most}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--bundle", required=True, help="id of a bundle that reads history")
    parser.add_argument("--plain", help="id of one that does not, for the part rank")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3, help="of the part rank")
    parser.add_argument("--only", choices=["push", "http", "rank"], action="append")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    parts = given.only or ["push", "http", *(["rank"] if given.plain else [])]
    found: dict[str, Any] = {"cpus": os.cpu_count(), "load_before": round(os.getloadavg()[0], 2)}
    with redis_server() as (redis, _), tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        shutil.copytree(given.workspace, workspace)
        os.environ["LLACTR_REDIS"] = redis
        config = ROOT / "feature_repo" / "feature_store.redis.yaml"
        from llactr.store import apply, materialize
        from llactr.workspace import Workspace

        apply(Workspace.at(workspace), config=config)
        materialize(Workspace.at(workspace), config=config)
        if "rank" in parts:
            bodies = Path(folder) / "bodies.jsonl"
            write_bodies(workspace, bodies, candidates=200)
            bundles = {"plain": given.plain, "past": given.bundle}
            found["rank"] = rank_costs(workspace, redis, bodies, bundles, seconds=given.seconds, rounds=given.rounds)
        if "http" in parts:
            found["http"] = http_costs(workspace, redis, Path(folder), given.bundle, given.seconds)
        if "push" in parts:
            found["push"] = push_costs(workspace, config, given.bundle, events=given.events)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
