from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.errors import BundleError
from llactr.manifest import file_hash
from llactr.spec import DatasetSpec
from llactr.transforms import Transform

NASTY = "../a b'\";DROP TABLE x--ünï"


@pytest.fixture
def saved(spec_of: Callable[..., DatasetSpec], tmp_path: Path) -> Path:
    spec = spec_of({"name": NASTY, "kind": "categorical"}, {"name": "n", "kind": "numeric", "bucket_count": 3})
    table = pa.table({NASTY: ["a", "b", "b"], "n": [1.0, 2.0, 3.0]})
    Transform.fit(spec, table).save(tmp_path / "x=1")
    return tmp_path / "x=1"


def test_files_have_safe_names_and_plain_contents(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "transform.json", "vocabulary-000.parquet", "vocabulary-001.parquet",
    ]  # fmt: skip
    rows = pq.ParquetFile(saved / "vocabulary-000.parquet").read().to_pylist()
    assert rows == [
        {"id": 0, "value": "<pad>", "count": 0},
        {"id": 1, "value": "<oov>", "count": 0},
        {"id": 2, "value": "<null>", "count": 0},
        {"id": 3, "value": "b", "count": 2},
        {"id": 4, "value": "a", "count": 1},
    ]
    assert Transform.load(saved).values(NASTY) == ["b", "a"]


def test_a_changed_vocabulary_is_refused(saved: Path) -> None:
    path = saved / "vocabulary-000.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table.set_column(1, "value", pa.array(["<pad>", "<oov>", "<null>", "a", "b"])), path)
    with pytest.raises(BundleError, match=r"vocabulary-000.parquet is damaged: it is not the file that was saved"):
        Transform.load(saved)


def test_a_truncated_vocabulary_is_refused(saved: Path) -> None:
    path = saved / "vocabulary-001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BundleError, match=r"vocabulary-001.parquet is damaged"):
        Transform.load(saved)


def test_a_missing_vocabulary_is_refused(saved: Path) -> None:
    (saved / "vocabulary-001.parquet").unlink()
    with pytest.raises(BundleError, match=r"vocabulary-001.parquet is damaged: .*No such file"):
        Transform.load(saved)


def test_a_missing_description_is_refused(saved: Path) -> None:
    (saved / "transform.json").unlink()
    with pytest.raises(BundleError, match=r"no transform.json in .*: this is not a bundle"):
        Transform.load(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 1, "fields": [], "sha256": ""}', "\udcff"])
def test_a_description_of_something_else_is_refused(saved: Path, text: str) -> None:
    (saved / "transform.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=r"transform.json is damaged"):
        Transform.load(saved)


def test_an_edited_description_is_refused(saved: Path) -> None:
    path = saved / "transform.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"bucket_count": 3', '"bucket_count": 4'), encoding="utf-8"
    )
    with pytest.raises(BundleError, match="does not match its own digest"):
        Transform.load(saved)


def test_a_newer_format_says_so(saved: Path) -> None:
    path = saved / "transform.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "format": 2}), encoding="utf-8")
    with pytest.raises(BundleError, match="has format 2, this version reads 1"):
        Transform.load(saved)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("value", ["<pad>", "<oov>", "<null>", "b", "b"], "lists a value twice"),
        ("other", ["x"] * 5, "does not hold the values of its kind"),
    ],
)
def test_a_forged_digest_does_not_hide_nonsense(saved: Path, column: str, values: list[str], message: str) -> None:
    number = 0 if column == "value" else 1
    path = saved / f"vocabulary-{number:03d}.parquet"
    table = pq.ParquetFile(path).read()
    if number == 0:
        table = table.set_column(1, "value", pa.array(values))
    else:
        table = table.set_column(1, "value", pa.array(values[: len(table)]))
    pq.write_table(table, path)
    description = saved / "transform.json"
    content = json.loads(description.read_text(encoding="utf-8"))
    content["fields"][number]["sha256"] = file_hash(path)
    digest = hashlib.sha256(json.dumps(content["fields"], sort_keys=True, ensure_ascii=False).encode()).hexdigest()
    description.write_text(json.dumps({**content, "sha256": digest}), encoding="utf-8")
    with pytest.raises(BundleError, match=message):
        Transform.load(saved)
