"""Pieces on a Ray of two workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llactr.errors import DataError, InputError, StepError
from llactr.pieces import Workers, run_pieces
from tests.pieces.local_ray import local_ray
from tests.pieces.made_up_work import UNLUCKY, Squares

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ON_RAY = Workers(2, ray="local")


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with local_ray(tmp_path_factory.mktemp("marks")):
        yield


def test_a_worker_begins_once_and_results_are_in_order(tmp_path: Path) -> None:
    found = list(run_pieces(Squares(tmp_path, seats=2), range(30), ON_RAY))
    assert [square for square, _ in found] == [n * n for n in range(30)]
    workers = {pid for _, pid in found}
    assert os.getpid() not in workers
    began = [path.name.split("-")[1] for path in tmp_path.glob("began-*")]
    assert len(began) == 2
    assert workers == {int(pid) for pid in began}
    assert len(list(tmp_path.glob("done-*"))) == 30


def test_a_killed_worker_loses_its_piece_alone_and_has_a_successor(tmp_path: Path) -> None:
    found = list(run_pieces(Squares(tmp_path, deadly=((3, 1), (7, 2)), seats=2), range(12), ON_RAY))
    assert [square for square, _ in found] == [n * n for n in range(12)]
    assert sorted(path.name for path in tmp_path.glob("death-*")) == ["death-3-0", "death-7-0", "death-7-1"]
    assert len(list(tmp_path.glob("done-*"))) == 12  # each once: those that killed were not through
    assert 2 <= len(list(tmp_path.glob("began-*"))) <= 2 + 3


def test_a_piece_that_kills_every_worker_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"piece 2 of the work ended 3 of Ray's workers \(.*see Ray's logs"):
        list(run_pieces(Squares(tmp_path, deadly=((1, 99),)), range(4), ON_RAY))


def test_what_a_worker_says_comes_out_as_it_was_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^1313 is no number to square: take another$"):
        list(run_pieces(Squares(tmp_path), [2, UNLUCKY, 3], ON_RAY))
    with pytest.raises(InputError, match="Ray's machines have 2 CPUs, and a worker asks for 3"):
        list(run_pieces(Squares(tmp_path), [1], Workers(ray="local", threads=3)))
