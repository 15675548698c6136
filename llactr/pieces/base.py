"""Who does the pieces, and what a worker is told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from llactr.errors import InputError

__all__ = ["ALONE", "PIECES_AHEAD", "Begin", "Seat", "Workers"]

P = TypeVar("P")
R = TypeVar("R")

PIECES_AHEAD = 4
"""Pieces a worker that may be done, or under way, before the results of earlier ones: what is held at a time."""


@dataclass(frozen=True)
class Seat:
    """Which worker of how many one is, and how many threads it is to use."""

    number: int
    of: int
    threads: int

    def take(self, folder: Path) -> None:
        """Has torch use the seat's threads, and sees to it that the folder that all workers share is there.

        Raises:
            InputError: this machine does not have it.
        """
        import torch

        if not folder.is_dir():
            raise InputError(
                f"the machine {socket.gethostname()} has no folder {folder}, which its part of the work reads and "
                "writes: put the workspace on a file system that all machines share, at the same path"
            )
        if self.threads:
            torch.set_num_threads(self.threads)


@dataclass(frozen=True)
class Workers:
    """Who does the pieces.

    Attributes:
        count: processes; without one this process alone, and on Ray as many as the cluster has room for.
        ray: `local` starts Ray on this machine, anything else is the address of a cluster (`auto`, `ray://head:10001`);
            None is no Ray.
        threads: CPU threads of a worker; without a number one on Ray, and this machine's shared out otherwise. The same
            number gives the same bits on the same kind of machine.
    """

    count: int | None = None
    ray: str | None = None
    threads: int | None = None

    @property
    def alone(self) -> bool:
        """Whether this process does all of it."""
        return self.ray is None and (self.count or 1) == 1


ALONE = Workers()


Begin: TypeAlias = Callable[[Seat], Callable[[P], R]]
"""What a worker does first, once: loads what all pieces need, and gives the function of one piece.

It travels to the workers: a frozen dataclass with `__call__` at the top of a module, not a closure.
"""
