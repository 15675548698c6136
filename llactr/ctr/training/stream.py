"""Training rows on disk: more than memory holds, read in shuffled row groups through a shuffle window.

A folder of Parquet files with the columns `ids` (a fixed-size list of C int32), `label` (float32) and `version`
(int32). An epoch takes the row groups in an order drawn by (seed, epoch), gathers some of them into a window, shuffles
the window's rows, and cuts the sequence of all windows into batches. A thread reads one window ahead.

Memory: about three windows of (4 C + 8) bytes a row, whatever the number of rows: 1 GB for ten million rows of 20 slots
in three windows. The larger the window against the row groups, the better the shuffle; rows that lie together on disk
should not be alike (events in the order of time are fine).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from llactr.atomic import writing_file
from llactr.columns import LABEL, SEMANTICS_VERSION
from llactr.ctr.training.batches import Batch, HeldOut
from llactr.ctr.training.prefetch import prefetched
from llactr.errors import DataError
from llactr.manifest import content_hash, file_hash

if TYPE_CHECKING:
    from llactr.transforms import Transform

__all__ = ["StreamedRows", "encode_rows", "read_rows", "write_rows"]

_PART = re.compile(r"part-(\d+)\.parquet")
_COLUMNS = ["ids", LABEL, "version"]


@dataclass(frozen=True)
class _RowGroup:
    file: Path
    index: int
    rows: int


class StreamedRows:
    """The rows of a folder, as the trainer reads them; see the module's text.

    Args:
        folder: Parquet files as `write_rows` makes them.
        held_out: validation rows, in memory.
        window_rows: how many rows are shuffled together, at least.

    Raises:
        DataError: the folder has no rows, or a file is not such a file.
    """

    def __init__(self, folder: Path, held_out: HeldOut, *, window_rows: int = 500_000) -> None:
        self.held_out = held_out
        self.window_rows = window_rows
        self._groups = _row_groups(folder)

    @property
    def row_count(self) -> int:
        """Rows of an epoch."""
        return sum(group.rows for group in self._groups)

    @cached_property
    def width(self) -> int:
        """Numbers of a row."""
        return int(pq.read_schema(self._groups[0].file).field("ids").type.list_size)

    @property
    def label(self) -> NDArray[np.float32]:
        """Labels of the validation rows: those on disk are read batch by batch."""
        return self.held_out.label

    @cached_property
    def fingerprint(self) -> str:
        """Content hash of the files and the validation rows; reads the files once."""
        files = list(dict.fromkeys(group.file for group in self._groups))
        return content_hash([self.held_out.fingerprint(), [[file.name, file_hash(file)] for file in files]])

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        """See `TrainingRows.batches`. Windows before the one that `start` lies in are not read."""
        position = start * batch_size  # of the first row that is wanted
        left: HeldOut | None = None
        for first_row, rows in prefetched(self._windows(seed=seed, epoch=epoch, position=position), depth=1):
            at = max(position - first_row, 0)
            if left is not None:
                missing = batch_size - len(left.label)
                left = _joined(left, rows, missing)
                at = missing
                if len(left.label) < batch_size:
                    continue
                yield _batch(left, slice(None))
                left = None
            while at + batch_size <= len(rows.label):
                yield _batch(rows, slice(at, at + batch_size))
                at += batch_size
            if at < len(rows.label):
                left = HeldOut(rows.ids[at:].copy(), rows.label[at:].copy(), rows.version[at:].copy())
        if left is not None:
            yield _batch(left, slice(None))

    def _windows(self, *, seed: int, epoch: int, position: int) -> Iterator[tuple[int, HeldOut]]:
        """Shuffled windows from the one that holds row `position` of the epoch; with the number of their first row."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self._groups))
        windows: list[list[_RowGroup]] = [[]]
        for index in order:
            if sum(group.rows for group in windows[-1]) >= self.window_rows:
                windows.append([])
            windows[-1].append(self._groups[index])
        first_row = 0
        for number, groups in enumerate(windows):
            rows = sum(group.rows for group in groups)
            if first_row + rows > position:
                shuffle = np.random.default_rng([seed, epoch, number]).permutation(rows)
                yield first_row, _read(groups, shuffle)
            first_row += rows


