from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llactr.datasets import RECIPES, fetch, write_offline_tables
from llactr.datasets.recipes.amazon import AMAZON_CATEGORIES, AmazonReviews2023
from llactr.errors import DataError, StepError
from llactr.spec import load_spec
from llactr.workspace import Workspace
from tests.ports import free_port

EXAMPLES = Path(__file__).parents[3] / "llactr" / "specs"
CATEGORY = {recipe.name: recipe.category for recipe in AMAZON_CATEGORIES}
CARD, GAME, ALBUM, BARE = "B06ZXTKYHN", "B01N3ASPNV", "B0791X2W2P", "B0BARE0000"


def _review(user: str, item: str, rating: float, timestamp: int, **changes: Any) -> dict[str, Any]:
    return {
        "rating": rating,
        "title": "Great",
        "text": 'Line one\nline "two" | three',
        "images": [{"small_image_url": "https://x/1.jpg", "attachment_type": "IMAGE"}],
        "asin": "B00VARIANT",
        "parent_asin": item,
        "user_id": user,
        "timestamp": timestamp,
        "helpful_vote": 0,
        "verified_purchase": True,
        **changes,
    }


REVIEWS = [
    _review("AHZ6XMOLEWA", CARD, 5.0, 1449857829000),
    _review("AFZUK3MTBIB", GAME, 3.0, 1610000000123, images=[], text="Ça va… 你好"),
    _review("AFZUK3MTBIB", GAME, 3.0, 1610000000123, images=[], text="Ça va… 你好"),  # the file repeats it
    _review("AHZ6XMOLEWA", ALBUM, 4.0, 1577836800000, verified_purchase=False),
    _review("AHZ6XMOLEWA", "B0UNLISTED", 1.0, 1600000000000),  # an item without metadata
]


def _meta(item: str, **changes: Any) -> dict[str, Any]:
    return {
        "main_category": None,
        "title": f"The  item\n{item}",
        "average_rating": 4.5,
        "rating_number": 2,
        "features": [],
        "description": [],
        "price": None,
        "images": [{"thumb": "https://x/t.jpg", "large": "https://x/l.jpg", "variant": "MAIN", "hi_res": None}],
        "videos": [{"title": "v", "url": "https://x/v", "user_id": ""}],
        "store": None,
        "categories": [],
        "details": {},
        "parent_asin": item,
        "bought_together": None,
        **changes,
    }


META = [
    _meta(CARD, title="an older line of the same item", price=10.0),
    _meta(
        GAME,
        main_category="Video Games",
        features=["9H | hard", " Ultra-clear "],
        description=["First paragraph.", "Second."],
        price="$1,299.99",
        store="amFilm",
        categories=["Video Games", "PC", "Games"],
        details={
            "Brand": "amFilm",
            "Best Sellers Rank": {"Video Games": 89, "Nintendo Switch Screen Protectors": 3},
            "Date First Available": "February 2, 2017",
            "Batteries": {"Type": "AA", "Count": 2},
            "Item Weight": "",
        },
    ),
    _meta(CARD, main_category="Gift Cards", price=25.0, store="Amazon", details={"Manufacturer": "Amazon"}),
    _meta(ALBUM, price="from 14.99", store="BTS   Format: Audio CD", details='{"Label": "BigHit"}'),
    _meta(BARE, title=None, price="—", store="Format: Vinyl"),
]


def _lines(rows: list[dict[str, Any]], *, ascii_only: bool = True) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows).encode()


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., Path]:
    """Writes the raw files of a category into a folder."""

    def write(
        category: str = "Gift_Cards",
        *,
        zipped: bool = False,
        tree: bool = False,
        folder: str = "given",
        **content: bytes,
    ) -> Path:
        place = tmp_path / folder
        suffix = ".gz" if zipped else ""
        reviews = place / ("raw/review_categories" if tree else "") / f"{category}.jsonl{suffix}"
        items = place / ("raw/meta_categories" if tree else "") / f"meta_{category}.jsonl{suffix}"
        texts = {reviews: content.get("reviews", _lines(REVIEWS)), items: content.get("items", _lines(META))}
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text) if zipped else text)
        return place

    return write


