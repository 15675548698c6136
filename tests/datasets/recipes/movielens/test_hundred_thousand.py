from __future__ import annotations

import hashlib
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.datasets import RECIPES, fetch
from llactr.datasets.recipes.movielens import MovieLens100K, hundred_thousand
from llactr.errors import DataError, SpecError, StepError
from llactr.spec import load_spec
from tests.ports import free_port

EXAMPLE = Path(__file__).parents[4] / "llactr" / "specs" / "movielens-100k.yaml"


@pytest.fixture
def small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hundred_thousand, "_SIZES", {"ratings": 4, "users": 3, "items": 4})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tables(folder: Path) -> dict[str, pa.Table]:
    return {name: pq.ParquetFile(folder / f"{name}.parquet").read() for name in ("ratings", "users", "items")}


ROWS = {
    "ratings": {
        "user_id": [196, 186, 22, 196],
        "item_id": [242, 302, 377, 267],
        "rating": [3, 5, 1, 4],
        "timestamp": [881250949, 891717742, 878887116, 881250949],
    },
    "users": {
        "user_id": [22, 186, 196],
        "age": [25, 39, 49],
        "gender": ["M", "F", "M"],
        "occupation": ["writer", "executive", "writer"],
        "zip_code": ["40206", "00000", "T8H1N"],
    },
    "items": {
        "item_id": [242, 267, 302, 377],
        "movie_title": [
            "Kolya",
            "unknown",
            "Contempt (Mépris, Le)",
            "Land Before Time III: The Time of the Great Giving",
        ],
        "release_year": [1996, None, 1963, 1995],
        "genres": ["Comedy", "unknown", "Drama", "Animation Children's"],
    },
}


def _rows(folder: Path) -> dict[str, dict[str, list[object]]]:
    return {name: table.to_pydict() for name, table in _tables(folder).items()}


def _no_site(**changes: object) -> MovieLens100K:
    return MovieLens100K(site=f"http://127.0.0.1:{free_port()}", **changes)  # type: ignore[arg-type]


