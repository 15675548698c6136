"""Commands on a machine that refuses: a sentence and an exit code, never a traceback; nothing half-written is left."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.jobs.conftest import Answer, Ran
from tests.jobs.tiny_dataset import write_dataset

Command = Callable[..., Answer]


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock")


def _refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "the file")

    monkeypatch.setattr(f"os.{name}", refuse)


@pytest.mark.parametrize(
    ("call", "number", "code", "said"),
    [
        ("fsync", errno.ENOSPC, 1, "the file: the disk is full: free some space"),
        ("fsync", errno.EIO, 1, "the system refused"),
        ("mkdir", errno.EROFS, 2, "the file system is read-only: give a --workspace"),
        ("mkdir", errno.EACCES, 2, "there is no permission"),
    ],
)
def test_ingest_on_a_machine_that_refuses(
    llactr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, code: int, said: str
) -> None:
    spec = write_dataset(tmp_path)
    root = tmp_path / "workspace"
    with monkeypatch.context() as patch:
        _refuse(patch, call, number)
        answer = llactr("ingest", spec, "--workspace", root, "--json")
    assert answer.code == code
    assert said in answer.err.replace("\n", " ")
    assert said in answer.json["error"]
    assert not root.exists()
    assert llactr("ingest", spec, "--workspace", root).code == 0


def test_a_long_path_is_refused_by_name(llactr: Command, tmp_path: Path) -> None:
    spec = write_dataset(tmp_path)
    answer = llactr("ingest", spec, "--workspace", tmp_path / ("x" * 300))
    assert answer.code == 2
    assert "the path is too long for this system: give a --workspace" in " ".join(answer.err.split())


def test_a_failing_command_leaves_no_empty_workspace(llactr: Command, tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    for arguments in (("ingest", tmp_path / "none.yaml"), ("encode",), ("train",), ("diagnose",)):
        assert llactr(*arguments, "--workspace", root).code == 2
        assert not root.exists()


def test_an_interrupt_within_a_query_exits_130(
    llactr: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("llactr.datasets.ingest.connect", interrupt)
    answer = llactr("ingest", write_dataset(tmp_path), "--workspace", tmp_path / "workspace")
    assert (answer.code, answer.err.strip()) == (130, "llactr: interrupted; nothing was left half-written")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_output_in_a_locale_that_lacks_characters(tmp_path: Path, encoding: str) -> None:
    spec = tmp_path / "映画−.yaml"
    command = [
        sys.executable,
        "-m",
        "llactr.jobs.cli",
        "ingest",
        str(spec),
        "--json",
        "--workspace",
        str(tmp_path / "w"),
    ]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert run.returncode == 2
    assert "映画−" in json.loads(run.stdout.decode(encoding))["error"]
    assert b"Traceback" not in run.stderr
    assert "??-.yaml" in run.stderr.decode(encoding).replace("\n", "")


def test_ctrl_c_exits_130_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    spec = write_dataset(tmp_path)
    code = (
        "import os, signal, threading, llactr.datasets.ingest as i, sys\n"
        # A shell that starts this in the background has it ignore the signal.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "real = i.write_events\n"
        "def slow(*given, **named):\n"
        "    real(*given, **named)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    import duckdb; duckdb.connect().execute('SELECT count(*) FROM range(1e12::BIGINT) a').fetchall()\n"
        "i.write_events = slow\n"
        f"sys.argv = ['llactr', 'ingest', {str(spec)!r}, '--workspace', {str(tmp_path / 'w')!r}]\n"
        "from llactr.jobs.cli import main; main()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 130, run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "w").exists()


def test_predict_reads_a_workspace_that_it_may_not_write(
    llactr: Command, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = '{"person": "p1", "dish": "d1", "device": "phone"}'
    moment = json.dumps({**json.loads(row), "event_timestamp": "2023-12-01T10:00:00+00:00"})
    writable = llactr("score", "--row", moment, "--workspace", ran.workspace, "--json")
    assert writable.code == 0, writable.err
    before = _files(ran.workspace)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    read = llactr("score", "--row", moment, "--workspace", ran.workspace, "--json")
    assert read.code == 0, read.err
    assert read.json["scores"] == writable.json["scores"]
    assert _files(ran.workspace) == before
