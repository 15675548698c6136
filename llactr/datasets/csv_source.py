"""CSV files as batches of rows: plain or compressed, and nothing read in silence that the file hardly means.

Cells are read as text and turned into the wanted types here, so that a cell that does not fit is named with its column.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from llactr.errors import DataError
from llactr.transforms.spelling import numbers_in_text

__all__ = ["cell_numbers", "csv_batches", "csv_names"]

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_OTHER = {
    b"PK\x03\x04": "a ZIP archive: unpack it",
    b"\xfd7zXZ": "compressed by xz: unpack it, or compress it by gzip",
    b"\xff\xfe": "UTF-16: write it as UTF-8",
    b"\xfe\xff": "UTF-16: write it as UTF-8",
    b"PAR1": "a Parquet file: say so in 'format'",
}
_PIECE = 1 << 20


def csv_names(path: Path, place: str, *, separator: str = ",", quote: str | None = None) -> list[str]:
    """The column names in a file's first line.

    Raises:
        DataError: the file is empty, or of another format.
        pyarrow.ArrowException: it cannot be read as CSV.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{place} is empty: a CSV file begins with a line of column names")
    with _opened(path, place) as file, _reader(file, separator, quote, None) as reader:
        return list(reader.schema.names)


def csv_batches(
    path: Path,
    place: str,
    *,
    wanted: Mapping[str, pa.DataType],
    separator: str = ",",
    quote: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """A file's rows, at least one batch; a cell without text is null.

    Args:
        path: a CSV file, plain or compressed by gzip, zstd, bz2 or lz4, whatever it is called.
        place: what to call it in messages.
        wanted: columns and their types, text or float64.
        separator: between cells.
        quote: the character around cells that hold separators or line ends, "" for none. None: `"`, and the file is
            refused when a cell swallows what looks like whole lines.

    Raises:
        DataError: the file is of another format, a cell does not fit its column, or swallows lines.
        pyarrow.ArrowException: it cannot be read as CSV.
    """
    rows = 0
    with _opened(path, place) as file, _reader(file, separator, quote, list(wanted)) as reader:
        yield _typed(pa.RecordBatch.from_pylist([], schema=reader.schema), wanted, place)
        for batch in reader:
            rows += len(batch)
            yield _typed(batch, wanted, place)
    if quote is None and _line_count(path, place) - 1 > rows:
        _refuse_swallowed_lines(path, place, separator)


def cell_numbers(column: pa.ChunkedArray | pa.Array, name: str, place: str) -> pa.ChunkedArray | pa.Array:
    """The numbers that a column of cells spells, as float64.

    Raises:
        DataError: a cell spells none.
    """
    try:
        return numbers_in_text(column)
    except ValueError as error:
        raise DataError(
            f"{place} cannot be read as csv (column {name!r} holds {str(error)!r}, which is no number): write a number "
            "there, or say in the spec that the column holds text: a categorical field, a label that 'equals' a value"
        ) from None


def _reader(
    file: pa.NativeFile, separator: str, quote: str | None, columns: list[str] | None
) -> pa_csv.CSVStreamingReader:
    parse = pa_csv.ParseOptions(
        delimiter=separator,
        quote_char='"' if quote is None else quote or False,
        newlines_in_values=quote != "",
    )
    convert = pa_csv.ConvertOptions(
        include_columns=columns,
        column_types={name: pa.string() for name in columns or ()},
        null_values=[""],  # a country called NA and a person called Null are values
        strings_can_be_null=True,
    )
    return pa_csv.open_csv(file, parse_options=parse, convert_options=convert)


@contextlib.contextmanager
def _opened(path: Path, place: str) -> Iterator[pa.NativeFile]:
    """The file's text, unpacked where it is compressed; what it is says its first bytes, not its name."""
    with path.open("rb") as file:
        start = file.read(8)
    for magic, what in _OTHER.items():
        if start.startswith(magic):
            raise DataError(f"{place} is no CSV file but {what}")
    packed = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
    with pa.input_stream(str(path), compression=packed) as stream:
        yield stream


def _typed(batch: pa.RecordBatch, wanted: Mapping[str, pa.DataType], place: str) -> pa.RecordBatch:
    columns = [
        cell_numbers(column, name, place) if pa.types.is_floating(wanted[name]) else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _line_count(path: Path, place: str) -> int:
    """Lines that end, and a last one that does not."""
    lines, last = 0, b"\n"
    with _opened(path, place) as file:
        while piece := file.read(_PIECE):
            lines, last = lines + piece.count(b"\n"), piece[-1:]
    return lines + (last != b"\n")


def _refuse_swallowed_lines(path: Path, place: str, separator: str) -> None:
    """Raises DataError where a few cells hold line ends, and as many separators as the lines would have had.

    Reads the file once more; called only when it has more lines than rows.
    """
    names = csv_names(path, place, separator=separator)
    rows = cells = 0
    found: tuple[str, str, int] | None = None
    with _opened(path, place) as file, _reader(file, separator, None, list(dict.fromkeys(names))) as reader:
        for batch in reader:
            rows += len(batch)
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                several = column.filter(pc.fill_null(pc.match_substring(column, "\n"), False))
                cells += len(several)
                ends = pc.count_substring(several, "\n")
                inside = pc.count_substring(several, separator)
                like_rows = pc.equal(inside, pc.multiply(ends, len(names) - 1))
                swallowed = several.filter(pc.and_(like_rows, pc.greater(inside, 0)))
                if len(swallowed) and found is None:
                    text: str = swallowed[0].as_py()
                    found = (name, text, text.count("\n"))
    if found is not None and cells < rows / 2:
        name, text, ends = found
        raise DataError(
            f"{place}: a quote character before {text[:40].splitlines()[0]!r} in column {name!r} makes one cell of "
            f'{ends + 1} lines that look like rows: say quote: "" for this source in the spec if the file quotes '
            "nothing, or quote: '\"' if the cell is meant so"
        )
