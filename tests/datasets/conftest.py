from __future__ import annotations

import http.server
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

# Three users, four films, in the published formats: separators, latin-1, odd titles, a film without a date.
GROUPLENS = {
    "u.data": b"196\t242\t3\t881250949\n186\t302\t5\t891717742\n22\t377\t1\t878887116\n196\t267\t4\t881250949\n",
    "u.user": b"22|25|M|writer|40206\n186|39|F|executive|00000\n196|49|M|writer|T8H1N\n",
    "u.item": (
        "242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/M/title-exact?Kolya%20(1996)|"
        + "0|" * 5
        + "1"
        + "|0" * 13
        + "\n"
        "267|unknown||||1" + "|0" * 18 + "\n"
        "302|Contempt (Mépris, Le) (1963)|01-Jan-1963||http://x|" + "0|" * 8 + "1" + "|0" * 10 + "\n"
        "377|Land Before Time III: The Time of the Great Giving (1995) (V)|01-Jan-1995||u|0|0|0|1|1" + "|0" * 14 + "\n"
    ).encode("latin-1"),
}
# The same as recbole writes it.
RECBOLE = {
    "ml-100k.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + GROUPLENS["u.data"],
    "ml-100k.user": b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    + GROUPLENS["u.user"].replace(b"|", b"\t"),
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "242\tKolya\t1996\tComedy\n"
        "267\tunkonwn\tunkonwn\tunknown\n"
        "302\tContempt (Mépris, Le)\t1963\tDrama\n"
        "377\tLand Before Time III: The Time of the Great Giving (1995)\tV\tAnimation Children's\n"
    ).encode(),
}


@pytest.fixture
def grouplens(tmp_path: Path) -> Path:
    """A folder with GroupLens' files."""
    return _written(tmp_path / "grouplens", GROUPLENS)


@pytest.fixture
def recbole(tmp_path: Path) -> Path:
    """A folder with recbole's files."""
    return _written(tmp_path / "recbole", RECBOLE)


@pytest.fixture
def grouplens_zip(tmp_path: Path) -> Path:
    """ml-100k.zip, with its folder inside, in a folder of its own."""
    path = tmp_path / "site" / "ml-100k.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in GROUPLENS.items():
            archive.writestr(f"ml-100k/{name}", content)
    return path


@pytest.fixture
def recbole_wheel(tmp_path: Path) -> Path:
    """A wheel that carries recbole's files."""
    path = tmp_path / "wheels" / "recbole-1.2.1-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in RECBOLE.items():
            archive.writestr(f"recbole/dataset_example/ml-100k/{name}", content)
        info = "recbole-1.2.1.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    return path


@pytest.fixture
def wheel_index(recbole_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip finds wheels in this folder, and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(recbole_wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return recbole_wheel.parent


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves folders over HTTP on the loopback; gives their addresses."""
    servers = []

    def start(folder: Path) -> str:
        handler = partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "workspace")


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """A data folder: a log of six events, not in order of time, two of them at one time; users and items."""
    folder = tmp_path / "data"
    folder.mkdir()
    log = {
        "uid": [1, 2, 1, 3, 2, 1],
        "iid": ["a", "b", "b", "a", "a", "c"],
        "stars": [5, 1, 3, 4, 2, 4],
        "at": [500, 100, 300, 200, 200, 400],
        "device": ["tv", None, "tv", "phone", "tv", "phone"],
    }
    users = {"uid": [1, 2, 3], "age": [25.0, None, 40.0], "city": ["Ghent", "Łódź", "Ghent"]}
    items = {"iid": ["a", "b"], "tags": ["x|y", "y"], "price": [1.5, None]}
    for name, table in {"log": log, "users": users, "items": items}.items():
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def clicks_spec() -> Callable[..., DatasetSpec]:
    """The spec of `clicks`, with top-level keys replaced."""

    def make(**changes: Any) -> DatasetSpec:
        return DatasetSpec.model_validate({**CLICKS_SPEC, **changes})

    return make


CLICKS_SPEC: dict[str, Any] = {
    "name": "clicks",
    "sources": {name: {"path": f"{name}.parquet", "format": "parquet"} for name in ("log", "users", "items")},
    "events": "log",
    "timestamp": {"column": "at", "unit": "s"},
    "label": {"column": "stars", "above": 3, "drop": [3]},
    "entities": {"user": {"join_key": "uid", "source": "users"}, "item": {"join_key": "iid", "source": "items"}},
    "fields": [
        {"name": "uid", "description": "who it is", "owner": "user", "kind": "categorical"},
        {"name": "age", "description": "how old", "owner": "user", "kind": "categorical"},
        {"name": "town", "description": "where from", "owner": "user", "kind": "categorical", "source_column": "city"},
        {"name": "tags", "description": "what about", "owner": "item", "kind": "multi_valued", "separator": "|"},
        {"name": "price", "description": "how much", "owner": "item", "kind": "numeric"},
        {"name": "device", "description": "on what", "owner": "context", "kind": "categorical"},
        {"name": "hour", "description": "which hour", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    ],
}


def _written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
