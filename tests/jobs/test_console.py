"""What a step says where there is no terminal: a line now and then on stderr, nothing on stdout."""

from __future__ import annotations

import threading

import pytest

from llactr.jobs.cli import console
from llactr.jobs.cli.console import Terminal


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("as_json", [False, True])
def test_a_long_step_in_a_pipe_says_how_far_it_is(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    """`llactr evaluate` in a pipe was silent for ten minutes."""
    clock, said = Clock(), []
    with Terminal(as_json=as_json, clock=clock).step("evaluate") as advance:
        for seconds, done, note in [
            (0, 0, "fm plain"), (29.9, 1, "fm fre"), (30, 2, "fm [fie]"), (31, 3, "fm paper"), (59.9, 4, "a"),
            (60, 5, "deepfm plain"), (200, 6, "deepfm fre"), (229, 7, "deepfm fie"),
        ]:  # fmt: skip
            clock.now_s = 1000.0 + seconds
            advance(done, 16, note)
        clock.now_s = 1260.0
        advance(0, 0, "test: fm plain")
        out, err = capsys.readouterr()
        said = [" ".join(line.split()) for line in err.splitlines()]
        clock.now_s = 1300.0
        advance(1, 1, "paper helps")
    assert out == ""
    assert said == [
        "evaluate 30 s 2 of 16 fm [fie]", "evaluate 60 s 5 of 16 deepfm plain",
        "evaluate 200 s 6 of 16 deepfm fre", "evaluate 260 s test: fm plain",
    ]  # fmt: skip
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, "the step's end has one line, of its own"
    assert "paper helps" in err


def test_a_short_step_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal(clock=Clock()).step("join") as advance:
        advance(0, 0, "point-in-time join")
        advance(1, 1, "900 rows")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_notebook_s_shell_cell_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernel sets FORCE_COLOR, and every step of a bar was kept in the notebook."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Terminal(clock=Clock()).step("join") as advance:
        advance(1, 1, "900 rows")
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert len(err.splitlines()) == 1


def test_a_step_that_says_nothing_itself_is_heard_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, told = Clock(), threading.Event()
    terminal = Terminal(clock=clock)
    note = terminal.note
    monkeypatch.setattr(terminal, "note", lambda text: (note(text), told.set()))
    monkeypatch.setattr(console, "_EVERY_S", 0.01)
    before = threading.active_count()
    with terminal.step("join") as advance:
        advance(0, 0, "point-in-time join")
        clock.now_s += 95
        assert told.wait(10)
    assert threading.active_count() == before
    first = capsys.readouterr().err.splitlines()[0]
    assert " ".join(first.split()) == "join 95 s point-in-time join"


def test_a_step_that_fails_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="no"), Terminal(clock=Clock()).step("train"):
        raise ValueError("no")
    assert threading.active_count() == before
