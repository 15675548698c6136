"""Pieces in several processes of this machine."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import Any, TypeVar

from llactr.errors import StepError
from llactr.pieces.base import PIECES_AHEAD, Begin, Seat, Workers

__all__ = ["in_processes"]

P = TypeVar("P")
R = TypeVar("R")


def in_processes(begin: Begin[P, R], pieces: Iterable[P], workers: Workers) -> Iterator[R]:
    """See `llactr.pieces.run_pieces`. A process that is killed ends the run; what it kept is kept.

    Raises:
        StepError: a process was killed.
    """
    count = workers.count or 1
    threads = workers.threads or max(1, (os.cpu_count() or 1) // count)
    context = get_context("spawn")
    seats = context.Value("i", 0)
    left = iter(pieces)
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin, initargs=(os.getpid(), seats, begin, count, threads)
    ) as pool:
        held: deque[Future[R]] = deque(pool.submit(_do, piece) for piece in islice(left, PIECES_AHEAD * count))
        try:
            while held:
                result = held.popleft().result()
                held.extend(pool.submit(_do, piece) for piece in islice(left, 1))
                yield result
        except BrokenProcessPool:
            raise StepError(
                "a process that did a part of the work was killed, perhaps for lack of memory: run the command "
                "again, it goes on with what is left, or use fewer processes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure what waits is not begun


_seat: Seat
_begun: Callable[[Seat], Callable[[Any], Any]]
_work: Callable[[Any], Any] | None = None


def _begin(parent: int, seats: Any, begin: Callable[[Seat], Callable[[Any], Any]], count: int, threads: int) -> None:
    """Takes a seat, and ends this process once its parent is gone: a pool's worker would wait for ever."""
    global _seat, _begun
    with seats.get_lock():
        _seat = Seat(seats.value, count, threads)
        seats.value += 1
    _begun = begin

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(piece: Any) -> Any:
    global _work
    if _work is None:  # with the first piece, so that what goes wrong is told as it was said
        _work = _begun(_seat)
    return _work(piece)
