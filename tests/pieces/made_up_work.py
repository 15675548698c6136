"""Work for tests: a piece is a number; its result is its square and who made it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llactr.errors import DataError
from llactr.pieces import Seat

UNLUCKY = 1313


@dataclass(frozen=True)
class Squares:
    """Each beginning leaves a file; a piece in `deadly` ends its worker so many times; piece 0 waits for all `seats`."""

    marks: Path
    deadly: tuple[tuple[int, int], ...] = ()
    seats: int = 0

    def __call__(self, seat: Seat) -> Callable[[int], tuple[int, int]]:
        (self.marks / f"began-{os.getpid()}-{time.monotonic_ns()}-seat{seat.number}").touch()

        def square(piece: int) -> tuple[int, int]:
            if piece == UNLUCKY:
                raise DataError("1313 is no number to square: take another")
            ends = time.monotonic() + 300
            while piece == 0 and len(list(self.marks.glob("began-*"))) < self.seats and time.monotonic() < ends:
                time.sleep(0.02)
            for number in range(dict(self.deadly).get(piece, 0)):
                try:
                    (self.marks / f"death-{piece}-{number}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
            (self.marks / f"done-{piece}-{time.monotonic_ns()}").touch()
            return piece * piece, os.getpid()

        return square
