"""The recipe movielens-100k.

MovieLens-100K was collected by the GroupLens Research Project at the University of Minnesota. Cite: F. Maxwell Harper
and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on Interactive Intelligent
Systems 5, 4, Article 19, https://doi.org/10.1145/2827872. Its terms of use forbid redistribution without permission:
llactr carries none of it and fetches it for you.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llactr.atomic import scratch
from llactr.datasets.base import RECIPES
from llactr.datasets.recipes.cached_tables import intact, writing_tables
from llactr.datasets.recipes.download import download
from llactr.datasets.recipes.movielens.files import (
    GROUPLENS_FILES,
    RECBOLE_FILES,
    TABLES,
    folder_opener,
    read_grouplens,
    read_recbole,
)
from llactr.errors import DataError, LlactrError, StepError
from llactr.manifest import content_hash, file_hash
from llactr.wheels import wheel_files

__all__ = ["MovieLens100K"]

_SIZES = {"ratings": 100_000, "users": 943, "items": 1_682}
_WHEEL_FOLDER = "recbole/dataset_example/ml-100k/"


@dataclass(frozen=True)
class MovieLens100K:
    """Fetches MovieLens-100K from a folder, from GroupLens, or out of the recbole wheel; the tables are the same.

    Attributes:
        site: where `ml-100k.zip` is.
        zip_sha256: its digest.
        connect_s: how long the site may take to answer.
    """

    name: str = "movielens-100k"
    site: str = "https://files.grouplens.org/datasets/movielens"
    zip_sha256: str = "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"
    connect_s: float = 2.5
    wheel: tuple[str, str, str] = (
        "recbole",
        "1.2.1",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    )

    credit = (
        "MovieLens-100K by GroupLens Research, University of Minnesota: F. M. Harper and J. A. Konstan (2015), "
        "The MovieLens Datasets: History and Context, ACM TiiS 5(4):19, https://doi.org/10.1145/2827872"
    )

    def fetch(self, *, folder: Path | None, cache: Path) -> Path:
        """The folder of `ratings.parquet`, `users.parquet` and `items.parquet`, made on the first call.

        Args:
            folder: one that holds GroupLens' files, `ml-100k.zip`, or recbole's files. None: they are downloaded.
            cache: the folder under which the tables and what they are made of are kept.

        Raises:
            DataError: the given folder holds none of these, or they are damaged.
            StepError: nothing could be downloaded; the message says what was tried.
        """
        if folder is not None:
            return self._from_folder(folder, cache)
        target = cache / self.name / "downloaded"
        if intact(target, TABLES):
            return target
        tried = []
        for way in (self._from_site, self._from_wheel):
            try:
                tables, origin = way(cache)
            except LlactrError as error:
                tried.append(str(error))
                continue
            for name, expected in _SIZES.items():
                if tables[name].num_rows != expected:
                    raise StepError(
                        f"{origin} has {tables[name].num_rows} {name}, expected {expected}: not MovieLens-100K"
                    )
            return _write(tables, target, origin)
        raise StepError(
            f"MovieLens-100K cannot be fetched. Tried: {'; '.join(f'({i}) {t}' for i, t in enumerate(tried, 1))}. "
            "Download ml-100k.zip by hand and give its folder"
        )

    def _from_site(self, cache: Path) -> tuple[dict[str, pa.Table], str]:
        url = f"{self.site.rstrip('/')}/ml-100k.zip"
        with scratch(cache / self.name) as work:
            path = download(url, work / "ml-100k.zip", sha256=self.zip_sha256, connect_s=self.connect_s)
            return _read_zip(path), url

    def _from_wheel(self, cache: Path) -> tuple[dict[str, pa.Table], str]:
        package, version, sha256 = self.wheel
        members = [_WHEEL_FOLDER + name for name in RECBOLE_FILES]
        folder = wheel_files(package, version=version, sha256=sha256, members=members, cache=cache)
        return read_recbole(folder_opener(folder)), f"{package} {version}"

    def _from_folder(self, folder: Path, cache: Path) -> Path:
        for place, (names, read) in itertools.product((folder, folder / "ml-100k"), _FOLDER_LAYOUTS):
            if all((place / name).is_file() for name in names):
                key = content_hash([file_hash(place / name) for name in names])[:12]
                target = cache / self.name / f"folder-{key}"
                return target if intact(target, TABLES) else _write(read(place), target, str(place))
        raise DataError(
            f"the folder {folder} holds neither {', '.join(GROUPLENS_FILES)} nor ml-100k.zip nor {RECBOLE_FILES[0]}: "
            "give the folder of the unpacked MovieLens-100K, or none to download it"
        )


def _read_zip(path: Path) -> dict[str, pa.Table]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name: name for name in archive.namelist()}
            missing = [name for name in GROUPLENS_FILES if name not in names]
            if missing:
                raise DataError(f"{path.name} has no file {missing[0]}: it is not MovieLens-100K's zip")
            return read_grouplens(lambda name: archive.open(names[name]))
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} is damaged ({error}): download it again") from None


_FOLDER_LAYOUTS: tuple[tuple[tuple[str, ...], Callable[[Path], dict[str, pa.Table]]], ...] = (
    (GROUPLENS_FILES, lambda place: read_grouplens(folder_opener(place))),
    (("ml-100k.zip",), lambda place: _read_zip(place / "ml-100k.zip")),
    (RECBOLE_FILES, lambda place: read_recbole(folder_opener(place))),
)


def _write(tables: dict[str, pa.Table], target: Path, origin: str) -> Path:
    with writing_tables(target, TABLES, origin=origin, credit=MovieLens100K.credit) as draft:
        for name in TABLES:
            pq.write_table(tables[name], draft / f"{name}.parquet", compression="zstd")
    return target


RECIPES.register(MovieLens100K().name, MovieLens100K())
