"""Pieces on Ray: an actor a worker, which begins once and is given a piece at a time. The only use of Ray's interface.

Ray's own retries are off: which piece was lost with a worker is known here, and it is done again by another one. A
worker that ends gets a successor, so that a node that comes back, or another one, takes its place.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from types import ModuleType
from typing import Any, TypeVar

from llactr.errors import InputError, LlactrError, StepError
from llactr.extras import naming_extras
from llactr.pieces.base import PIECES_AHEAD, Begin, Seat, Workers

__all__ = ["Hands", "on_ray"]

P = TypeVar("P")
R = TypeVar("R")

LOCAL = "local"
DEATHS = 3
"""A piece that has ended so many workers is at fault itself."""
_WAIT_S = 60.0
_KNOCK_S = 10.0
_PASSED_ON = ("LLACTR_", "FEAST_")
"""The environment of the command that workers get too: where stores are."""

log = logging.getLogger(__name__)


def on_ray(begin: Begin[P, R], pieces: Iterable[P], workers: Workers) -> Iterator[R]:
    """See `llactr.pieces.run_pieces`. All machines have the same llactr, and share the workspace's folder.

    Raises:
        InputError: Ray is not installed, there is no cluster at the address, or it has another version of llactr.
        StepError: a piece has ended three workers, or none can begin.
    """
    assert workers.ray is not None
    with naming_extras():
        import ray
    with _connected(ray, workers.ray):
        crew = _Crew(ray, begin, workers)
        try:
            yield from crew.results(iter(pieces))
        finally:
            crew.dismiss()


class Hands:
    """One worker, in a process of Ray's."""

    def __init__(self, begin: Callable[[Seat], Callable[[Any], Any]], seat: Seat, environment: dict[str, str]) -> None:
        self._begin, self._seat = begin, seat
        os.environ.update(environment)
        self._work: Callable[[Any], Any] | None = None

    def ready(self, version: str) -> None:
        """Loads what all pieces need.

        Raises:
            InputError: this machine has another version of llactr.
        """
        here = metadata.version("llactr")
        if here != version:
            raise InputError(
                f"llactr {here} is installed on Ray's machine {socket.gethostname()}, and {version} here: "
                "install the same on all machines"
            )
        self._work = self._begin(self._seat)

    def do(self, piece: Any) -> Any:
        """A piece's result."""
        assert self._work is not None, "ready() comes first"
        return self._work(piece)


