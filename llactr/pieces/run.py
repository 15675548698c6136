"""Runs pieces, wherever they are to be run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from llactr.errors import InputError
from llactr.pieces.base import Begin, Seat, Workers

__all__ = ["run_pieces"]

P = TypeVar("P")
R = TypeVar("R")


def run_pieces(begin: Begin[P, R], pieces: Iterable[P], workers: Workers) -> Iterator[R]:
    """Does the pieces and gives their results in the order of the pieces, each once.

    Pieces are taken from the iterable as workers come to them, at most four a worker ahead of the results.

    Args:
        begin: what each worker does first.
        pieces: any number of them.
        workers: who does them.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
        StepError: a piece has ended its worker again and again.
        LlactrError: what a piece, or its beginning, raised.
    """
    if workers.count is not None and workers.count < 1:
        raise InputError(f"{workers.count} workers cannot do anything: give one or more")
    if workers.count is not None and isinstance(pieces, Sized):
        workers = dataclasses.replace(workers, count=max(1, min(workers.count, len(pieces))))
    if workers.ray is not None:
        from llactr.pieces.on_ray import on_ray

        yield from on_ray(begin, pieces, workers)
    elif workers.alone:
        do = begin(Seat(0, 1, workers.threads or 0))
        for piece in pieces:
            yield do(piece)
    else:
        from llactr.pieces.processes import in_processes

        yield from in_processes(begin, pieces, workers)
