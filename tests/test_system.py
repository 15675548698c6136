"""What the machine refuses is a sentence, whichever library says it."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from safetensors import SafetensorError

from llactr.errors import InputError, StepError, StoreError
from llactr.system import interrupted, remove_empty_folders, system_failure


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/w/a"), StepError, r"^/w/a: the disk is full: free some"),
        (OSError(errno.EROFS, "Read-only file system", "/w"), InputError, r"^/w: the file system is read-only: give a -"),
        (PermissionError(errno.EACCES, "Permission denied", b"/w"), InputError, r"^/w: there is no permission: give"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 400), InputError, r"^x{200}\.\.\.: the path is too long"),
        (OSError(errno.EIO, "Input/output error", "/w"), StepError, r"^/w: the system refused \(Input/output error\): mend"),
        (OSError("odd"), StepError, r"^the system refused \(odd\)"),
        (pa.ArrowInvalid("IOError: [Errno 28] Error writing bytes: No space left on device"), StepError, "disk is full"),
        (sqlite3.OperationalError("database or disk is full"), StepError, "the disk is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), InputError, "the file system is read-only"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), StepError, "the disk is full"),
    ],
)  # fmt: skip
def test_refusals_of_the_system_are_sentences(error: Exception, kind: type[Exception], said: str) -> None:
    found = system_failure(error)
    assert type(found) is kind
    with pytest.raises(kind, match=said):
        raise found


def test_a_cause_is_looked_for_behind_other_errors() -> None:
    def wrapped() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("cannot save") from error

    with pytest.raises(RuntimeError) as caught:
        wrapped()
    assert "the disk is full" in str(system_failure(caught.value))


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("unsupported"), AssertionError()])
def test_our_own_faults_are_not_the_systems(error: Exception) -> None:
    assert system_failure(error) is None


def test_an_interrupt_within_a_query_is_an_interrupt() -> None:
    assert interrupted(RuntimeError("Query interrupted"))
    assert interrupted(KeyboardInterrupt())
    failed = StoreError("the feature store failed")
    failed.__cause__ = RuntimeError("Query interrupted")
    assert interrupted(failed)
    assert not interrupted(RuntimeError("no query"))


def test_only_empty_folders_are_removed(tmp_path: Path) -> None:
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "c").mkdir()
    (tmp_path / "root" / "c" / "file").touch()
    remove_empty_folders(tmp_path / "root")
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "root",
        "root/c",
        "root/c/file",
    ]