def _check_tables(folder: Path) -> None:
    reviews = pq.read_table(folder / "reviews.parquet").to_pylist()
    assert [row["rating"] for row in reviews] == [5.0, 3.0, 3.0, 4.0, 1.0]
    assert reviews[3] == {
        "user_id": "AHZ6XMOLEWA",
        "parent_asin": ALBUM,
        "rating": 4.0,
        "timestamp": 1577836800000,
        "verified_purchase": False,
    }
    items = {row["parent_asin"]: row for row in pq.read_table(folder / "items.parquet").to_pylist()}
    assert list(items) == [GAME, CARD, ALBUM, BARE], "one row an item, in the order of their last lines"
    assert items[GAME] == {
        "parent_asin": GAME,
        "main_category": "Video Games",
        "title": f"The item {GAME}",
        "store": "amFilm",
        "medium": None,
        "categories": "Video Games|PC|Games",
        "features": "9H / hard|Ultra-clear",
        "description": "First paragraph. Second.",
        "details": "Brand: amFilm|Batteries / Type: AA|Batteries / Count: 2",
        "price": 1299.99,
        "available_year": 2017,
        "average_rating": 4.5,
        "rating_number": 2,
    }
    assert (items[CARD]["price"], items[CARD]["title"]) == (25.0, f"The item {CARD}"), "the last line holds"
    assert (items[ALBUM]["store"], items[ALBUM]["medium"]) == ("BTS", "Audio CD")
    assert (items[ALBUM]["price"], items[ALBUM]["details"]) == (14.99, "Label: BigHit")
    bare = items[BARE]
    assert bare["medium"] == "Vinyl"
    absent = ("title", "store", "price", "features", "description", "categories", "details", "main_category")
    assert [bare[name] for name in absent] == [None] * 8


@pytest.mark.parametrize("recipe", [recipe.name for recipe in AMAZON_CATEGORIES])
def test_a_given_folder_of_raw_files(raw: Callable[..., Path], tmp_path: Path, recipe: str) -> None:
    folder = fetch(recipe, folder=raw(CATEGORY[recipe]), cache=tmp_path / "cache")
    _check_tables(folder)
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["reviews"], origin["repeated_reviews"], origin["items"]) == (5, 1, 4)
    assert "McAuley Lab" in origin["credit"]


@pytest.mark.parametrize(("zipped", "tree"), [(True, False), (False, True), (True, True)])
def test_gzipped_files_and_the_published_tree(
    raw: Callable[..., Path], tmp_path: Path, zipped: bool, tree: bool
) -> None:
    _check_tables(fetch("amazon-gift-cards", folder=raw(zipped=zipped, tree=tree), cache=tmp_path / "cache"))


def test_unescaped_unicode_and_blank_lines(raw: Callable[..., Path], tmp_path: Path) -> None:
    text = _lines(REVIEWS, ascii_only=False).replace(b"}\n", b"}\n\n")
    _check_tables(fetch("amazon-gift-cards", folder=raw(reviews=text), cache=tmp_path / "cache"))


def test_nothing_is_read_again_until_a_file_changes(raw: Callable[..., Path], tmp_path: Path) -> None:
    given = raw()
    first = fetch("amazon-gift-cards", folder=given, cache=tmp_path / "cache")
    written = (first / "items.parquet").stat().st_mtime_ns
    assert fetch("amazon-gift-cards", folder=given, cache=tmp_path / "cache") == first
    assert (first / "items.parquet").stat().st_mtime_ns == written
    raw(reviews=_lines(REVIEWS[:2]))
    assert fetch("amazon-gift-cards", folder=given, cache=tmp_path / "cache") != first


def _recipe(site: str, reviews: int = 5, items: int = 4) -> AmazonReviews2023:
    return AmazonReviews2023("amazon-gift-cards", "Gift_Cards", reviews, items, site=site)


