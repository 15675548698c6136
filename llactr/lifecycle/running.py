"""Which services run on a workspace, and with which bundles: what a garbage collection must leave alone.

Each process of a service keeps two files under `running/`: `NAME.lock`, which it holds (flock) for as long as it
lives, and `NAME.json`, which says what it has loaded. The system lets go of the lock when the process ends in whatever
way, so that no entry outlives its service. A service says what it will load before it loads it, and a garbage
collection reads and removes under `gate`: either the bundle is listed, or it is gone before the service looks for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.atomic import make_folder, write_text
from llactr.errors import StepError
from llactr.workspace import Workspace

__all__ = ["Registration", "RunningService", "gate", "running_services"]


class RunningService(BaseModel):
    """One process of a service.

    Attributes:
        pid: on `machine`.
        follows: whether it goes along when another bundle is promoted; one that was started with a bundle's name stays.
        bundles: folders that it has loaded or is loading.
        cleared: the number of the last forgetting that it has taken note of.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    machine: str
    since: datetime
    dataset: str
    follows: bool
    bundles: tuple[Path, ...]
    cleared: int = 0


class Registration:
    """The entry of this process, from the first `tell` until `close`.

    Args:
        workspace: where; one that may only be read gets no entry.
        follows: see `RunningService`.
    """

    def __init__(self, workspace: Workspace, *, follows: bool) -> None:
        self._workspace, self._follows = workspace, follows
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._since = datetime.now(UTC)
        self._lock: int | None = None

    def tell(self, dataset: str, bundles: Sequence[Path], *, cleared: int = 0) -> bool:
        """Says what is in use from now on; waits while a garbage collection is under way.

        Returns:
            whether there is an entry: False in a workspace that may only be read.
        """
        entry = RunningService(
            pid=os.getpid(), machine=socket.gethostname(), since=self._since, dataset=dataset, follows=self._follows,
            bundles=tuple(dict.fromkeys(bundles)), cleared=cleared,
        )  # fmt: skip
        try:
            with gate(self._workspace, shared=True):
                write_text(self._path(".json"), entry.model_dump_json() + "\n")
                if self._lock is None:
                    self._lock = self._locked()
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Takes the entry away."""
        with contextlib.suppress(OSError):
            self._path(".json").unlink(missing_ok=True)
            self._path(".lock").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self) -> int:
        """The lock's file, open: it is there under its name, beside its entry, only when it is held."""
        while True:
            draft = self._path(".lock").with_name(f".{self._name}.lock.{uuid.uuid4().hex[:8]}.draft")
            descriptor = os.open(draft, os.O_CREAT | os.O_RDWR, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                draft.rename(self._path(".lock"))
            except FileNotFoundError:  # taken for one that a process left which died
                os.close(descriptor)
            except OSError:
                os.close(descriptor)
                raise
            else:
                return descriptor

    def _path(self, suffix: str) -> Path:
        return _folder(self._workspace) / f"{self._name}{suffix}"


@contextlib.contextmanager
def gate(workspace: Workspace, *, shared: bool = False) -> Iterator[None]:
    """Within the block no service begins to load a bundle; with `shared`, no garbage is collected."""
    make_folder(_folder(workspace))
    descriptor = os.open(_folder(workspace) / ".gate", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def running_services(workspace: Workspace) -> list[RunningService]:
    """The processes that live, the oldest first. Entries of those that have ended are left out.

    Raises:
        StepError: a process lives whose entry cannot be read.
    """
    found = []
    for lock in sorted(_folder(workspace).glob("*.lock")):
        if not _is_held(lock):
            continue
        entry = lock.with_suffix(".json")
        try:
            found.append(RunningService.model_validate_json(entry.read_text(encoding="utf-8")))
        except (OSError, ValidationError, json.JSONDecodeError) as error:
            if not _is_held(lock):  # it has ended meanwhile
                continue
            raise StepError(
                f"a service is running whose entry {entry} cannot be read ({type(error).__name__}): try again, or "
                "restart that service"
            ) from None
    return sorted(found, key=lambda one: one.since)


def _is_held(lock: Path) -> bool:
    """Whether the process of a lock lives; files of one that has ended are removed."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        lock.with_suffix(".json").unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    return False


def _folder(workspace: Workspace) -> Path:
    return workspace.root / "running"
