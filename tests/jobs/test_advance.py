"""`llactr advance`: days of a small dataset, run twice, with gates that let all pass and with gates that let none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from llactr.workspace import Workspace
from tests.jobs.conftest import Answer, Ran
from tests.jobs.tiny_dataset import CONFIG

Call = Callable[..., Answer]
ALL = {"auc": -1, "logloss": 1, "calibration": 1, "min_positives": 1}


@pytest.fixture
def workspace(ran: Ran, tmp_path: Path) -> Workspace:
    shutil.copytree(ran.workspace, tmp_path / "ws")
    return Workspace.at(tmp_path / "ws")


@pytest.fixture
def day(ran: Ran, tmp_path: Path) -> Path:
    """Forty rows of a later day, and a person who is new."""
    folder, source = tmp_path / "day", ran.spec.parent
    folder.mkdir()
    head, *rows = (source / "events.csv").read_text(encoding="utf-8").splitlines()
    late = [row.replace(row.split(",")[3], str(int(row.split(",")[3]) + 2_000_000)) for row in rows[:40]]
    (folder / "events.csv").write_text("\n".join([head, *late]) + "\n", encoding="utf-8")
    return folder


def advanced(llactr: Call, workspace: Workspace, day: Path | None, gates: dict[str, Any]) -> Any:
    config = workspace.root.parent / "run.yaml"
    config.write_text(yaml.safe_dump(CONFIG | {"promote": gates}), encoding="utf-8")
    more = ("--data", day) if day is not None else ()
    answer = llactr("advance", *more, "--config", config, "--workspace", workspace.root, "--json")
    assert answer.code == 0, answer.err
    return answer.json


def test_a_day_and_the_same_day_again(llactr: Call, workspace: Workspace, day: Path) -> None:
    found = advanced(llactr, workspace, day, ALL)
    steps = {one["step"]: one for one in found["steps"]}
    assert steps["ingest"]["result"]["new_rows"]["events"] > 0
    assert not steps["train"]["skipped"]
    again = advanced(llactr, workspace, day, ALL)
    assert again["challenger"] == found["challenger"]
    assert again["champion"] == found["champion"]
    passed = all(gate["passed"] for gate in found["trial"]["gates"])
    assert found["champion"] == (found["challenger"] if passed else None)
    assert {one["step"] for one in again["steps"] if not one["skipped"]} <= {"ingest", "materialize"}
    assert len(list((workspace.root / "promotions" / "tiny").glob("*.json"))) == (found["champion"] is not None)


def test_gates_that_are_not_passed_keep_the_champion(llactr: Call, workspace: Workspace, ran: Ran, day: Path) -> None:
    first = Path(ran.summary["bundle"]).name
    assert llactr("apply", "--workspace", workspace.root).code == 0
    assert llactr("promote", first, "--anyway", "--workspace", workspace.root).code == 0
    found = advanced(llactr, workspace, day, ALL | {"auc": 1})
    assert (found["champion_before"], found["champion"]) == (first, first)
    assert found["challenger"] != first
    names = {gate["name"]: gate["passed"] for gate in found["trial"]["gates"]}
    assert not names["AUC against the champion"]
    assert found["trial"]["champion"]["model"] == first
    # The test split, a tenth of the labelled rows, scored by both.
    assert found["trial"]["rows"] == pytest.approx(0.1 * found["steps"][0]["result"]["rows"], abs=1)


def test_a_dry_run_writes_nothing(llactr: Call, workspace: Workspace, day: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*") if path.name != "llactr.log"}
    said = llactr("advance", "--data", day, "--dry-run", "--json", "--workspace", workspace.root)
    assert said.json["steps"][0] == f"append events of {day}"
    assert said.json["steps"][-1].startswith("hold it against a constant: nothing was ever promoted")
    assert {p: p.stat().st_mtime_ns for p in workspace.root.rglob("*") if p.name != "llactr.log"} == before
    (tmp_path / "empty").mkdir()
    refused = llactr("advance", "--data", tmp_path / "empty", "--dry-run", "--workspace", workspace.root)
    assert (refused.code, "holds none of the sources" in refused.err) == (2, True)
