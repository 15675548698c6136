"""How long it takes from a table that llactr has never seen to a service that is ready, with nobody asked.

    python -m research.ten_minutes [NAME ...] --data FOLDER --cache DIR

FOLDER holds one folder a set with the files as they were published. For each set, in an empty workspace: `llactr init
FILES --yes`, `llactr run` with its defaults (draft to report and bundle), `llactr serve` until `/readyz` says yes. A
line a set is printed: minutes of the clock of each part and of all, minutes of CPU, what is served and its test AUC.
On a machine that does other things the clock says more than it would on two idle cores; CPU minutes do not.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from research.drafted_specs import FILES

READY_S = 300
HEAD = (
    "| set | init | run | serve | all, minutes | CPU, minutes | served | test AUC |\n|---|---|---|---|---|---|---|---|"
)


def llactr(*arguments: object) -> tuple[dict[str, Any], float]:
    """Runs a command with `--json`; returns what it printed, and its seconds."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "llactr.jobs.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"llactr {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout), time.perf_counter() - began


def seconds_to_ready(workspace: Path) -> float:
    """Starts the service, waits for `/readyz`, and ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    command = ["-m", "llactr.jobs.cli", "serve", "--port", str(port), "--workspace", str(workspace)]
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as service:
        try:
            while not _ready(port):
                if service.poll() is not None or time.perf_counter() - began > READY_S:
                    said = b"" if service.stderr is None or service.poll() is None else service.stderr.read()
                    raise SystemExit(f"the service of {workspace} is not ready:\n{said.decode()[-3000:]}")
                time.sleep(0.05)
            return time.perf_counter() - began
        finally:
            service.terminate()


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def cpu_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(name: str, data: Path, cache: Path) -> str:
    """A line of the table."""
    at = cache / "ten_minutes" / name
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir(parents=True)
    spec, workspace, before = at / f"{name}.yaml", at / "workspace", cpu_seconds()
    _, drafted = llactr("init", *(data / name / file for file in FILES[name]), "--out", spec, "--yes")
    made, ran = llactr("run", spec, "--workspace", workspace)
    serving = seconds_to_ready(workspace)
    trained = next(step["result"] for step in made["steps"] if step["step"] == "train")
    auc = trained["metrics"]["test"]["auc"]
    (at / "steps.json").write_text(json.dumps({one["step"]: one["seconds"] for one in made["steps"]}, indent=1))
    minutes = [f"{seconds / 60:.1f}" for seconds in (drafted, ran, serving, drafted + ran + serving)]
    cpu = (cpu_seconds() - before) / 60
    return f"| {name} | {' | '.join(minutes)} | {cpu:.1f} | {trained['backbone']} {made['served']} | {auc:.4f} |"


def main() -> None:
    """Reads the command line, prints a line a set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    options = parser.parse_args()
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    print(HEAD)
    for name in options.names or FILES:
        print(timed(name, options.data, options.cache), flush=True)


if __name__ == "__main__":
    main()
