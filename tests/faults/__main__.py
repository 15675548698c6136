"""`python -m tests.faults [STEP...]`: kills the steps before every file-system call; prints the table."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults.suite import STEPS, Suite, markdown

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        outcomes = []
        for outcome in Suite(Path(folder)).run(sys.argv[1:] or tuple(STEPS)):
            outcomes.append(outcome)
            print(f"{outcome.step}: {outcome.kills} kills, others {outcome.other}", file=sys.stderr)
    print(markdown(outcomes))
