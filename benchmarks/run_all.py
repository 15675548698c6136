"""Short versions of all benchmarks, one after the other: JSON, Markdown and pictures in benchmarks/out/<date>/.

    python -m benchmarks.run_all                       # what `make bench` runs: 20 minutes on two idle cores
    python -m benchmarks.run_all --only ingest materialization
    python -m benchmarks.run_all --minutes 60          # for a busy machine

Every benchmark is a process of its own with a limit of time; what one prints becomes a section of results.md. One that
fails, runs out of time or lacks something (a redis-server, a workspace) is told there and in the exit code, and the
others go on. Git ignores benchmarks/out/: a result worth keeping is copied to benchmarks/results/ by hand, its
results.md, results.json and pictures. The numbers are short: docs/performance.md says how to measure well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

__all__ = ["BENCHMARKS", "Benchmark", "Outcome", "main", "run"]

_REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Benchmark:
    """A module of benchmarks/ and how it is run short.

    Attributes:
        name: the module's name.
        arguments: `{out}` is the JSON file it writes, `{folder}` the folder of the results.
        minutes: its share of the time; what is not used goes to those that follow.
        needs: a folder without which it is left out.
        json_on_stdout: it prints its JSON instead of writing a file.
    """

    name: str
    arguments: tuple[str, ...]
    minutes: float
    needs: str | None = None
    json_on_stdout: bool = False


BENCHMARKS = (
    Benchmark(
        "point_in_time", ("--rows", "100000", "--growth", "1,30", "--repeats", "3", "--json", "{out}"), 3.5
    ),
    Benchmark(
        "materialization",
        ("--rows", "50000", "--runs", "2", "--configurations", "stock", "llactr", "--json", "{out}"),
        3,
    ),
    Benchmark("history", ("--rows", "100000", "--json", "{out}"), 1),
    Benchmark("ingest", ("--rows", "200000", "2000000", "--runs", "2", "--json", "{out}"), 1),
    Benchmark("out_of_core", ("--rows", "1000000"), 1, json_on_stdout=True),
    Benchmark("scoring", ("--rows", "500000", "--repeats", "3", "--json", "{out}"), 0.5),
    Benchmark(
        "enhancement_cost", ("--backbones", "fm", "deepfm", "--repeats", "5", "--json"), 1, json_on_stdout=True
    ),
    Benchmark(
        "scale_curves", ("--short", "--repeats", "3", "--json", "{out}", "--plot", "{folder}/scale-curves.svg"), 2
    ),
    Benchmark(
        "value_encoding",
        ("--texts", "500", "--rows", "250", "--repeats", "3", "--backbones", "fm", "--json", "{out}"),
        1.5,
        needs=".llactr/bundles",
    ),
    Benchmark(
        "serving",
        ("--seconds", "3", "--rounds", "1", "--only", "compare", "--only", "workers", "--out", "{out}"),
        2.5,
        needs=".llactr/bundles",
    ),
    # Last, because the time that others leave goes to those that follow: the first run installs the peers.
    Benchmark(
        "training", ("--short", "--backbones", "fm", "fwfm", "deepfm", "fmfm", "finalmlp", "--out", "{out}"), 3
    ),
)  # fmt: skip
"""In the order in which they run; the minutes add up to 20."""

State = Literal["done", "failed", "out of time", "left out"]


@dataclass(frozen=True)
class Outcome:
    """How a benchmark ended, and what it printed."""

    name: str
    state: State
    seconds: float
    text: str


def run(benchmark: Benchmark, folder: Path, *, seconds: float) -> Outcome:
    """Runs one benchmark in a process group of its own, which ends with it.

    Args:
        benchmark: which.
        folder: where its JSON goes.
        seconds: how long it may take.
    """
    if not (_REPOSITORY / "benchmarks" / f"{benchmark.name}.py").exists():
        return Outcome(benchmark.name, "left out", 0, "there is no such benchmark in this checkout")
    if benchmark.needs and not (_REPOSITORY / benchmark.needs).exists():
        return Outcome(benchmark.name, "left out", 0, f"it needs {benchmark.needs}: run `llactr quickstart` first")
    out = folder / f"{benchmark.name}.json"
    arguments = [argument.format(out=out, folder=folder) for argument in benchmark.arguments]
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{benchmark.name}", *arguments]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(_REPOSITORY), "PYTHONUNBUFFERED": "1"}
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=_REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed, errors = process.communicate(timeout=seconds)
        state: State = "done" if process.returncode == 0 else "failed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)  # the servers that it started end with it
        try:
            printed, errors = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, errors = process.communicate()
        state = "out of time"
    if state == "done" and benchmark.json_on_stdout:
        out.write_text(printed)
        printed = _flat(json.loads(printed))
    text = printed if state == "done" else f"{printed}\n{errors[-1500:]}"
    return Outcome(benchmark.name, state, time.perf_counter() - began, text.strip())


def _flat(content: dict[str, Any]) -> str:
    """A benchmark's JSON as a Markdown table: its results, one row each, with numbers of one level below."""
    rows = []
    for result in content.get("results", [content]):
        row: dict[str, Any] = {}
        for name, value in result.items():
            inner = value if isinstance(value, dict) else {"": value}
            row |= {f"{name} {key}".strip(): number for key, number in inner.items()}
        rows.append({name: f"{value:.3g}" if isinstance(value, float) else value for name, value in row.items()})
    if not rows:
        return ""
    lines = [" | ".join(rows[0]), " | ".join("---" for _ in rows[0])]
    lines += [" | ".join(str(value) for value in row.values()) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _machine() -> dict[str, Any]:
    from llactr.manifest import package_versions

    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=_REPOSITORY, check=False, capture_output=True, text=True
    ).stdout.strip()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit or None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
        "packages": package_versions(),
    }


