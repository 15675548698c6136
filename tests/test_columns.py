"""Column names and types, each written once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import llactr
from llactr import columns


def test_types_are_those_that_tables_have() -> None:
    assert pa.timestamp("us", "UTC") == columns.TIMESTAMP
    assert pa.float32() == columns.LABEL_TYPE
    assert pa.list_(pa.float32()) == columns.VECTOR_TYPE
    assert pa.string() == columns.KEY
    with pytest.raises(AttributeError, match="no attribute 'KIND'"):
        columns.KIND  # noqa: B018


def test_names_alone_do_not_import_pyarrow() -> None:
    code = "import sys; from llactr.columns import EVENT_TIMESTAMP, RESERVED; print('pyarrow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_no_other_file_spells_the_timestamps() -> None:
    root = Path(llactr.__file__).parent
    spelled = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if path.name != "columns.py"
        and any(f'"{name}"' in path.read_text() for name in (columns.EVENT_TIMESTAMP, columns.CREATED_TIMESTAMP))
    ]
    assert spelled == []
