"""The benchmarks that count Spark: short, and what they compare has to be equal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.processes import cpu_seconds_of_all
from tests.store.spark.spark_java import need_spark

REPOSITORY = Path(__file__).resolve().parents[2]


def run(arguments: list[str], out: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--json", str(out)], cwd=REPOSITORY,
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(REPOSITORY)},
        check=False, timeout=1200, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    print(done.stdout)
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_cpu_of_a_child_that_has_ended_counts() -> None:
    before = cpu_seconds_of_all()
    work = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-S", "-c", work], check=True)
    assert 0.4 < cpu_seconds_of_all() - before < 5


@pytest.mark.slow
def test_joins_of_three_stores_are_equal(tmp_path: Path) -> None:
    """The digests of the rows are compared by the benchmark, which fails where they differ."""
    need_spark()
    rows = ["--rows", "50000", "--growth", "", "--repeats", "1", "--folder", str(tmp_path)]
    found = run(["benchmarks.point_in_time", "--stores", "asof,spark,stock-spark", *rows], tmp_path / "joins.json")
    (joined,) = found["joins"]
    assert {name: [one["rows"] for one in runs] for name, runs in joined["stores"].items()} == {
        "asof": [50_000], "spark": [50_000], "stock-spark": [50_000],
    }  # fmt: skip
    assert len({one["digest"] for runs in joined["stores"].values() for one in runs}) == 1


@pytest.mark.slow
@pytest.mark.redis
def test_spark_materializes_what_llactr_does(tmp_path: Path) -> None:
    need_spark()
    asked = ["--rows", "50000", "--runs", "1", "--stores", "redis", "--configurations", "llactr", "spark"]
    found = run(["benchmarks.materialization", *asked], tmp_path / "materialized.json")
    assert [one["configuration"] for one in found["results"]] == ["llactr", "spark"]