def test_a_given_folder_of_grouplens_files(grouplens: Path, tmp_path: Path) -> None:
    assert _rows(fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache")) == ROWS


def test_a_given_folder_with_the_unpacked_zip_inside(grouplens: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    grouplens.rename(outer / "ml-100k")
    assert _rows(fetch("movielens-100k", folder=outer, cache=tmp_path / "cache")) == ROWS


def test_a_given_folder_with_the_zip(grouplens_zip: Path, tmp_path: Path) -> None:
    assert _rows(fetch("movielens-100k", folder=grouplens_zip.parent, cache=tmp_path / "cache")) == ROWS


def test_a_given_folder_of_recbole_files(recbole: Path, tmp_path: Path) -> None:
    assert _rows(fetch("movielens-100k", folder=recbole, cache=tmp_path / "cache")) == ROWS


@pytest.mark.usefixtures("small_counts")
def test_the_official_site(grouplens_zip: Path, tmp_path: Path, serve: Callable[[Path], str]) -> None:
    recipe = MovieLens100K(site=serve(grouplens_zip.parent), zip_sha256=_sha256(grouplens_zip))
    folder = recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert _rows(folder) == ROWS
    assert "ml-100k.zip" in (folder / "origin.json").read_text()
    assert "GroupLens" in (folder / "origin.json").read_text()


@pytest.mark.usefixtures("small_counts", "wheel_index")
def test_the_wheel_when_the_site_cannot_be_reached(recbole_wheel: Path, tmp_path: Path) -> None:
    recipe = _no_site(wheel=("recbole", "1.2.1", _sha256(recbole_wheel)))
    folder = recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert _rows(folder) == ROWS
    assert '"origin": "recbole 1.2.1"' in (folder / "origin.json").read_text()


@pytest.mark.usefixtures("small_counts", "wheel_index")
def test_the_wheel_when_the_site_serves_something_else(
    grouplens_zip: Path, recbole_wheel: Path, tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    grouplens_zip.write_bytes(b"<html>please log in</html>")
    recipe = MovieLens100K(site=serve(grouplens_zip.parent), wheel=("recbole", "1.2.1", _sha256(recbole_wheel)))
    folder = recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert _rows(folder) == ROWS
    assert "recbole" in (folder / "origin.json").read_text()


@pytest.mark.usefixtures("small_counts")
def test_what_was_fetched_is_not_fetched_again(
    grouplens_zip: Path, tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    recipe = MovieLens100K(site=serve(grouplens_zip.parent), zip_sha256=_sha256(grouplens_zip))
    first = recipe.fetch(folder=None, cache=tmp_path / "cache")
    written = (first / "ratings.parquet").stat().st_mtime_ns
    grouplens_zip.unlink()
    assert recipe.fetch(folder=None, cache=tmp_path / "cache") == first
    assert (first / "ratings.parquet").stat().st_mtime_ns == written
    left = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert left == ["movielens-100k"], "the zip is not kept"


def test_a_damaged_copy_in_the_cache_is_made_again(grouplens: Path, tmp_path: Path) -> None:
    folder = fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache")
    (folder / "items.parquet").write_bytes(b"PAR1")
    assert fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache") == folder
    assert _rows(folder) == ROWS


def test_changed_files_give_another_copy(grouplens: Path, tmp_path: Path) -> None:
    first = fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache")
    with (grouplens / "u.data").open("ab") as file:
        file.write(b"22\t242\t5\t878887200\n")
    second = fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache")
    assert first != second
    assert _tables(second)["ratings"].num_rows == 5
    assert _rows(first) == ROWS


@pytest.mark.usefixtures("wheel_index")
def test_when_all_fails_it_says_what_was_tried(recbole_wheel: Path, tmp_path: Path) -> None:
    recbole_wheel.unlink()
    with pytest.raises(StepError, match=r"MovieLens-100K cannot be fetched. Tried") as caught:
        _no_site().fetch(folder=None, cache=tmp_path / "cache")
    message = str(caught.value)
    assert "(1) http://127.0.0.1" in message
    assert "ml-100k.zip cannot be reached" in message
    assert "(2) recbole==1.2.1 cannot be downloaded" in message
    assert "Download ml-100k.zip by hand and give its folder" in message


def test_a_silent_site_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        recipe = MovieLens100K(site=f"http://127.0.0.1:{silent.getsockname()[1]}", connect_s=0.3)
        with pytest.raises(StepError, match=r"ml-100k.zip did not answer within 0.3 s"):
            recipe._from_site(tmp_path)
    assert MovieLens100K().connect_s < 3


def test_the_wrong_number_of_rows_is_not_movielens(
    grouplens_zip: Path, tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    recipe = MovieLens100K(site=serve(grouplens_zip.parent), zip_sha256=_sha256(grouplens_zip))
    with pytest.raises(StepError, match="has 4 ratings, expected 100000: not MovieLens-100K"):
        recipe.fetch(folder=None, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("u.data", b"1\t2\t3\n", r"u.data line 1 has 3 columns, expected 4"),
        ("u.data", b"1\t2\tx\t4\n", r"'x' stands where MovieLens-100K has a whole number"),
        ("u.data", b"\n", r"the ratings of MovieLens-100K are empty"),
        ("u.item", b"1|Toy Story (1995)|01-Jan-1995\n", r"u.item line 1 has 3 columns, expected 24"),
        ("u.user", b"1|24|M|technician\n", r"u.user line 1 has 4 columns, expected 5"),
    ],
)
def test_damaged_files(grouplens: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (grouplens / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        fetch("movielens-100k", folder=grouplens, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_damaged_zip(grouplens_zip: Path, tmp_path: Path) -> None:
    grouplens_zip.write_bytes(grouplens_zip.read_bytes()[:100])
    with pytest.raises(DataError, match=r"ml-100k.zip is damaged"):
        fetch("movielens-100k", folder=grouplens_zip.parent, cache=tmp_path / "cache")


def test_another_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DataError, match=r"ml-100k.zip has no file u.data"):
        fetch("movielens-100k", folder=tmp_path, cache=tmp_path / "cache")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither u.data, u.user, u.item nor ml-100k.zip nor ml-100k.inter"):
        fetch("movielens-100k", folder=tmp_path, cache=tmp_path / "cache")


def test_unknown_recipes_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"there is no recipe 'movielens-2': known are .*movielens-100k"):
        fetch("movielens-2", cache=tmp_path)


def test_the_example_fits_the_recipe(grouplens: Path, tmp_path: Path) -> None:
    spec = load_spec(EXAMPLE)
    assert spec.recipe in RECIPES
    assert "GroupLens" in RECIPES[spec.recipe].credit
    tables = _tables(fetch(spec.recipe, folder=grouplens, cache=tmp_path / "cache"))
    for field in spec.fields:
        if field.owner != "context":
            assert field.column in tables["users" if field.owner == "user" else "items"].column_names
    assert {spec.timestamp.column, spec.label.column} <= set(tables["ratings"].column_names)
