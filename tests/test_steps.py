from __future__ import annotations

import json
import subprocess
import sys

import pytest

from llactr.errors import StepError
from llactr.jobs.cli.console import Terminal
from llactr.manifest import write_manifest
from llactr.steps import Job, Step, StepResult, exclusive, outcome_of
from llactr.workspace import Workspace


class Calls(StepResult):
    calls: int


@pytest.fixture
def job(tmp_path):
    return Job(Workspace.at(tmp_path), Terminal(as_json=True))


def _step(job, calls, *, config=None, inputs=None, fails=False):
    def work(draft, advance):
        calls.append(1)
        (draft / "made.txt").write_text(str(len(calls)), encoding="utf-8")
        if fails:
            raise StepError("it broke")
        return Calls(calls=len(calls))

    folder = job.workspace.artifact("things", "one")
    return job.step(Step.CHECK, folder, dataset="d", config=config or {}, inputs=inputs or {}, result=Calls, work=work)


def test_the_same_inputs_are_done_once(job):
    calls = []
    first, second = _step(job, calls), _step(job, calls)
    assert len(calls) == 1
    assert (first.skipped, second.skipped) == (False, True)
    assert second.result == Calls(calls=1)


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
    assert forced.result == Calls(calls=2)


def test_a_failure_leaves_the_old_artifact_and_no_draft(job):
    calls = []
    kept = _step(job, calls)
    with pytest.raises(StepError, match="it broke"):
        _step(job, calls, config={"a": 2}, fails=True)
    assert (kept.folder / "made.txt").read_text(encoding="utf-8") == "1"
    assert [path.name for path in kept.folder.parent.iterdir()] == ["one"]
    assert job.workspace.current("d") == {"check": kept.folder}


def test_a_damaged_manifest_means_the_step_is_redone(job):
    calls = []
    kept = _step(job, calls)
    (kept.folder / "manifest.json").write_text("{", encoding="utf-8")
    assert outcome_of(kept.folder, Calls) is None
    assert not _step(job, calls).skipped


def test_the_manifest_holds_the_result_as_json_and_reading_validates_it(job):
    kept = _step(job, [])
    manifest = json.loads((kept.folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["step"], manifest["result"]) == ("check", {"calls": 1})
    known = outcome_of(kept.folder, Calls)
    assert known is not None
    assert (known.step, known.result, known.skipped) == (Step.CHECK, Calls(calls=1), True)
    assert known.as_json() == {
        "step": "check", "key": kept.key, "folder": str(kept.folder), "skipped": True, "seconds": kept.seconds,
        "cpu_seconds": kept.cpu_seconds, "peak_rss_mb": kept.peak_rss_mb, "result": {"calls": 1},
    }  # fmt: skip
    assert list(known.as_json())[:4] == ["step", "key", "folder", "skipped"]


@pytest.mark.parametrize("result", [{}, {"calls": "many"}, {"calls": 1, "more": 2}, None, [1]])
def test_a_result_of_another_shape_means_the_step_is_redone(job, result):
    kept = _step(job, [])
    path = kept.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"result": result}), encoding="utf-8")
    assert outcome_of(kept.folder, Calls) is None
    again = _step(job, calls := [])
    assert (len(calls), again.skipped, again.result) == (1, False, Calls(calls=1))


def test_a_step_that_writes_its_own_folder_is_kept_by_its_key(job):
    folder = job.workspace.artifact("things", "measured")

    def call(key):
        with job.measured(Step.INGEST, Calls, dataset="d", folder=folder) as step:
            if not step.unchanged(key):
                folder.mkdir(parents=True, exist_ok=True)
                write_manifest(folder, step=Step.INGEST, key=key, config={})
                step.done(Calls(calls=7), "done")
        return step.outcome

    assert [call(key).skipped for key in ("one", "one", "two")] == [False, True, False]
    assert outcome_of(folder, Calls).result == Calls(calls=7)
    assert job.workspace.current("d") == {"ingest": folder}


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
