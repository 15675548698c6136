"""Objects of an S3 store, `s3://bucket/key`: listed, fetched, published, and read by DuckDB without an extension.

Who may read, and where the store is, is said by AWS's own variables: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_SESSION_TOKEN`, `AWS_REGION`, and, for a store that is not Amazon's, `AWS_ENDPOINT_URL`. pyarrow's client does the
work; DuckDB is lent it, since its own one is an extension that would have to be downloaded.

An object appears whole, under its last name, when its upload has ended, and not at all if it never does; there is no
renaming and no folder that appears at once. So what is published here is one object.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llactr.errors import InputError, NotReadyError, StoreError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = [
    "listed", "local_folder", "local_source", "place_of", "publishing", "put", "read_schema", "refuse_place",
    "show_to_duckdb", "versions",
]  # fmt: skip

_SCHEME = "s3://"
_NO_NAMES = "*?[]#"


def place_of(path: str | PurePath | None) -> str | None:
    """`s3://bucket/key` where a path means an object, also one that pathlib has taken for a file's; None otherwise."""
    text = "" if path is None else str(path)
    if text.startswith(_SCHEME):
        return text.rstrip("/")
    return _SCHEME + text.removeprefix("s3:/").strip("/") if text.startswith("s3:/") else None


def refuse_place(path: str | PurePath, what: str) -> None:
    """Refuses an object where a file of this machine is needed.

    Raises:
        InputError: the path means an object.
    """
    place = place_of(path)
    if place is not None:
        raise InputError(
            f"{what} is {place}: on s3:// may be sources to ingest (--data), features of a Feast repository of your "
            "own, and rows and scores of 'llactr score': give a path of this machine"
        )


def listed(place: str, *, endpoint: str | None = None) -> list[str]:
    """The Parquet objects at a place, sorted: the object itself, or all below it but those that begin with `.` or `_`.

    Args:
        place: `s3://bucket/key`.
        endpoint: of the store; by default `$AWS_ENDPOINT_URL`, else Amazon's.

    Raises:
        NotReadyError: there is none.
        InputError: a name has a character that DuckDB takes for a pattern.
        StoreError: the store does not answer, or refuses.
    """
    found = [info for info in _all(place, endpoint) if info.path.endswith(".parquet")]
    base = len(place.removeprefix(_SCHEME))
    names = [i.path for i in found if not any(part[:1] in {".", "_"} for part in i.path[base:].split("/") if part)]
    if not names:
        raise NotReadyError(f"there is no Parquet object at {place}: write its table first")
    for name in names:
        if any(char in name for char in _NO_NAMES):
            raise InputError(f"the object {_SCHEME}{name} has one of {' '.join(_NO_NAMES)} in its name: rename it")
    return [_SCHEME + name for name in sorted(names)]


def versions(place: str, *, endpoint: str | None = None) -> list[tuple[str, int, int]]:
    """Key, size in bytes and time of change in nanoseconds of the objects at a place: what a step's inputs are."""
    return sorted((info.path, info.size, info.mtime_ns) for info in _all(place, endpoint))


def show_to_duckdb(connection: duckdb.DuckDBPyConnection, *, endpoint: str | None = None) -> None:
    """From now on a DuckDB connection reads and writes `s3://`; it reads the parts of an object that it needs."""
    from fsspec.implementations.arrow import ArrowFSWrapper

    class Objects(ArrowFSWrapper):
        protocol = "s3"

    if "s3" in connection.list_filesystems():
        connection.unregister_filesystem("s3")
    connection.register_filesystem(Objects(_files(endpoint)))


def read_schema(place: str, *, endpoint: str | None = None) -> pa.Schema:
    """The schema of a Parquet object."""
    import pyarrow.parquet as pq

    with _failures(f"reading {place}"):
        return pq.read_schema(place.removeprefix(_SCHEME), filesystem=_files(endpoint))


def put(file: Path, place: str, *, endpoint: str | None = None) -> None:
    """Publishes a file as an object: whole when this returns, and until then what was there before.

    Raises:
        StoreError: the store does not take it; nothing has changed.
    """
    import pyarrow.fs as pafs

    with _failures(f"writing {place}"):
        pafs.copy_files(
            str(file), place.removeprefix(_SCHEME), source_filesystem=pafs.LocalFileSystem(),
            destination_filesystem=_files(endpoint), use_threads=False,
        )  # fmt: skip


@contextlib.contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Where to write what `target` is to hold: `target` itself, or a file here, which is put there behind the block."""
    place = place_of(target)
    if place is None:
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="llactr-objects-") as folder:
        made = Path(folder) / target.name
        yield made
        put(made, place)


@contextlib.contextmanager
def local_source(path: Path | None) -> Iterator[Path | None]:
    """A path of this machine: `path` itself, or a copy of the object, or of all below it, that is gone after the block.

    Raises:
        NotReadyError: there is no such object.
        StoreError: the store does not answer, or refuses.
    """
    place = place_of(path)
    if place is None or path is None:
        yield path
        return
    with local_folder(path.parent, only=path.name) as folder:
        yield None if folder is None else folder / path.name


@contextlib.contextmanager
def local_folder(path: Path | None, *, only: str | None = None) -> Iterator[Path | None]:
    """A folder of this machine: `path` itself, or one with copies of all objects below it, gone after the block.

    Args:
        path: a folder, or `s3://bucket/prefix` as pathlib has it; None stays None.
        only: the object, or the folder of objects, that is wanted.

    Raises:
        NotReadyError: there is no object.
        StoreError: the store does not answer, or refuses.
    """
    place = place_of(path)
    if place is None:
        yield path
        return
    import pyarrow.fs as pafs

    base = place.removeprefix(_SCHEME)
    wanted = _all(place if only is None else f"{place}/{only}", None)
    if not wanted:
        raise NotReadyError(f"there is nothing at {place}{'' if only is None else '/' + only}: look at the name")
    with tempfile.TemporaryDirectory(prefix="llactr-objects-") as folder:
        with _failures(f"reading {place}"):
            for info in wanted:
                target = Path(folder) / info.path[len(base) :].lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                pafs.copy_files(
                    info.path, str(target), source_filesystem=_files(None),
                    destination_filesystem=pafs.LocalFileSystem(), use_threads=False,
                )  # fmt: skip
        yield Path(folder)


def _all(place: str, endpoint: str | None) -> list[Any]:
    """The object at a place, or all objects below it."""
    import pyarrow.fs as pafs

    key = place.removeprefix(_SCHEME)
    files = _files(endpoint)
    with _failures(f"reading {place}"):
        one = files.get_file_info(key)
        if one.type == pafs.FileType.File:
            return [one]
        below = files.get_file_info(pafs.FileSelector(key, recursive=True, allow_not_found=True))
    return [info for info in below if info.type == pafs.FileType.File]


def _files(endpoint: str | None) -> Any:
    """pyarrow's client of the store that the environment names."""
    import pyarrow.fs as pafs

    address = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, Any] = {"region": region} if region else {}
    if address:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise InputError(f"AWS_ENDPOINT_URL is {address!r}: give an address such as https://store.example:9000")
        options |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    return pafs.S3FileSystem(connect_timeout=5, request_timeout=60, **options)


@contextlib.contextmanager
def _failures(doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = " ".join(str(error).split())[:300]
        raise StoreError(
            f"the object store failed while {doing} ({reason}): see AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_REGION"
        ) from None