def write_summary(folder: Path, machine: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Writes results.json and results.md; after each benchmark, so that an interrupted run leaves what it has."""
    content = {"machine": machine, "benchmarks": [asdict(outcome) for outcome in outcomes]}
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    busy = " **The machine was busy: compare CPU figures alone.**" if machine["load_before"] > machine["cpus"] else ""
    facts = (
        f"{machine['cpus']} CPUs, load {machine['load_before']} before, Python {machine['python']}, {machine['date']}"
    )
    lines = ["# Benchmarks, short versions", "", f"{facts}.{busy}", "", "| benchmark | | seconds |", "|---|---|---:|"]
    lines += [f"| {outcome.name} | {outcome.state} | {outcome.seconds:.0f} |" for outcome in outcomes]
    lines += [f"| together | | {sum(outcome.seconds for outcome in outcomes):.0f} |"]
    for outcome in outcomes:
        tabular = any(line.startswith("|--") or line.startswith("| --") for line in outcome.text.splitlines())
        text = outcome.text if tabular and outcome.state == "done" else f"```\n{outcome.text}\n```"
        lines += ["", f"## {outcome.name}", "", text]
        if (folder / f"{outcome.name.replace('_', '-')}.svg").exists():
            lines += ["", f"![{outcome.name}]({outcome.name.replace('_', '-')}.svg)"]
    (folder / "results.md").write_text("\n".join(lines) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs them all; the exit code is 1 if one failed or ran out of time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[benchmark.name for benchmark in BENCHMARKS])
    parser.add_argument("--minutes", type=float, default=20, help="for all of them")
    parser.add_argument("--out", type=Path, help="a folder; by default benchmarks/out/<date>, which git ignores")
    asked = parser.parse_args(arguments)
    folder = asked.out or _REPOSITORY / "benchmarks" / "out" / datetime.now(UTC).date().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    chosen = [benchmark for benchmark in BENCHMARKS if not asked.only or benchmark.name in asked.only]
    machine, outcomes = _machine(), list[Outcome]()
    ends = time.monotonic() + asked.minutes * 60
    for number, benchmark in enumerate(chosen):
        waiting = sum(other.minutes for other in chosen[number:])
        seconds = max((ends - time.monotonic()) * benchmark.minutes / waiting, 1)
        print(f"{benchmark.name} (at most {seconds / 60:.1f} min) ...", end=" ", file=sys.stderr, flush=True)
        outcomes.append(run(benchmark, folder, seconds=seconds))
        print(f"{outcomes[-1].state}, {outcomes[-1].seconds:.0f} s", file=sys.stderr)
        write_summary(folder, machine, outcomes)
    print(f"{sum(outcome.seconds for outcome in outcomes) / 60:.1f} minutes in all", file=sys.stderr)
    print(folder / "results.md")
    return int(any(outcome.state in ("failed", "out of time") for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