def write_rows(folder: Path, parts: Iterable[HeldOut], *, row_group_rows: int = 50_000) -> None:
    """Writes rows as `StreamedRows` reads them, one file a part; what the folder held stays."""
    present = [int(found[1]) for file in folder.glob("part-*.parquet") if (found := _PART.fullmatch(file.name))]
    for number, part in enumerate(parts, start=max(present, default=-1) + 1):
        slots = part.ids.shape[1]
        table = pa.table(
            {
                "ids": pa.FixedSizeListArray.from_arrays(pa.array(part.ids.reshape(-1)), slots),
                LABEL: pa.array(part.label),
                "version": pa.array(part.version),
            }
        )
        with writing_file(folder / f"part-{number:05d}.parquet") as draft:
            pq.write_table(table, draft, row_group_size=row_group_rows, compression="zstd", use_dictionary=False)


def encode_rows(tables: Iterable[pa.Table], transform: Transform, versions: Sequence[str]) -> Iterator[HeldOut]:
    """Raw tables, one after another, as rows of ids for `write_rows`: what is in memory is one table.

    Args:
        tables: raw tables with `label`, and `semantics_version` where `versions` are given.
        transform: fitted before.
        versions: the semantics versions that the model will hold, in its order; empty for a plain model.

    Raises:
        DataError: a row has a version that is not among them.
    """
    for table in tables:
        codes = np.zeros(table.num_rows, np.int32)
        if versions:
            column = table[SEMANTICS_VERSION].cast(pa.string())
            found = pc.index_in(column, value_set=pa.array(versions, pa.string()))
            if found.null_count:
                other = column.filter(found.is_null())[0].as_py()
                raise DataError(f"a row has the semantics version {other!r}, expected one of {list(versions)}")
            codes = found.combine_chunks().to_numpy().astype(np.int32)
        yield HeldOut(transform.ids(table), table[LABEL].to_numpy().astype(np.float32), codes)


def read_rows(folder: Path) -> HeldOut:
    """All rows of a folder in memory, in the order of its files.

    Raises:
        DataError: as for `StreamedRows`.
    """
    return _read(_row_groups(folder), None)


def _row_groups(folder: Path) -> list[_RowGroup]:
    groups = []
    for file in sorted(folder.glob("*.parquet")):
        try:
            described = pq.ParquetFile(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{file} cannot be read as Parquet ({error}): write it again") from None
        with described:
            missing = sorted(set(_COLUMNS) - set(described.schema_arrow.names))
            if missing:
                raise DataError(f"{file} lacks the column {missing[0]!r}: training rows are written by 'write_rows'")
            for index in range(described.metadata.num_row_groups):
                groups.append(_RowGroup(file, index, described.metadata.row_group(index).num_rows))
    if not groups:
        raise DataError(f"{folder} holds no training rows: expected Parquet files written by 'write_rows'")
    return groups


def _read(groups: list[_RowGroup], order: NDArray[np.int64] | None) -> HeldOut:
    """The rows of some row groups, in the given order; the pieces are scattered to their places one by one."""
    total = sum(group.rows for group in groups)
    columns: HeldOut | None = None
    at = 0
    if order is None:
        place = np.arange(total)
    else:
        place = np.empty(total, np.int64)
        place[order] = np.arange(total)
    for group in groups:
        with pq.ParquetFile(group.file) as file:
            table = file.read_row_group(group.index, columns=_COLUMNS, use_threads=False).combine_chunks()
        ids = table["ids"].chunk(0)
        if columns is None:
            columns = HeldOut(
                np.empty((total, ids.type.list_size), np.int32), np.empty(total, np.float32), np.empty(total, np.int32)
            )
        target = place[at : at + group.rows]
        columns.ids[target] = ids.flatten().to_numpy().reshape(group.rows, -1)
        columns.label[target] = table[LABEL].to_numpy()
        columns.version[target] = table["version"].to_numpy()
        at += group.rows
    assert columns is not None
    return columns


def _joined(first: HeldOut, second: HeldOut, count: int) -> HeldOut:
    """The first rows, and `count` of the second."""
    return HeldOut(
        np.concatenate([first.ids, second.ids[:count]]),
        np.concatenate([first.label, second.label[:count]]),
        np.concatenate([first.version, second.version[:count]]),
    )


def _batch(rows: HeldOut, which: slice) -> Batch:
    return Batch(*(torch.from_numpy(column[which]) for column in rows))
