"""What the machine refuses (disk, permissions, paths), in one sentence of ours."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from llactr.errors import InputError, LlactrError, StepError

__all__ = ["interrupted", "remove_empty_folders", "system_failure"]

_FULL = "the disk is full: free some space and run the command again; nothing was left half-written"
_READ_ONLY = "the file system is read-only: give a --workspace that can be written to"
_FORBIDDEN = "there is no permission: give this user access, or another --workspace"
_TOO_LONG = "the path is too long for this system: give a --workspace with a shorter path"

_BY_NUMBER: dict[int, tuple[type[LlactrError], str]] = {
    errno.ENOSPC: (StepError, _FULL),
    errno.EDQUOT: (StepError, _FULL),
    errno.EROFS: (InputError, _READ_ONLY),
    errno.EACCES: (InputError, _FORBIDDEN),
    errno.EPERM: (InputError, _FORBIDDEN),
    errno.ENAMETOOLONG: (InputError, _TOO_LONG),
}
_DUCKDB = "Query interrupted"
_BY_WORDS = (
    (re.compile(r"no space left on device|disk is full|os error 28", re.IGNORECASE), errno.ENOSPC),
    (re.compile(r"disk quota exceeded", re.IGNORECASE), errno.EDQUOT),
    (re.compile(r"read-only file system|readonly database", re.IGNORECASE), errno.EROFS),
    (re.compile(r"permission denied", re.IGNORECASE), errno.EACCES),
    (re.compile(r"file name too long", re.IGNORECASE), errno.ENAMETOOLONG),
)
"""How libraries say what the system told them: Arrow, DuckDB, SQLite, safetensors and torch raise errors of theirs."""


def system_failure(error: BaseException) -> LlactrError | None:
    """The error to show for something that the system refused; None for an error of another kind."""
    for one in _chain(error):
        number = one.errno if isinstance(one, OSError) and one.errno in _BY_NUMBER else _by_words(str(one))
        if number in _BY_NUMBER:
            kind, said = _BY_NUMBER[number]
            return kind(f"{_place(one)}{said}")
        if isinstance(one, OSError):
            reason = one.strerror or " ".join(str(one).split())[:300] or type(one).__name__
            return StepError(f"{_place(one)}the system refused ({reason}): mend the cause and run the command again")
    return None


def interrupted(error: BaseException) -> bool:
    """Whether an error is an interrupt by the user, which DuckDB turns into errors of its own."""
    return any(
        isinstance(one, KeyboardInterrupt) or type(one).__name__ == "InterruptException" or _DUCKDB in str(one)
        for one in _chain(error)
    )


def remove_empty_folders(root: Path) -> None:
    """Removes a folder tree as far as it holds no files."""
    for place, _, _ in os.walk(root, topdown=False):
        try:
            Path(place).rmdir()
        except OSError:
            continue


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def _by_words(text: str) -> int:
    return next((number for words, number in _BY_WORDS if words.search(text)), 0)


def _place(error: BaseException) -> str:
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    text = os.fsdecode(name) if isinstance(name, str | bytes) else ""
    return f"{text[:200]}{'...' if len(text) > 200 else ''}: " if text else ""
