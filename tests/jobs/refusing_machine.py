"""A machine that refuses what happens below a folder: every call that Python makes there, by an audit hook."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["refusing"]

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_READS = {"os.listdir", "os.scandir"}
_watching: list[tuple[str, bool, Callable[[], BaseException]]] = []
_hooked: list[bool] = []


@contextmanager
def refusing(root: os.PathLike[str], error: Callable[[], BaseException], *, reads: bool = False) -> Iterator[None]:
    """Within the block calls below `root` that change something raise `error()`; with `reads` those that read too.

    What Arrow, DuckDB and SQLite do by themselves is not seen.
    """
    if not _hooked:  # a hook cannot be taken away again
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watching.append((os.fspath(root), reads, error))
    try:
        yield
    finally:
        _watching.pop()


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    root, reads, error = _watching[-1]
    if event == "open":
        flags = arguments[2]
        seen = reads or (isinstance(flags, int) and bool(flags & _WRITES))
    else:
        seen = event in _CHANGES or (reads and event in _READS)
    if seen and any(_below(path, root) for path in arguments[:2]):
        raise error()


def _below(path: object, root: str) -> bool:
    return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(root)
