"""Files and folders that are there whole or not at all: the one place where a draft is made, named, and takes over.

What is being written is called `.<name>.<8 hex digits>.draft` and lies beside the place that it is for, so that one
rename puts it there. Whoever writes holds a lock (flock) on the draft; the system lets go of it when the process ends
in whatever way. A draft that nobody holds was left by a process that died: `sweep` removes it.

What it survives:

- **kill -9 at any moment**, out of memory, SIGTERM: a reader finds the old or the new, never half of one, and never
  nothing where something was. A folder that exists is exchanged with its draft in one call (`renameat2`); where the
  system or the file system has no such call, the old folder is renamed to `.<name>.<8 hex digits>.old` first, and
  between the two renames `standing` and `sweep` find it again.
- **Power loss**: files and folders are flushed (fsync) before the rename, the folder around them after it. What was
  written when the call returned is there after the restart, as far as the disk keeps its word about flushing.
- **A full disk, no permission**: the error comes out, the draft is removed, what was there stays.

What it does not: bits that rot afterwards (readers compare hashes), a disk that lies about flushing, two artifacts that
must change together (a step's manifest says which belong together), and a file system without locks, on which drafts
are never swept.

Files get the permissions of a plain `open` (0666 without the umask) whatever their writer gave them, so that another
user's service can read them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from llactr.objects import refuse_place

__all__ = [
    "add_file",
    "flush",
    "left_over",
    "make_folder",
    "publish",
    "scratch",
    "standing",
    "sweep",
    "write_text",
    "writing_file",
    "writing_folder",
]

_LEFT_OVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>draft|old)")
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_NO_EXCHANGE = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EXDEV, errno.EPERM}
_NO_FLUSH = {errno.EINVAL, errno.EOPNOTSUPP}


@contextlib.contextmanager
def writing_file(target: Path) -> Iterator[Path]:
    """A fresh, empty file that takes the place of `target` when the block ends well, and vanishes otherwise."""
    with _draft(target, folder=False) as (draft, mode):
        yield draft
        _publish(draft, target, mode)


@contextlib.contextmanager
def writing_folder(target: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of `target` when the block ends well, and vanishes otherwise.

    What was at `target` stays until the new one is complete, then it goes.
    """
    _sweep_beside(target)
    with _draft(target, folder=True) as (draft, mode):
        yield draft
        _publish(draft, target, mode)


@contextlib.contextmanager
def scratch(beside: Path) -> Iterator[Path]:
    """A fresh folder, named and locked like the draft of `beside`, that is gone when the block ends.

    So are the parent folders that were made for it, unless something was put into them.
    """
    made = [folder for folder in (beside.parent, *beside.parent.parents) if not folder.exists()]
    _sweep_beside(beside)
    try:
        with _draft(beside, folder=True) as (draft, _):
            yield draft
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: something was kept
                folder.rmdir()


def write_text(target: Path, text: str) -> None:
    """Writes a UTF-8 text file with `\\n` line ends, which is replaced as a whole."""
    with writing_file(target) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def add_file(target: Path, write: Callable[[Path], object]) -> bool:
    """Writes a file unless there is one of that name; of two writers of one name exactly one wins.

    Args:
        target: the file.
        write: gets the draft's path and fills it.

    Returns:
        whether this call added it.
    """
    if target.exists():
        return False
    with _draft(target, folder=False) as (draft, mode):
        write(draft)
        _settle(draft, mode)
        try:
            os.link(draft, target)
        except FileExistsError:
            return False
        flush(target.parent)
    return True


def publish(draft: Path, target: Path) -> None:
    """Moves a finished file or folder out of a `scratch` folder to its place; what was there before goes.

    Returns once the change is on the disk.
    """
    make_folder(target.parent)
    _publish(draft, target, stat.S_IMODE(draft.parent.stat().st_mode))


def standing(target: Path) -> Path:
    """Where a folder's content is: at `target`, or beside it where a kill came between the two renames of a swap."""
    if not target.exists():
        left = sorted(target.parent.glob(f".{_escaped(target.name)}.*.old"), key=lambda path: path.stat().st_mtime)
        if left:
            return left[-1]
    return target


def sweep(root: Path) -> list[Path]:
    """Mends a folder tree after a kill: drafts that no process holds go, an `.old` without its folder comes back.

    Links are not followed. Folders that may not be read or written are left as they are.

    Returns:
        what was removed or put back.
    """
    return [left for left in _drafts(root) if _mended(left)]


