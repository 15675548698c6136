"""Results as compressed Parquet: a line for every number and text of the JSON that a study or a benchmark wrote.

    python -m research.results keep FOUND.json research/results/NAME.parquet
    python -m research.results show research/results/NAME.parquet              # the JSON again

Columns: `path`, a JSON pointer (RFC 6901) such as `/comparisons/0/arms/1/runs/2/metrics/all/auc`; `number`, a float;
`whole`, an integer; `other`, anything else as JSON (texts, true, false, null, and what is empty). One of the last three
is not null. A result with more than `LINES` lines is a folder of such files, in order. Nothing is rounded: what was
kept is compared with what is read back before it stays. DuckDB reads them as they are:

    SELECT path, number FROM 'research/results/movielens-items-fm.parquet' WHERE path LIKE '%/all/auc'
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["LINES", "RESULTS", "keep", "load"]

RESULTS = Path(__file__).with_name("results")
LINES = 7_500  # about 45 kB, where they are runs of figures

_SCHEMA = pa.schema(
    [("path", pa.string()), ("number", pa.float64()), ("whole", pa.int64()), ("other", pa.string())]
)


def keep(content: Any, path: Path) -> None:
    """Writes a JSON document.

    Raises:
        ValueError: it would not be read back as it is (NaN, or an object whose keys are "0", "1", "2", ...).
    """
    rows = [_row(pointer, value) for pointer, value in _leaves(content, "")]
    parts = [rows[start : start + LINES] for start in range(0, len(rows), LINES)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "draft"
        _write(parts, draft)
        if load(draft) != content:
            raise ValueError(
                f"{path} would not hold what was given: numbers have to be finite, and names no numbers from 0 on"
            )
        if path.exists():  # a folder of parts cannot be renamed over
            path.rename(Path(folder) / "before")
        draft.rename(path)


def _write(parts: list[list[dict[str, Any]]], path: Path) -> None:
    files = [path]
    if len(parts) > 1:
        path.mkdir()
        files = [path / f"{number}.parquet" for number in range(len(parts))]
    for part, file in zip(parts, files, strict=True):
        pq.write_table(
            pa.Table.from_pylist(part, _SCHEMA), file, compression="zstd", compression_level=19,
            use_dictionary=["other"], store_schema=False,
            column_encoding={"path": "DELTA_BYTE_ARRAY", "number": "BYTE_STREAM_SPLIT", "whole": "DELTA_BINARY_PACKED"},
        )  # fmt: skip


def load(path: Path) -> Any:
    """A document as it was: from Parquet, or from JSON."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    files = sorted(path.iterdir(), key=lambda file: int(file.stem)) if path.is_dir() else [path]
    root: dict[str, Any] = {}
    for file in files:
        columns = pq.read_table(file, schema=_SCHEMA).to_pydict()
        for pointer, number, whole, other in zip(*columns.values(), strict=True):
            *above, last = ("", *(_plain(step) for step in pointer.split("/")[1:]))
            place = root
            for step in above:
                place = place.setdefault(step, {})
            place[last] = json.loads(other) if other is not None else number if whole is None else whole
    return _lists(root)[""]


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    if value and isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif value and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{pointer}/{number}")
    else:
        yield pointer, value


def _plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _row(pointer: str, value: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"path": pointer, "number": None, "whole": None, "other": None}
    if isinstance(value, float):
        row["number"] = value
    elif isinstance(value, int) and not isinstance(value, bool):
        row["whole"] = value
    else:
        row["other"] = json.dumps(value, ensure_ascii=False)
    return row


def _lists(value: Any) -> Any:
    """Objects whose names are 0, 1, 2, ... are lists."""
    if not isinstance(value, dict) or not value:
        return value
    inner = {name: _lists(one) for name, one in value.items()}
    return list(inner.values()) if list(inner) == [str(number) for number in range(len(inner))] else inner


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    kept = commands.add_parser("keep", help="JSON to Parquet")
    kept.add_argument("source", type=Path)
    kept.add_argument("target", type=Path)
    shown = commands.add_parser("show", help="Parquet to JSON")
    shown.add_argument("source", type=Path)
    given = parser.parse_args()
    content = load(given.source)
    if given.command == "show":
        print(json.dumps(content, indent=1))
    else:
        keep(content, given.target)


if __name__ == "__main__":
    main()
