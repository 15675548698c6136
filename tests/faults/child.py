"""A command that is killed before its K-th file-system call: `python child.py ROOT K COUNT_FILE ARGUMENTS...`.

Calls that change something below ROOT are counted by an audit hook, which sees what Python does: opening for writing,
renaming (exchanges too), removing, making folders, links. With K = 0 nothing is killed and the count is written.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}


def watch(root: str, kill_at: int, count_file: str) -> None:
    """Counts from now on, and kills this process before the call of that number."""
    count = 0

    def below(path: object) -> bool:
        return isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(root)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event == "open":
            flags = arguments[2]
            counts = isinstance(flags, int) and bool(flags & _WRITES) and below(arguments[0])
        elif event in _CHANGES:
            # rmtree removes by names relative to an open folder: a number in place of -1 comes last.
            counts = any(below(path) for path in arguments[:2]) or (
                isinstance(arguments[-1], int) and arguments[-1] > 2
            )
        else:
            counts = event == "sqlite3.connect" and below(arguments[0])
        if counts:
            count += 1
            if count == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if not kill_at:
        atexit.register(lambda: Path(count_file).write_text(str(count)))


if __name__ == "__main__":
    from llactr.jobs.cli import main

    watch(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    sys.argv = ["llactr", *sys.argv[4:]]
    main()
