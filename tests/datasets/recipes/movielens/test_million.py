from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import RECIPES, fetch, write_offline_tables
from llactr.datasets.recipes.movielens import MovieLens1M
from llactr.errors import DataError, StepError
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.ports import free_port

EXAMPLE = Path(__file__).parents[4] / "llactr" / "specs" / "movielens-1m.yaml"

# Two users, three films, in the published format: `::`, latin-1, codes instead of words, long zip codes.
FILES = {
    "ratings.dat": b"1::1193::5::978300760\n2::661::3::978302109\n2::1193::2::978302109\n1::3943::4::978301968\n",
    "users.dat": b"1::F::1::10::48067\n2::M::56::16::98107-2117\n",
    "movies.dat": (
        "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
        "1193::Misérables, Les (1995)::Drama|Musical\n"
        "3943::Bamboozled (2000)::Comedy\n"
    ).encode("latin-1"),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def zipped(tmp_path: Path) -> Path:
    path = tmp_path / "site" / "ml-1m.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(f"ml-1m/{name}", content)
    return path


def _table(folder: Path, name: str) -> pa.Table:
    return pq.ParquetFile(folder / f"{name}.parquet").read()


ROWS = {
    "ratings": {
        "user_id": [1, 2, 2, 1],
        "item_id": [1193, 661, 1193, 3943],
        "rating": [5, 3, 2, 4],
        "timestamp": [978300760, 978302109, 978302109, 978301968],
    },
    "users": [
        {"user_id": 1, "age": "under 18", "gender": "F", "occupation": "school student", "zip_code": "48067"},
        {"user_id": 2, "age": "56 or older", "gender": "M", "occupation": "self-employed", "zip_code": "98107-2117"},
    ],
    "items": [
        {
            "item_id": 661,
            "movie_title": "James and the Giant Peach",
            "release_year": 1996,
            "genres": "Animation Children's Musical",
        },
        {"item_id": 1193, "movie_title": "Misérables, Les", "release_year": 1995, "genres": "Drama Musical"},
        {"item_id": 3943, "movie_title": "Bamboozled", "release_year": 2000, "genres": "Comedy"},
    ],
}


def _rows(folder: Path) -> dict[str, object]:
    return {
        "ratings": _table(folder, "ratings").to_pydict(),
        **{name: _table(folder, name).to_pylist() for name in ("users", "items")},
    }


def test_a_given_folder(files: Path, tmp_path: Path) -> None:
    assert _rows(fetch("movielens-1m", folder=files, cache=tmp_path / "cache")) == ROWS


def test_a_given_folder_with_the_unpacked_zip_inside(files: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    files.rename(tmp_path / "outer" / "ml-1m")
    assert _rows(fetch("movielens-1m", folder=tmp_path / "outer", cache=tmp_path / "cache")) == ROWS


def test_a_given_folder_with_the_zip(zipped: Path, tmp_path: Path) -> None:
    assert _rows(fetch("movielens-1m", folder=zipped.parent, cache=tmp_path / "cache")) == ROWS


def test_the_official_site_is_asked_once(zipped: Path, tmp_path: Path, serve: Callable[[Path], str]) -> None:
    digest = hashlib.sha256(zipped.read_bytes()).hexdigest()
    recipe = MovieLens1M(site=serve(zipped.parent), zip_sha256=digest, sizes=(4, 2, 3))
    folder = recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert _rows(folder) == ROWS
    assert "GroupLens" in (folder / "origin.json").read_text()
    zipped.unlink()
    assert recipe.fetch(folder=None, cache=tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["movielens-1m"], "the zip is not kept"


def test_another_number_of_rows_is_not_movielens_1m(zipped: Path, tmp_path: Path, serve: Callable[[Path], str]) -> None:
    recipe = MovieLens1M(site=serve(zipped.parent), zip_sha256=hashlib.sha256(zipped.read_bytes()).hexdigest())
    with pytest.raises(StepError, match="has 4 ratings, expected 1000209: not MovieLens-1M"):
        recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_site_that_cannot_be_reached_says_what_to_do(tmp_path: Path) -> None:
    recipe = MovieLens1M(site=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StepError, match=r"MovieLens-1M cannot be fetched: .* Download ml-1m.zip by hand"):
        recipe.fetch(folder=None, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "ratings.dat",
            b"1::2::3\n",
            r"ratings.dat line 1 has 3 columns, expected 4: this is not MovieLens-1M's format",
        ),
        ("ratings.dat", b"1::2::x::4\n", r"'x' stands where MovieLens-1M has a whole number"),
        ("ratings.dat", b"\n", r"the ratings of MovieLens-1M are empty"),
        ("users.dat", b"1::F::7::10::48067\n", r"users.dat has the age code '7', expected one of 1, 18, 25"),
        ("users.dat", b"1::F::1::21::48067\n", r"users.dat has the occupation code '21', expected one of 0, 1"),
        ("movies.dat", b"1::Toy Story (1995)\n", r"movies.dat line 1 has 2 columns, expected 3"),
    ],
)
def test_damaged_movielens_1m_files(files: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (files / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        fetch("movielens-1m", folder=files, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_folder_without_movielens_1m(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither ratings.dat, users.dat, movies.dat nor ml-1m.zip"):
        fetch("movielens-1m", folder=tmp_path, cache=tmp_path / "cache")


def test_ingest_labels_and_drops_as_in_the_paper(files: Path, tmp_path: Path) -> None:
    spec = load_spec(EXAMPLE)
    assert spec.recipe in RECIPES
    workspace = Workspace.at(tmp_path / "workspace")
    summary = write_offline_tables(spec, workspace, fetch(spec.recipe, folder=files, cache=tmp_path / "cache"))
    assert (summary.rows, summary.dropped) == (3, 1), "the rating of 3 is left out"
    events = pq.read_table(workspace.offline_table(spec.name, "events")).to_pylist()
    assert [(row["user_id"], row["item_id"], row["label"]) for row in events] == [
        ("1", "1193", 1.0),
        ("1", "3943", 1.0),
        ("2", "1193", 0.0),
    ]
    assert (spec.split.train, spec.split.validation) == (0.8, 0.1)