def test_the_official_site_is_asked_once_for_a_category(
    raw: Callable[..., Path], tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    site = raw(zipped=True, tree=True, folder="site")
    recipe = _recipe(serve(site))
    folder = recipe.fetch(folder=None, cache=tmp_path / "cache")
    _check_tables(folder)
    for file in site.rglob("*.gz"):
        file.unlink()
    assert recipe.fetch(folder=None, cache=tmp_path / "cache") == folder
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["amazon-gift-cards"], "raw files are not kept"


def test_another_number_of_reviews_is_not_the_release(
    raw: Callable[..., Path], tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    recipe = _recipe(serve(raw(zipped=True, tree=True, folder="site")), reviews=152_410)
    with pytest.raises(StepError, match="has 5 reviews of 4 items, expected 152410 of 4: not the release of 2023"):
        recipe.fetch(folder=None, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_site_out_of_reach_says_which_files_to_get(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"amazon-gift-cards cannot be fetched: .*meta_Gift_Cards.jsonl.gz by hand"):
        _recipe(f"http://127.0.0.1:{free_port()}").fetch(folder=None, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"reviews": _lines(REVIEWS) + b'{"rating": 5.0, "ti'}, r"Gift_Cards.jsonl is not Amazon Reviews 2023 .* line"),
        ({"reviews": _lines([{**REVIEWS[0], "rating": "good"}])}, r"Gift_Cards.jsonl is not .*in line 1.*\"good\""),
        ({"reviews": b"[1, 2]\n"}, r"is not Amazon Reviews 2023 .*Expected OBJECT, but got ARRAY"),
        ({"reviews": b""}, r"Gift_Cards.jsonl is empty"),
        (
            {"reviews": b'{"reviewerID": "A", "asin": "B", "overall": 5.0, "unixReviewTime": 1}\n'},
            r"1 of 1 lines have no 'user_id', which Amazon Reviews 2023 has: check that the file is of that release",
        ),
        ({"items": _lines([*META, {"title": "no key"}])}, r"meta_Gift_Cards.jsonl: 1 of 5 lines have no 'parent_asin'"),
        (
            {"items": _lines([_meta("B1", features={"a": 1})])},
            r"meta_Gift_Cards.jsonl: 'features' of item 'B1' is .*expected a list of texts",
        ),
    ],
)
def test_damaged_amazon_files(
    raw: Callable[..., Path], tmp_path: Path, content: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fetch("amazon-gift-cards", folder=raw(**content), cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.parquet"))


def test_a_truncated_gzip(raw: Callable[..., Path], tmp_path: Path) -> None:
    given = raw(zipped=True)
    file = given / "Gift_Cards.jsonl.gz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"Gift_Cards.jsonl.gz is not Amazon Reviews 2023"):
        fetch("amazon-gift-cards", folder=given, cache=tmp_path / "cache")


def test_a_folder_without_the_category(raw: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no Video_Games.jsonl or Video_Games.jsonl.gz"):
        fetch("amazon-video-games", folder=raw("Gift_Cards"), cache=tmp_path / "cache")


@pytest.mark.parametrize("name", sorted(CATEGORY))
def test_ingest_of_a_category_labels_as_in_the_paper(raw: Callable[..., Path], tmp_path: Path, name: str) -> None:
    spec = load_spec(EXAMPLES / f"{name}.yaml")
    assert spec.recipe == name
    assert name in RECIPES
    workspace = Workspace.at(tmp_path / "workspace")
    summary = write_offline_tables(spec, workspace, fetch(name, folder=raw(CATEGORY[name]), cache=tmp_path / "cache"))
    assert (summary.rows, summary.dropped, summary.unmatched) == (5, 0, {"item": 1})
    events = pq.read_table(workspace.offline_table(name, "events")).to_pylist()
    assert [(row["parent_asin"], row["label"]) for row in events] == [
        (CARD, 1.0),
        (ALBUM, 1.0),
        ("B0UNLISTED", 0.0),
        (GAME, 0.0),
        (GAME, 0.0),
    ]
    assert events[-1]["event_timestamp"].isoformat() == "2021-01-07T06:13:20.123000+00:00"
    assert (spec.split.train, spec.split.validation) == (0.8, 0.1)
    assert {"average_rating", "rating_number"}.isdisjoint(spec.field_names), "they count reviews of the test split"
