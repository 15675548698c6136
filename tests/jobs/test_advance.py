"""`llactr advance`: days of a small dataset, run twice, with gates that let all pass and with gates that let none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from llactr.jobs import advance as day_job
from llactr.jobs import ingest, materialize, promote, train
from llactr.workspace import Workspace
from tests.faults.canonical import canonical, differences
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
    return written_day(ran, tmp_path)


def written_day(ran: Ran, place: Path) -> Path:
    """Forty rows of a later day."""
    folder, source = place / "day", ran.spec.parent
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


STEPS: dict[str, tuple[Any, str, int]] = {
    "append": (ingest, "append", 1),
    "apply": (materialize, "apply", 1),
    "materialize": (materialize, "materialize", 1),
    "train": (train, "run", 1),
    "materialize states": (materialize, "materialize", 2),
    "trial": (day_job, "hold_trial", 1),
    "check": (day_job, "check_servable", 1),
    "profile": (promote, "keep_profile", 1),
    "promote": (day_job, "make_champion", 1),
}
"""Name -> the function of a step, and after which of its calls a day ends."""


@dataclass(frozen=True)
class WholeDay:
    """A folder of new rows, the folder beside it that held the workspace, and what that held afterwards."""

    data: Path
    folder: Path
    left: dict[str, str]


@pytest.fixture(scope="module")
def whole_day(ran: Ran, llactr: Call, tmp_path_factory: pytest.TempPathFactory) -> WholeDay:
    """What a day leaves that nothing disturbs; the bundle that was there is the champion before it."""
    folder = tmp_path_factory.mktemp("whole")
    workspace = champion_of_before(ran, llactr, folder)
    day = written_day(ran, folder)
    found = advanced(llactr, workspace, day, ALL)
    assert found["champion"] == found["challenger"] != found["champion_before"]
    return WholeDay(day, folder, canonical(workspace.root))


def champion_of_before(ran: Ran, llactr: Call, folder: Path) -> Workspace:
    shutil.rmtree(folder / "ws", ignore_errors=True)  # manifests hold paths: always the same one
    shutil.copytree(ran.workspace, folder / "ws")
    assert llactr("apply", "--workspace", folder / "ws").code == 0
    first = Path(ran.summary["bundle"]).name
    assert llactr("promote", first, "--anyway", "--workspace", folder / "ws").code == 0
    return Workspace.at(folder / "ws")


def ended_after(step: str, monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> None:
    """Calls, and is interrupted once a step is done."""
    owner, name, last = STEPS[step]
    work, count = getattr(owner, name), 0

    def interrupted(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        done = work(*arguments, **named)
        count += 1
        if count == last:
            raise KeyboardInterrupt
        return done

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        call()
    assert count == last


@dataclass(frozen=True)
class Drill:
    """A day that is interrupted once a step is done, and run again; what it leaves is compared with a whole one."""

    llactr: Call
    ran: Ran
    patch: pytest.MonkeyPatch
    whole: WholeDay

    def hold(self, steps: Sequence[str]) -> None:
        workspace = champion_of_before(self.ran, self.llactr, self.whole.folder)
        config = self.whole.folder / "run.yaml"
        config.write_text(yaml.safe_dump(CONFIG | {"promote": ALL}), encoding="utf-8")

        def ends() -> None:
            answer = self.llactr(
                "advance", "--data", self.whole.data, "--config", config, "--workspace", workspace.root
            )
            assert (answer.code, "nothing was left half-written" in answer.err) == (130, True), answer.err

        for step in steps:
            ended_after(step, self.patch, ends)
        found = advanced(self.llactr, workspace, self.whole.data, ALL)
        assert found["champion"] == found["challenger"]
        assert " ".join(differences(self.whole.left, canonical(workspace.root))) == ""


@pytest.fixture
def drill(llactr: Call, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole_day: WholeDay) -> Drill:
    return Drill(llactr, ran, monkeypatch, whole_day)


def test_a_day_that_ends_after_training_and_again_after_promoting_ends_the_same(drill: Drill) -> None:
    drill.hold(["train", "promote"])


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_day_that_ends_after_any_step_ends_the_same(drill: Drill, step: str) -> None:
    drill.hold([step])
