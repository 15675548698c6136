"""Objects: which paths mean one, what is listed, what is published whole, and what is said when the store is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr import objects
from llactr.errors import InputError, NotReadyError, StoreError
from llactr.sql import object_scan
from llactr.workspace import Workspace
from tests.object_store import object_store


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with object_store("data") as address:
        yield address


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("s3://data/a/b.parquet", "s3://data/a/b.parquet"),
        (Path("s3://data/a/b.parquet"), "s3://data/a/b.parquet"),
        ("s3://data/", "s3://data"),
        ("/s3/data", None),
        (Path("here") / "s3:" / "x", None),
        (None, None),
    ],
)
def test_a_path_means_an_object(path: str | Path | None, place: str | None) -> None:
    assert objects.place_of(path) == place


def test_a_workspace_on_an_object_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"the workspace is s3://data/ws: .* give a path of this machine"):
        Workspace.at("s3://data/ws")
    monkeypatch.setenv("LLACTR_WORKSPACE", "s3://data/ws")
    with pytest.raises(InputError, match="the workspace is s3://data/ws"):
        Workspace.at()


def test_what_is_put_is_listed_fetched_and_read_by_duckdb(store: str, tmp_path: Path) -> None:
    rows = pa.table({"n": pa.array(range(30_000)), "text": [f"t{n}" for n in range(30_000)]})
    file = tmp_path / "rows.parquet"
    pq.write_table(rows, file, row_group_size=5_000)
    for name in ("b/2", "b/1", "b/_draft", ".b/3", "other"):
        objects.put(file, f"s3://data/one/{name}.parquet")
    (tmp_path / "notes.txt").write_text("no table")
    objects.put(tmp_path / "notes.txt", "s3://data/one/b/notes.txt")
    places = ["s3://data/one/b/1.parquet", "s3://data/one/b/2.parquet"]
    assert objects.listed("s3://data/one/b") == places
    assert objects.listed(places[1]) == places[1:]
    assert [(key, size) for key, size, _ in objects.versions(places[0])] == [
        ("data/one/b/1.parquet", file.stat().st_size)
    ]
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        objects.show_to_duckdb(connection)
        objects.show_to_duckdb(connection)
        query = f"SELECT file_index, file_row_number, text FROM {object_scan(places)} WHERE n = 17_000 ORDER BY ALL"
        assert connection.execute(query).fetchall() == [(0, 17_000, "t17000"), (1, 17_000, "t17000")]
    with objects.local_folder(Path("s3://data/one/b")) as folder:
        assert folder is not None
        assert sorted(path.name for path in folder.iterdir()) == [
            "1.parquet",
            "2.parquet",
            "_draft.parquet",
            "notes.txt",
        ]
        assert pq.read_table(folder / "1.parquet").equals(rows)
    assert not folder.exists()
    with objects.local_source(Path("s3://data/one/other.parquet")) as copy:
        assert copy is not None
        assert copy.read_bytes() == file.read_bytes()
    with objects.local_source(file) as same, objects.local_folder(None) as none:
        assert (same, none) == (file, None)


def test_what_fails_half_way_publishes_nothing(store: str, tmp_path: Path) -> None:
    target = Path("s3://data/two/scores.parquet")

    def write(text: str, *, fails: bool = False) -> None:
        with objects.publishing(target) as draft:
            draft.write_text(text)
            if fails:
                raise KeyboardInterrupt

    def held() -> str:
        with objects.local_source(target) as copy:
            assert copy is not None
            return copy.read_text()

    with pytest.raises(KeyboardInterrupt):
        write("half", fails=True)
    with pytest.raises(NotReadyError, match=r"nothing at s3://data/two/scores\.parquet"):
        held()
    write("first")
    with pytest.raises(KeyboardInterrupt):
        write("half", fails=True)
    assert held() == "first"
    write("second")
    assert held() == "second"


def test_what_is_not_there_or_cannot_be_named_is_said(store: str, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="no Parquet object at s3://data/none: write its table first"):
        objects.listed("s3://data/none")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    objects.put(tmp_path / "x.parquet", "s3://data/three/a[1].parquet")
    with pytest.raises(InputError, match=r"a\[1\]\.parquet has one of .* in its name: rename it"):
        objects.listed("s3://data/three")
    with pytest.raises(StoreError, match=r"failed while writing s3://nowhere/x \(.*see AWS_ENDPOINT_URL"):
        objects.put(tmp_path / "x.parquet", "s3://nowhere/x")


def test_an_address_that_is_none_is_refused(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "ftp://here")
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL is 'ftp://here': give an address such as https://"):
        objects.listed("s3://data/one")
