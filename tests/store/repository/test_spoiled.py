"""Features of a repository that would spoil a result are left out of a draft: the same that is found in tables."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from llactr.errors import StoreError
from llactr.profile import StartOptions
from llactr.spec import load_spec
from llactr.store.repository.draft import draft_from_repository
from llactr.store.repository.features import RepositoryFeatures
from tests.store.repository.driver_stats import DEFINITIONS, applied, trips, write_repository

VIEW = """

outcome = FeatureView(
    name="last_offer", entities=[driver], ttl=timedelta(0),
    schema=[
        Field(name="went", dtype=Int64), Field(name="fare", dtype=Float64), Field(name="town", dtype=String),
        Field(name="rank", dtype=Int64), Field(name="gone", dtype=String),
    ],
    source=FileSource(name="last_offer_source", path="data/last_offer.parquet", timestamp_field="event_timestamp"),
)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The drivers' repository, with a view whose rows are written at the moment of an offer, when its outcome is known."""
    folder = tmp_path_factory.mktemp("spoiled")
    repo = write_repository(folder)
    offers = trips().drop_duplicates(["driver", "offered_at"], ignore_index=True)
    offers.to_parquet(folder / "trips.parquet")
    pd.DataFrame(
        {
            "driver_id": offers["driver"],
            "event_timestamp": offers["offered_at"],
            "went": offers["taken"] * 10 + offers["driver"] % 3,
            "fare": [9.5 + n % 7 if taken else None for n, taken in enumerate(offers["taken"])],
            "town": "Graz",
            "rank": [n * 7 % 5 for n in range(len(offers))],
            "gone": pd.Series([None] * len(offers), dtype="string"),
        }
    ).to_parquet(repo / "data" / "last_offer.parquet")
    (repo / "example_repo.py").write_text(DEFINITIONS + VIEW, encoding="utf-8")
    before = list(sys.path)
    applied(repo)
    yield folder
    sys.path[:] = before  # an opened repository is there, for classes of its own


def test_features_that_know_the_label_or_nothing_are_left_out_with_the_reason(made: Path) -> None:
    drafted = draft_from_repository(
        made / "repo", [str(made / "trips.parquet")], StartOptions(out=made / "a.yaml", label="taken")
    )
    assert drafted.left_out["last_offer.went"] == "by its value alone it tells the label (AUC 1.000), so it would leak"
    assert drafted.left_out["last_offer.fare"].startswith("by whether it is empty alone it tells the label")
    assert drafted.left_out["last_offer.town"] == "all rows have the same value"
    assert drafted.left_out["last_offer.gone"] == "no row has a value"
    names = {field.name for field in load_spec(made / "a.yaml").repository_fields}
    assert "rank" in names
    assert {"conv_rate", "avg_daily_trips", "home", "conv_rate_plus_val1"} <= names
    assert not names & {"went", "fare", "town", "gone"}
    assert any("'last_offer:went' knows the label" in text for text in drafted.findings)
    text = (made / "a.yaml").read_text(encoding="utf-8")
    assert "3 distinct" in text.split('feature: "driver_hourly_stats:home"')[0].rsplit("#", 1)[1], "facts of the join"


def test_a_feature_is_kept_on_demand(made: Path) -> None:
    options = StartOptions(out=made / "b.yaml", label="taken", keep=("fare",))
    draft_from_repository(made / "repo", [str(made / "trips.parquet")], options)
    names = {field.name for field in load_spec(made / "b.yaml").repository_fields}
    assert "fare" in names
    assert "went" not in names


def test_keys_in_another_spelling_are_told(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "repo", tmp_path / "repo")
    applied(tmp_path / "repo")
    offers = trips()
    offers.assign(driver=[f"D{key}" for key in offers["driver"]]).to_parquet(tmp_path / "trips.parquet")
    drafted = draft_from_repository(
        tmp_path / "repo", [str(tmp_path / "trips.parquet")], StartOptions(out=tmp_path / "c.yaml", label="taken")
    )
    assert any(
        "100% of the rows find no value in the view 'driver_hourly_stats' by 'driver'" in text
        for text in drafted.findings
    )


def test_a_store_that_cannot_be_joined_leaves_the_draft_as_it_is(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreError("the warehouse sleeps")

    monkeypatch.setattr(RepositoryFeatures, "as_of", broken)
    drafted = draft_from_repository(
        made / "repo", [str(made / "trips.parquet")], StartOptions(out=made / "d.yaml", label="taken")
    )
    assert "went" in drafted.kinds
    assert any(
        "were not looked at for what they know of the label (the warehouse sleeps)" in one for one in drafted.costs
    )


def test_an_on_demand_view_of_a_view_with_maps_is_read(tmp_path: Path) -> None:
    """As in Feast's example of today: the view has a map and JSON, which the function is given and does not use."""
    repo = write_repository(tmp_path)
    stats = pd.read_parquet(repo / "data" / "driver_stats.parquet")
    stats.assign(extra=[{"car": "van", "rating": "4"}] * len(stats)).to_parquet(repo / "data" / "driver_stats.parquet")
    text = DEFINITIONS.replace("import Float32,", "import Float32, Map,").replace(
        '        Field(name="home", dtype=String),\n',
        '        Field(name="home", dtype=String),\n        Field(name="extra", dtype=Map),\n',
    )
    assert text.count("Map") == 2
    (repo / "example_repo.py").write_text(text, encoding="utf-8")
    applied(repo)
    drafted = draft_from_repository(
        repo, [str(tmp_path / "trips.parquet")], StartOptions(out=tmp_path / "e.yaml", label="taken")
    )
    assert not any("were not looked at" in one for one in drafted.costs), drafted.costs
    assert "conv_rate_plus_val1" in drafted.kinds
    assert drafted.left_out["driver_hourly_stats.extra"].startswith("no kind of field reads")