def left_over(root: Path) -> list[Path]:
    """What `sweep` would remove or put back; nothing is touched."""
    return [left for left in _drafts(root) if left.suffix == ".old" or not _is_held(left)]


def _drafts(root: Path) -> Iterator[Path]:
    """Everything below a folder that is named like a draft or an `.old`; what lies in one is not looked at."""
    for place, folders, files in os.walk(root):
        for name in [*folders, *files]:
            if _LEFT_OVER.fullmatch(name):
                if name in folders:
                    folders.remove(name)
                yield Path(place) / name


def _is_held(draft: Path) -> bool:
    try:
        descriptor = os.open(draft, os.O_RDONLY)
    except OSError:
        return True  # not ours to mend
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def flush(path: Path) -> None:
    """Has the system write a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:  # some network file systems have no such call for a folder
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it where they are missing, and flushes each one's place in its parent."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        flush(one.parent)


@contextlib.contextmanager
def _draft(target: Path, *, folder: bool) -> Iterator[tuple[Path, int]]:
    """A draft of `target`, locked while the block runs, and the mode that the umask left it; then it is removed."""
    refuse_place(target, "the place to write to")
    make_folder(target.parent)
    draft, descriptor = _made(target, folder=folder)
    try:
        yield draft, stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        _remove(draft)
        os.close(descriptor)


def _made(target: Path, *, folder: bool) -> tuple[Path, int]:
    while True:
        draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.draft"
        if folder:
            draft.mkdir()
        else:
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            descriptor = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:  # swept before it was locked
            continue
        with contextlib.suppress(OSError):  # without locks a draft is as good, and is never swept
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(draft.stat(), os.fstat(descriptor)):
                return draft, descriptor
        os.close(descriptor)


def _mended(left: Path) -> bool:
    """Whether a draft or an `.old` was without owner, and has been dealt with."""
    try:
        if left.suffix == ".old":
            target = left.with_name(_target_name(left))
            if target.exists():
                _remove(left)
            else:
                left.rename(target)
            return True
        descriptor = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(left)
        finally:
            os.close(descriptor)
    except OSError:  # somebody's draft, or a folder that is not ours to mend
        return False
    return True


def _target_name(left: Path) -> str:
    found = _LEFT_OVER.fullmatch(left.name)
    assert found is not None, left
    return found["name"]


def _sweep_beside(target: Path) -> None:
    for left in target.parent.glob(f".{_escaped(target.name)}.*"):
        if _LEFT_OVER.fullmatch(left.name) and _target_name(left) == target.name:
            _mended(left)


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _publish(draft: Path, target: Path, mode: int) -> None:
    _settle(draft, mode)
    old = None
    if draft.is_dir() and target.is_dir():
        old = _exchanged(draft, target)
    else:
        draft.replace(target)
    flush(target.parent)
    if old is not None:
        _remove(old)


def _settle(draft: Path, mode: int) -> None:
    """Gives files and folders the permissions that the umask leaves them, and has all written to the disk."""
    folder = draft.is_dir()
    for place, folders, files in os.walk(draft) if folder else [(str(draft.parent), [], [draft.name])]:
        for name in files:
            _allow(Path(place) / name, mode & 0o666)
            flush(Path(place) / name)
        for name in folders:
            _allow(Path(place) / name, mode & 0o777)
        if folder:
            flush(Path(place))


def _allow(path: Path, mode: int) -> None:
    if path.is_symlink():
        return
    present = stat.S_IMODE(path.stat().st_mode)
    if present & mode != mode:
        path.chmod(present | mode)


def _exchanged(draft: Path, target: Path) -> Path:
    """Swaps a draft folder with the one in its place; returns where the old one is now."""
    failure = _exchange(draft, target)
    if not failure:
        return draft
    if failure not in _NO_EXCHANGE:
        raise OSError(failure, os.strerror(failure), str(draft), None, str(target))
    old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
    target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        old.rename(target)
        raise
    return old


def _exchange(first: Path, second: Path) -> int:
    """Exchanges two folders in one call; 0, or the error's number."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return errno.ENOSYS
    sys.audit("os.rename", str(first), str(second), _AT_FDCWD, _AT_FDCWD)  # as os.rename does: ctypes says nothing
    done = call(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return 0 if done == 0 else ctypes.get_errno()


def _remove(path: Path) -> None:
    """Removes a file or a folder, as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
