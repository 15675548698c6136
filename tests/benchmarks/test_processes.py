"""CPU time of a benchmark's process and of those it started."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.processes import cpu_seconds_of_all

WORK = "import time\nwhile time.process_time() < 0.5: pass"


def test_cpu_of_a_child_that_has_ended_counts() -> None:
    before = cpu_seconds_of_all()
    subprocess.run([sys.executable, "-S", "-c", WORK], check=True)
    assert 0.4 < cpu_seconds_of_all() - before < 5
