from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import run_all, scale_curves  # noqa: E402
from benchmarks.run_all import Benchmark  # noqa: E402

FINE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('{}'); print('| a |\\n|---|\\n| 7 |')"
STUCK = "import time; print('half'); time.sleep(600)"
BROKEN = "print('so far'); raise SystemExit('no redis-server binary')"
TALKS = 'print(\'{"results": [{"backbone": "fm", "training": {"ratio": 1.2345}}]}\')'


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with four benchmarks."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name, code in {"fine": FINE, "stuck": STUCK, "broken": BROKEN, "talks": TALKS}.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setattr(run_all, "_REPOSITORY", tmp_path)
    return tmp_path


def test_every_end_is_told_and_the_others_go_on(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmarks = (
        Benchmark("fine", ("{out}",), 1),
        Benchmark("missing", (), 1),
        Benchmark("talks", (), 1, json_on_stdout=True),
        Benchmark("broken", (), 1),
        Benchmark("fine", ("{out}",), 1, needs=".llactr/bundles"),
    )
    monkeypatch.setattr(run_all, "BENCHMARKS", benchmarks)
    assert run_all.main(["--out", str(checkout / "out")]) == 1
    told = json.loads((checkout / "out" / "results.json").read_text())
    states = [(one["name"], one["state"]) for one in told["benchmarks"]]
    assert states == [
        ("fine", "done"), ("missing", "left out"), ("talks", "done"), ("broken", "failed"), ("fine", "left out"),
    ]  # fmt: skip
    assert (checkout / "out" / "fine.json").read_text() == "{}"
    assert json.loads((checkout / "out" / "talks.json").read_text())["results"][0]["backbone"] == "fm"
    page = (checkout / "out" / "results.md").read_text()
    for line in ("| a |\n|---|\n| 7 |", "| backbone | training ratio |", "| fm | 1.23 |", "no redis-server binary"):
        assert line in page


def test_results_go_where_git_does_not_look(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "BENCHMARKS", (Benchmark("fine", ("{out}",), 1),))
    assert run_all.main([]) == 0
    page = Path(capsys.readouterr().out.strip())
    assert page.name == "results.md"
    assert page.parent.parent == checkout / "benchmarks" / "out"
    assert "| fine | done |" in page.read_text()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "benchmarks/out/" in ignored


def test_one_that_takes_too_long_is_ended(checkout: Path) -> None:
    outcome = run_all.run(Benchmark("stuck", (), 1), checkout, seconds=2)
    assert outcome.state == "out of time"
    assert outcome.seconds < 60
    assert "half" in outcome.text


def test_the_shares_of_time_fit_twenty_minutes() -> None:
    assert sum(benchmark.minutes for benchmark in run_all.BENCHMARKS) == 20


def test_exponents_are_slopes_of_the_last_three_points() -> None:
    def points(costs: dict[int, float]) -> list[dict[str, float]]:
        return [{"size": size, "cpu_ms": cost} for size, cost in costs.items()]

    assert scale_curves.exponent(points({n: 3.0 * n**2 for n in (1, 2, 4)})) == pytest.approx(2)
    assert scale_curves.exponent(points({1: 500.0, 10: 5.0, 20: 10.0, 40: 20.0})) == pytest.approx(1)


def test_the_same_curves_give_the_same_picture(tmp_path: Path) -> None:
    point = {"size": 10, "cpu_ms": 2.0, "lowest": 1.5, "highest": 4.0}
    curve = {"axis": "rows", "label": "ingest", "points": [point, point | {"size": 100}], "exponent": 0.5}
    for name in ("a.svg", "b.svg"):
        scale_curves.plot([curve, curve | {"axis": "fields"}], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "ingest: n^0.50" in (tmp_path / "a.svg").read_text()
