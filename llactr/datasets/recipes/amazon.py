"""The recipes amazon-gift-cards, amazon-video-games and amazon-digital-music.

Amazon Reviews 2023 was collected by the McAuley Lab at the University of California San Diego. Cite: Y. Hou, J. Li,
Z. He, A. Yan, X. Chen, J. McAuley (2024), Bridging Language and Items for Retrieval and Recommendation,
arXiv:2403.03952. llactr carries none of it and fetches it for you.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass
from pathlib import Path

from llactr.atomic import scratch
from llactr.datasets.base import RECIPES
from llactr.datasets.recipes.amazon_files import write_items, write_reviews
from llactr.datasets.recipes.cached_tables import intact, writing_tables
from llactr.datasets.recipes.download import download
from llactr.errors import DataError, LlactrError, StepError
from llactr.manifest import content_hash, file_hash

__all__ = ["AMAZON_CATEGORIES", "AmazonReviews2023"]

TABLES = ("reviews", "items")
_PLACES = (("", ""), ("raw/review_categories", "raw/meta_categories"), ("review_categories", "meta_categories"))


@dataclass(frozen=True)
class AmazonReviews2023:
    """Fetches one category from a folder or from the McAuley Lab's site.

    Attributes:
        category: as the files name it, such as `Gift_Cards`.
        review_count: reviews that a downloaded copy has to have; the site publishes no digests.
        item_count: likewise items.
        site: where `raw/review_categories` and `raw/meta_categories` are.
        connect_s: how long the site may take to answer.
    """

    name: str
    category: str
    review_count: int
    item_count: int
    site: str = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"
    connect_s: float = 5.0

    credit = (
        "Amazon Reviews 2023 by the McAuley Lab, University of California San Diego: Y. Hou et al. (2024), "
        "Bridging Language and Items for Retrieval and Recommendation, https://arxiv.org/abs/2403.03952"
    )

    def fetch(self, *, folder: Path | None, cache: Path) -> Path:
        """The folder of `reviews.parquet` and `items.parquet`, made on the first call.

        Args:
            folder: one that holds `<category>.jsonl` and `meta_<category>.jsonl`, each plain or `.gz`, together or in
                the folders of the published tree. None: they are downloaded.
            cache: the folder under which the tables are kept; the raw files are not.

        Raises:
            DataError: the given folder lacks a file, or one is damaged.
            StepError: a file could not be downloaded, or holds something else.
        """
        if folder is not None:
            reviews, items = self._find(folder)
            key = content_hash([file_hash(reviews), file_hash(items)])[:12]
            target = cache / self.name / f"folder-{key}"
            if not intact(target, TABLES):
                self._write(reviews, items, target, str(folder), exact=False)
            return target
        target = cache / self.name / "downloaded"
        if not intact(target, TABLES):
            self._from_site(target, cache)
        return target

    def _from_site(self, target: Path, cache: Path) -> None:
        base = f"{self.site.rstrip('/')}/raw"
        urls = (
            f"{base}/review_categories/{self.category}.jsonl.gz",
            f"{base}/meta_categories/meta_{self.category}.jsonl.gz",
        )
        with scratch(cache / self.name) as work:
            try:
                reviews, items = (
                    download(url, work / url.rsplit("/", 1)[1], sha256=None, connect_s=self.connect_s) for url in urls
                )
                self._write(reviews, items, target, base, exact=True)
            except LlactrError as error:
                raise StepError(
                    f"{self.name} cannot be fetched: {error}. Download {urls[0]} and {urls[1]} by hand and give "
                    "their folder"
                ) from None

    def _write(self, reviews: Path, items: Path, target: Path, origin: str, *, exact: bool) -> None:
        facts: dict[str, int] = {}
        with writing_tables(target, TABLES, origin=origin, credit=self.credit, facts=facts) as draft:
            counts = write_reviews(reviews, draft / "reviews.parquet")
            item_count = write_items(items, draft / "items.parquet")
            shutil.rmtree(draft / "spilled", ignore_errors=True)
            if exact and (counts["rows"], item_count) != (self.review_count, self.item_count):
                raise StepError(
                    f"{origin} has {counts['rows']} reviews of {item_count} items, expected {self.review_count} of "
                    f"{self.item_count}: not the release of 2023"
                )
            facts |= {"reviews": counts["rows"], "repeated_reviews": counts["repeated"], "items": item_count}

    def _find(self, folder: Path) -> tuple[Path, Path]:
        names = (f"{self.category}.jsonl", f"meta_{self.category}.jsonl")
        found = []
        for position, name in enumerate(names):
            candidates = [
                folder / places[position] / (name + suffix)
                for places, suffix in itertools.product(_PLACES, ("", ".gz"))
            ]
            file = next((path for path in candidates if path.is_file()), None)
            if file is None:
                raise DataError(
                    f"the folder {folder} has no {name} or {name}.gz: give the folder with the raw files of Amazon "
                    "Reviews 2023, or none to download them"
                )
            found.append(file)
        return found[0], found[1]


AMAZON_CATEGORIES = (
    AmazonReviews2023("amazon-gift-cards", "Gift_Cards", 152_410, 1_137),
    AmazonReviews2023("amazon-video-games", "Video_Games", 4_624_615, 137_269),
    AmazonReviews2023("amazon-digital-music", "Digital_Music", 130_434, 70_537),
)
"""The paper's three categories; their sizes are those that its authors report of the raw files."""

for _category in AMAZON_CATEGORIES:
    RECIPES.register(_category.name, _category)
