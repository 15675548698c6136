"""Pieces in this process and in several: results in order, each once, and errors as they were said."""

from __future__ import annotations

import builtins
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llactr.errors import DataError, InputError, StepError
from llactr.pieces import PIECES_AHEAD, Seat, Workers, run_pieces
from tests.pieces.made_up_work import UNLUCKY, Squares


def test_alone_means_this_process(tmp_path: Path) -> None:
    found = list(run_pieces(Squares(tmp_path), range(5), Workers()))
    assert found == [(n * n, os.getpid()) for n in (0, 1, 2, 3, 4)]
    assert len(list(tmp_path.glob("began-*"))) == 1


def test_alone_takes_a_piece_when_the_one_before_is_done(tmp_path: Path) -> None:
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    results = run_pieces(Squares(tmp_path), pieces(), Workers())
    assert taken == []
    next(results)
    assert taken == [0]


def test_processes_give_results_in_order_and_begin_once(tmp_path: Path) -> None:
    ahead: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(40):
            ahead.append(number)
            yield number

    results = run_pieces(Squares(tmp_path), pieces(), Workers(2))
    first = next(results)
    assert first[0] == 0
    assert len(ahead) == 2 * PIECES_AHEAD + 1
    rest = list(results)
    assert [square for square, _ in rest] == [n * n for n in range(1, 40)]
    workers = {pid for _, pid in [first, *rest]}
    assert os.getpid() not in workers
    began = [path.name for path in tmp_path.glob("began-*")]
    assert len(began) == len(workers) <= 2
    assert {name.rpartition("-")[2] for name in began} <= {"seat0", "seat1"}
    assert len(list(tmp_path.glob("done-*"))) == 40


def test_what_a_process_says_comes_out_as_it_was_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1313 is no number to square: take another"):
        list(run_pieces(Squares(tmp_path), [2, UNLUCKY, 3], Workers(2)))


def test_a_killed_process_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="was killed, perhaps for lack of memory: run the command again"):
        list(run_pieces(Squares(tmp_path, deadly=((1, 1),)), range(2), Workers(2)))


@pytest.mark.parametrize("workers", [Workers(0), Workers(-1, ray="local")])
def test_no_workers_are_refused(workers: Workers, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="workers cannot do anything: give one or more"):
        list(run_pieces(Squares(tmp_path), [1], workers))


def test_a_missing_ray_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without_ray(name: str, *rest: Any) -> Any:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(InputError, match=r"the package 'ray' is not installed: run pip install 'llactr\[ray\]'"):
        list(run_pieces(Squares(tmp_path), [1], Workers(ray="local")))


def test_a_machine_without_the_shared_folder_says_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no folder .*/away, .*: put the workspace on a file system that all"):
        Seat(0, 1, 0).take(tmp_path / "away")


def test_an_address_at_which_nobody_listens_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))  # has no init: not asked
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        address = f"ray://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InputError, match=f"there is no Ray at '{address}' .*: give the address of a cluster"):
            list(run_pieces(Squares(tmp_path), [1], Workers(ray=address)))
