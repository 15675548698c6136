"""`python -m tests.faults [--most N] [STEP...]`: kills steps before their file-system calls; prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.faults.suite import STEPS, Suite, markdown

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills steps before their file-system calls and runs them again.")
    parser.add_argument("steps", nargs="*", default=list(STEPS), help=f"of {', '.join(STEPS)}; all by default")
    parser.add_argument("--most", type=int, help="kills per step, spread evenly; before every call by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = []
        for outcome in Suite(Path(folder)).run(chosen.steps, most_kills=chosen.most):
            outcomes.append(outcome)
            print(f"{outcome.step}: {outcome.kills} kills, other ends {outcome.other}", file=sys.stderr, flush=True)
    print(markdown(outcomes))
