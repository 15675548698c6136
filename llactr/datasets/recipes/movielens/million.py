"""The recipe movielens-1m.

MovieLens-1M was collected by the GroupLens Research Project at the University of Minnesota; cite it as MovieLens-100K.
Its terms of use forbid redistribution without permission: llactr carries none of it and fetches it for you.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llactr.atomic import scratch
from llactr.datasets.base import RECIPES
from llactr.datasets.recipes.cached_tables import intact, writing_tables
from llactr.datasets.recipes.download import download
from llactr.datasets.recipes.movielens.files import TABLES, folder_opener
from llactr.datasets.recipes.movielens.million_files import MOVIELENS_1M_FILES, read_movielens_1m
from llactr.errors import DataError, LlactrError, StepError
from llactr.manifest import content_hash, file_hash

__all__ = ["MovieLens1M"]

_ZIP = "ml-1m.zip"


@dataclass(frozen=True)
class MovieLens1M:
    """Fetches MovieLens-1M from a folder or from GroupLens.

    Attributes:
        site: where `ml-1m.zip` is.
        zip_sha256: its digest.
        connect_s: how long the site may take to answer.
        sizes: rows that a downloaded copy has to have, per table.
    """

    name: str = "movielens-1m"
    site: str = "https://files.grouplens.org/datasets/movielens"
    zip_sha256: str = "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20"
    connect_s: float = 2.5
    sizes: tuple[int, int, int] = (1_000_209, 6_040, 3_883)

    credit = (
        "MovieLens-1M by GroupLens Research, University of Minnesota: F. M. Harper and J. A. Konstan (2015), "
        "The MovieLens Datasets: History and Context, ACM TiiS 5(4):19, https://doi.org/10.1145/2827872"
    )

    def fetch(self, *, folder: Path | None, cache: Path) -> Path:
        """The folder of `ratings.parquet`, `users.parquet` and `items.parquet`, made on the first call.

        Args:
            folder: one that holds GroupLens' files or `ml-1m.zip`. None: it is downloaded.
            cache: the folder under which the tables are kept.

        Raises:
            DataError: the given folder holds none of these, or they are damaged.
            StepError: it could not be downloaded.
        """
        if folder is not None:
            return self._from_folder(folder, cache)
        target = cache / self.name / "downloaded"
        return target if intact(target, TABLES) else self._from_site(target, cache)

    def _from_site(self, target: Path, cache: Path) -> Path:
        url = f"{self.site.rstrip('/')}/{_ZIP}"
        with scratch(cache / self.name) as work:
            try:
                path = download(url, work / _ZIP, sha256=self.zip_sha256, connect_s=self.connect_s)
                tables = _read_zip(path)
            except LlactrError as error:
                raise StepError(
                    f"MovieLens-1M cannot be fetched: {error}. Download {_ZIP} by hand and give its folder"
                ) from None
        for name, expected in zip(TABLES, self.sizes, strict=True):
            if tables[name].num_rows != expected:
                raise StepError(f"{url} has {tables[name].num_rows} {name}, expected {expected}: not MovieLens-1M")
        return self._write(tables, target, url)

    def _from_folder(self, folder: Path, cache: Path) -> Path:
        for place in (folder, folder / "ml-1m"):
            for names in (MOVIELENS_1M_FILES, (_ZIP,)):
                if not all((place / name).is_file() for name in names):
                    continue
                key = content_hash([file_hash(place / name) for name in names])[:12]
                target = cache / self.name / f"folder-{key}"
                if intact(target, TABLES):
                    return target
                unpacked = names == MOVIELENS_1M_FILES
                tables = read_movielens_1m(folder_opener(place)) if unpacked else _read_zip(place / _ZIP)
                return self._write(tables, target, str(place))
        raise DataError(
            f"the folder {folder} holds neither {', '.join(MOVIELENS_1M_FILES)} nor {_ZIP}: "
            "give the folder of the unpacked MovieLens-1M, or none to download it"
        )

    def _write(self, tables: dict[str, pa.Table], target: Path, origin: str) -> Path:
        with writing_tables(target, TABLES, origin=origin, credit=self.credit) as draft:
            for name in TABLES:
                pq.write_table(tables[name], draft / f"{name}.parquet", compression="zstd")
        return target


def _read_zip(path: Path) -> dict[str, pa.Table]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name: name for name in archive.namelist()}
            missing = [name for name in MOVIELENS_1M_FILES if name not in names]
            if missing:
                raise DataError(f"{path.name} has no file {missing[0]}: it is not MovieLens-1M's zip")
            return read_movielens_1m(lambda name: archive.open(names[name]))
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} is damaged ({error}): download it again") from None


RECIPES.register(MovieLens1M().name, MovieLens1M())
