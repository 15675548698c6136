"""Drafts: whole or not at all, swept when their writer is dead, readable by others."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llactr import atomic

_HOLDS_A_DRAFT = """
import sys, time
from pathlib import Path
from llactr import atomic
with atomic.writing_folder(Path(sys.argv[1])) as draft:
    (draft / "half").write_text("half")
    print(draft.name, flush=True)
    time.sleep(600)
"""


def _tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_file_is_replaced_as_a_whole_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "new" / "pointers.json"
    atomic.write_text(target, "one")

    def broken() -> None:
        with atomic.writing_file(target) as draft:
            draft.write_text("tw")
            assert target.read_text() == "one"
            assert draft.parent == target.parent
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        broken()
    assert _tree(tmp_path) == {"new/pointers.json": "one"}
    atomic.write_text(target, "two\n")
    assert _tree(tmp_path) == {"new/pointers.json": "two\n"}


def test_a_folder_is_replaced_as_a_whole_and_its_old_content_goes(tmp_path: Path) -> None:
    target = tmp_path / "tables"
    for content in ("one", "two"):
        with atomic.writing_folder(target) as draft:
            (draft / content).write_text(content)
            (draft / "part").mkdir()
    assert _tree(tmp_path) == {"tables/two": "two"}
    assert sorted(path.name for path in target.iterdir()) == ["part", "two"]

    def broken() -> None:
        with atomic.writing_folder(target) as draft:
            (draft / "three").write_text("three")
            raise OSError(errno.ENOSPC, "no room on the disk")

    with pytest.raises(OSError, match="no room"):
        broken()
    assert _tree(tmp_path) == {"tables/two": "two"}


def test_there_is_no_moment_without_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "tables"
    with atomic.writing_folder(target) as draft:
        (draft / "one").touch()
    seen = []
    monkeypatch.setattr(atomic, "_remove", lambda path: seen.append((target / "two").exists()))
    with atomic.writing_folder(target) as draft:
        (draft / "two").touch()
    assert seen
    assert all(seen)


def test_a_kill_between_the_two_renames_of_a_system_without_exchange_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_exchange", lambda first, second: errno.ENOSYS)
    target = tmp_path / "offline" / "tables [1]"
    with atomic.writing_folder(target) as draft:
        (draft / "one").write_text("one")
    with atomic.writing_folder(target) as draft:
        (draft / "two").write_text("two")
    assert _tree(target) == {"two": "two"}
    assert [path.name for path in target.parent.iterdir()] == ["tables [1]"]
    left = target.with_name(".tables [1].0123abcd.old")  # as a kill after the first rename leaves it
    target.rename(left)
    assert atomic.standing(target) == left
    assert atomic.sweep(tmp_path) == [left]
    assert atomic.standing(target) == target
    assert _tree(target) == {"two": "two"}
    left.mkdir()  # as a kill after the second rename leaves it
    assert atomic.sweep(tmp_path) == [left]
    assert not left.exists()
    assert _tree(target) == {"two": "two"}


def test_sweep_removes_the_drafts_of_dead_processes_only(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDS_A_DRAFT, str(tmp_path / "deep" / "bundle")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        draft = tmp_path / "deep" / process.stdout.readline().strip()
        assert draft.is_dir()
        assert atomic.sweep(tmp_path) == []
        with atomic.writing_folder(tmp_path / "deep" / "bundle"):
            assert draft.is_dir()
        assert (draft / "half").is_file()
        process.send_signal(signal.SIGKILL)
    assert (draft / "half").is_file()
    with atomic.writing_file(tmp_path / "mine") as mine:
        assert atomic.sweep(tmp_path) == [draft]
        assert mine.is_file()
    assert not draft.exists()


def test_a_draft_left_beside_a_folder_goes_when_that_folder_is_written_again(tmp_path: Path) -> None:
    left = tmp_path / ".tables.0123abcd.draft"
    (left / "deep").mkdir(parents=True)
    other = tmp_path / ".tables.of.another.0123abcd.draft"
    other.mkdir()
    with atomic.scratch(tmp_path / "tables") as work:
        assert work.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_files_and_folders_that_are_no_drafts_are_not_swept(tmp_path: Path) -> None:
    for name in (".lock", ".hidden", "a.0123abcd.draft", ".a.draft", ".a.0123abcd.parquet"):
        (tmp_path / name).touch()
    assert atomic.sweep(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 5


def test_of_two_writers_of_one_name_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "table" / "@000001"

    def beaten(draft: Path) -> None:
        draft.write_text("late")
        target.write_text("first")

    assert not atomic.add_file(target, beaten)
    assert not atomic.add_file(target, lambda draft: pytest.fail("there is one already"))
    assert _tree(tmp_path) == {"table/@000001": "first"}
    assert atomic.add_file(tmp_path / "table" / "@000002", lambda draft: draft.write_text("second"))
    assert _tree(tmp_path) == {"table/@000001": "first", "table/@000002": "second"}


def test_files_can_be_read_by_other_users_within_the_umask(tmp_path: Path) -> None:
    tensors = {"a": np.zeros(3, np.float32)}  # safetensors makes files that only their owner can read
    before = os.umask(0o027)
    try:
        with atomic.writing_folder(tmp_path / "bundle") as draft:
            (draft / "deep").mkdir(mode=0o700)
            save_file(tensors, draft / "deep" / "weights.safetensors")
        with atomic.writing_file(tmp_path / "run.safetensors") as draft:
            save_file(tensors, draft)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"bundle": 0o750, "deep": 0o750, "weights.safetensors": 0o640, "run.safetensors": 0o640}


def test_all_that_is_published_has_been_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[int, bool]] = []
    target = tmp_path / "new" / "tables"
    real = os.fsync

    def noting(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, target.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    with atomic.writing_folder(target) as draft:
        (draft / "deep").mkdir()
        (draft / "deep" / "file").write_text("content")
    inodes = {path: path.stat().st_ino for path in (target, target / "deep", target / "deep" / "file")}
    for inode in inodes.values():
        assert (inode, False) in flushed
    assert (target.parent.stat().st_ino, True) in flushed
    assert (tmp_path.stat().st_ino, False) in flushed
