"""What the workers of a service tell each other through the parent's folder."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from llactr.serving import control
from llactr.serving.control import Control


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What was sent to whom."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(control.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


def test_before_the_first_reload_no_bundle_is_asked_for(tmp_path: Path) -> None:
    assert Control(tmp_path, parent=1).target() is None
    assert Control(tmp_path / "gone", parent=1).target() is None
    (tmp_path / "bundle").write_text("")
    assert Control(tmp_path, parent=1).target() is None


def test_all_workers_learn_the_bundle_asked_for_last(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    mine, theirs = Control(tmp_path, parent=4711), Control(tmp_path, parent=4711)
    mine.spread("3f2a")
    assert theirs.target() == "3f2a"
    theirs.spread("Bündel 2")
    assert mine.target() == "Bündel 2"
    assert signals == [(4711, signal.SIGHUP)] * 2
    # `asked` tells the parent that a worker sent the signal; no draft is left.
    assert sorted(file.name for file in tmp_path.iterdir()) == ["asked", "bundle"]


def test_a_worker_that_follows_a_promotion_lets_go_of_what_was_asked_for(tmp_path: Path) -> None:
    worker = Control(tmp_path, parent=1)
    worker._write("3f2a")
    worker.follow()
    assert worker.target() == control.NEWEST


def test_the_parent_is_told_after_the_name_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str | None] = []
    monkeypatch.setattr(control.os, "kill", lambda *_: found.append(Control(tmp_path, parent=1).target()))
    Control(tmp_path, parent=1).spread("new")
    assert found == ["new"]


def test_a_reader_never_sees_half_a_name(tmp_path: Path, signals: list[tuple[int, int]]) -> None:
    """The new name takes the old one's place whole: a file that a worker has opened is not written into."""
    worker = Control(tmp_path, parent=1)
    worker.spread("old")
    with (tmp_path / "bundle").open(encoding="utf-8") as opened:
        worker.spread("a longer one")
        assert opened.read() == "old"
    assert worker.target() == "a longer one"
