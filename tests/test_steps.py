from __future__ import annotations

import subprocess
import sys

import pytest

from llactr.errors import StepError
from llactr.jobs.cli.console import Terminal
from llactr.steps import Job, exclusive, outcome_of
from llactr.workspace import Workspace


@pytest.fixture
def job(tmp_path):
    return Job(Workspace.at(tmp_path), Terminal(as_json=True))


def _step(job, calls, *, config=None, inputs=None, fails=False):
    def work(draft, advance):
        calls.append(1)
        (draft / "made.txt").write_text(str(len(calls)), encoding="utf-8")
        if fails:
            raise StepError("it broke")
        return {"calls": len(calls)}

    folder = job.workspace.artifact("things", "one")
    return job.step("thing", folder, dataset="d", config=config or {}, inputs=inputs or {}, work=work)


def test_the_same_inputs_are_done_once(job):
    calls = []
    first, second = _step(job, calls), _step(job, calls)
    assert len(calls) == 1
    assert (first.skipped, second.skipped) == (False, True)
    assert second.result == {"calls": 1}


@pytest.mark.parametrize("change", [{"config": {"a": 2}}, {"inputs": {"data": "other"}}])
def test_other_inputs_replace_the_artifact(job, change):
    calls = []
    _step(job, calls)
    changed = _step(job, calls, **change)
    assert not changed.skipped
    assert (changed.folder / "made.txt").read_text(encoding="utf-8") == "2"


def test_force_redoes(job):
    calls = []
    _step(job, calls)
    forced = _step(Job(job.workspace, job.terminal, force=True), calls)
    assert forced.result == {"calls": 2}


def test_a_failure_leaves_the_old_artifact_and_no_draft(job):
    calls = []
    kept = _step(job, calls)
    with pytest.raises(StepError, match="it broke"):
        _step(job, calls, config={"a": 2}, fails=True)
    assert (kept.folder / "made.txt").read_text(encoding="utf-8") == "1"
    assert [path.name for path in kept.folder.parent.iterdir()] == ["one"]
    assert job.workspace.current("d") == {"thing": kept.folder}


def test_a_damaged_manifest_means_the_step_is_redone(job):
    calls = []
    kept = _step(job, calls)
    (kept.folder / "manifest.json").write_text("{", encoding="utf-8")
    assert outcome_of(kept.folder) is None
    assert not _step(job, calls).skipped


def test_one_writing_command_at_a_time(tmp_path):
    workspace = Workspace.at(tmp_path)
    script = (
        "import sys; from llactr.steps import exclusive; from llactr.workspace import Workspace\n"
        "with exclusive(Workspace.at(sys.argv[1])): pass"
    )
    with exclusive(workspace):
        other = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert other.returncode == 1
    assert "is in use by process" in other.stderr
    again = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert again.returncode == 0