class _Crew:
    """The workers of a run, who has which piece, and what is to be done again."""

    def __init__(self, ray: ModuleType, begin: Callable[[Seat], Callable[[Any], Any]], workers: Workers) -> None:
        self._ray, self._begin = ray, begin
        self._threads = workers.threads or 1
        room = ray.cluster_resources()
        self._gpus = 1 if room.get("GPU", 0) >= 1 else 0
        fitting = room["GPU"] if self._gpus else room.get("CPU", 0) / self._threads
        if fitting < 1:
            raise InputError(
                f"Ray's machines have {room.get('CPU', 0):g} CPUs, and a worker asks for {self._threads}: give fewer "
                "--threads, or more machines"
            )
        self._count = min(workers.count or int(fitting), int(fitting))
        self._actor = ray.remote(Hands)
        self._environment = {name: value for name, value in os.environ.items() if name.startswith(_PASSED_ON)}
        self._beginning: dict[Any, tuple[Any, int]] = {}  # reference -> (actor, seat)
        self._busy: dict[Any, tuple[Any, int, int]] = {}  # reference -> (actor, seat, piece's number)
        self._free: list[tuple[Any, int]] = []
        self._stillborn = 0

    def results(self, pieces: Iterator[P]) -> Iterator[Any]:
        """What the pieces give, in their order."""
        for seat in range(self._count):
            self._hire(seat)
        todo: deque[int] = deque()
        held: dict[int, Any] = {}  # pieces that have no result yet
        deaths: dict[int, int] = {}
        done: dict[int, Any] = {}
        taken = given = 0
        more = True
        while True:
            while more and taken - given < PIECES_AHEAD * self._count and len(todo) < self._count:
                try:
                    held[taken] = next(pieces)
                except StopIteration:
                    more = False
                    break
                todo.append(taken)
                taken += 1
            while todo and self._free:
                number = todo.popleft()
                actor, seat = self._free.pop()
                self._busy[actor.do.remote(held[number])] = (actor, seat, number)
            while given in done:
                yield done.pop(given)
                given += 1
            if not more and given == taken:
                return
            for number, result in self._settled():
                if isinstance(result, _Lost):
                    deaths[number] = deaths.get(number, 0) + 1
                    if deaths[number] >= DEATHS:
                        raise StepError(
                            f"piece {number + 1} of the work ended {DEATHS} of Ray's workers ({result.said}): see "
                            "Ray's logs; where memory was short, give fewer workers or machines with more"
                        )
                    todo.appendleft(number)
                elif number not in done:
                    del held[number]
                    done[number] = result

    def dismiss(self) -> None:
        """Ends the workers; what they are at is lost, what they have kept is kept."""
        for actor in [
            *(actor for actor, _ in self._free),
            *(actor for actor, _ in self._beginning.values()),
            *(actor for actor, _, _ in self._busy.values()),
        ]:
            self._end(actor)

    def _end(self, actor: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor)

    def _hire(self, seat: int) -> None:
        actor = self._actor.options(
            num_cpus=self._threads, num_gpus=self._gpus, max_restarts=0, max_task_retries=0
        ).remote(self._begin, Seat(seat, self._count, self._threads), self._environment)
        self._beginning[actor.ready.remote(metadata.version("llactr"))] = (actor, seat)

    def _settled(self) -> Iterator[tuple[int, Any]]:
        """Waits until something has ended; gives the pieces that did, with their result or `_Lost`."""
        waiting = [*self._busy, *self._beginning]
        ended, _ = self._ray.wait(waiting, num_returns=1, timeout=_WAIT_S)
        if not ended and not self._busy and not self._free:
            log.warning("Ray has given no worker yet: %d are asked for, each with %d CPUs", self._count, self._threads)
        for reference in ended:
            if reference in self._beginning:
                actor, seat = self._beginning.pop(reference)
                began = self._outcome(reference)
                if isinstance(began, _Lost):
                    self._stillborn += 1
                    if self._stillborn >= DEATHS * self._count:
                        raise StepError(f"Ray's workers end before they begin ({began.said}): see Ray's logs")
                    self._hire(seat)
                else:
                    self._free.append((actor, seat))
                continue
            actor, seat, number = self._busy.pop(reference)
            result = self._outcome(reference)
            if isinstance(result, _Lost):
                log.warning("a worker on Ray ended with piece %d, which is done again: %s", number + 1, result.said)
                self._end(actor)  # where only its result was lost it still holds its CPUs
                self._hire(seat)
            else:
                self._free.append((actor, seat))
            yield number, result

    def _outcome(self, reference: Any) -> Any:
        """A result, or `_Lost` where the worker is gone; what the work raised is raised."""
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except (errors.RayActorError, errors.ObjectLostError) as error:
            return _Lost(str(error).strip().splitlines()[-1].strip()[:200])  # the cause comes last
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, LlactrError | OSError):
                raise cause from None
            raise


class _Lost:
    """In place of a result: the worker is gone, and why."""

    def __init__(self, said: str) -> None:
        self.said = said


@contextlib.contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    """Ray, started or joined for the block; one that the process has joined already is used, and left as it is."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        how |= {"num_cpus": os.cpu_count() or 1, "include_dashboard": False, "address": LOCAL}
        os.environ.setdefault("RAY_worker_niceness", "0")
    else:
        how["address"] = address
    try:
        _knock(address)
        ray.init(**how)
    except Exception as error:  # a start that takes too long is a plain Exception in Ray
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"there is no Ray at {address!r} ({said}): give the address of a cluster that runs, such as auto or "
            "ray://head:10001, or local for Ray on this machine"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Asks whether anybody listens at `host:port`: Ray itself would ask again for minutes.

    Raises:
        OSError: nobody.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
