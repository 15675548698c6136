"""What is listed, shown, compared and removed, on made-up artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llactr.errors import InputError, NotReadyError
from llactr.lifecycle.inventory import compare_artifacts, list_artifacts, remove, show_artifact
from llactr.lifecycle.promotions import promote
from llactr.lifecycle.running import Registration
from llactr.workspace import Workspace
from tests.lifecycle.made_up import MadeUp


@pytest.fixture
def at(tmp_path: Path) -> MadeUp:
    """`old` was champion on version one, `new` is on two; an evaluation beside them."""
    made = MadeUp(tmp_path / "ws")
    for name, version in (("old", "one"), ("new", "two")):
        made.encoded(version, adapter=f"a-{version}")
        made.released(version)
        made.bundle(name, training_set=f"t-{version}", version=version)
        promote(made.workspace, "shop", made.workspace.artifact("bundles", name))
    made.artifact("evaluations", "e")
    return made


def test_the_list_has_each_artifact_with_its_size_and_who_needs_it(at: MadeUp) -> None:
    found = {one.what: one for one in list_artifacts(at.workspace)}
    assert set(found) == {
        "datasets/shop", "bundles/old", "bundles/new", "training_sets/shop-t-one", "training_sets/shop-t-two",
        "adapters/shop-a-one", "adapters/shop-a-two", "semantics/shop-of-one", "semantics/shop-of-two",
        "field_vectors/shop@one", "field_vectors/shop@two", "evaluations/shop-e",
    }  # fmt: skip
    bundle, rows = found["bundles/new"], found["training_sets/shop-t-two"]
    assert bundle.kept == "the champion"
    assert bundle.needs == ("datasets/shop", "field_vectors/shop@two", "training_sets/shop-t-two")
    assert rows.needed_by == ("bundles/new",)
    folder = at.workspace.root / "training_sets" / "shop-t-two"
    assert rows.bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert [one.what for one in list_artifacts(at.workspace, kind="bundles")] == ["bundles/new", "bundles/old"]
    assert list_artifacts(at.workspace, dataset="books") == ()


def test_one_is_shown_by_its_name_alone_with_what_its_manifest_says(at: MadeUp) -> None:
    found = show_artifact(at.workspace, "old")
    assert found.what == "bundles/old"
    assert found.facts["inputs"] == {"training_set": "t-one"}
    assert found.places == (at.workspace.root / "bundles" / "old",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["olt"], "give two artifacts or more"),
        (["old", "shop"], "artifacts of one kind can be compared, these are bundles and datasets"),
        (["old", "olde"], "nothing called 'olde': 'llactr list' names what there is"),
        (["old", "bundles/ne"], "nothing called 'bundles/ne': did you mean bundles/new?"),
    ],
)
def test_what_cannot_be_compared_is_refused(at: MadeUp, names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_artifacts(at.workspace, names)


def test_a_name_of_two_kinds_is_refused(at: MadeUp) -> None:
    at.artifact("searches", "e")
    with pytest.raises(InputError, match="is several: give one of evaluations/shop-e, searches/shop-e"):
        show_artifact(at.workspace, "shop-e")


def test_what_differs_is_said_metrics_first(at: MadeUp) -> None:
    for name, auc, decay in (("old", 0.7, 0.1), ("new", 0.8, 0.2)):
        path = at.workspace.root / "bundles" / name / "manifest.json"
        facts = json.loads(path.read_text())
        facts |= {"config": {"decay": decay, "backbone": "fm"}, "result": {"metrics": {"auc": auc}, "curve": [{}] * 3}}
        path.write_text(json.dumps(facts))
    found = {one.name: one.values for one in compare_artifacts(at.workspace, ["old", "new"])}
    assert next(iter(found)) == "result.metrics.auc"
    assert found["result.metrics.auc"] == (0.7, 0.8)
    assert found["config.decay"] == (0.1, 0.2)
    assert found["inputs.training_set"] == ("t-one", "t-two")
    assert "config.backbone" not in found


def names(at: MadeUp) -> set[str]:
    return {one.what for one in list_artifacts(at.workspace)}


def test_what_is_kept_or_needed_is_not_removed_without_force(at: MadeUp) -> None:
    before = names(at)
    for name, message in (
        ("new", "bundles/new is the champion: give --force"),
        ("training_sets/shop-t-one", "is needed by bundles/old: give --force to remove all"),
        ("gone", "nothing called 'gone'"),
    ):
        with pytest.raises(InputError, match=message):
            remove(at.workspace, ["evaluations/shop-e", name])
        assert names(at) == before, "nothing was removed"
    gone = remove(at.workspace, ["training_sets/shop-t-one"], force=True)
    assert [one.what for one in gone] == ["bundles/old", "training_sets/shop-t-one"]
    assert names(at) == before - {"bundles/old", "training_sets/shop-t-one"}


def test_what_is_only_one_of_the_newest_goes_when_it_is_named(at: MadeUp) -> None:
    """A bundle and what it alone needs go together."""
    gone = remove(at.workspace, ["training_sets/shop-t-one", "old", "evaluations/shop-e"])
    assert [one.what for one in gone] == ["bundles/old", "evaluations/shop-e", "training_sets/shop-t-one"]


def test_a_bundle_in_use_stays_whatever_is_asked(at: MadeUp) -> None:
    service = Registration(at.workspace, follows=True)
    service.tell("shop", [at.workspace.root / "bundles" / "new"])
    try:
        with pytest.raises(InputError, match="bundles/new is in use by the service"):
            remove(at.workspace, ["datasets/shop"], force=True)
    finally:
        service.close()
    assert "bundles/new" in names(at)


def test_a_dataset_goes_with_all_that_was_made_of_it(at: MadeUp) -> None:
    other = MadeUp(at.workspace.root, "books")
    other.encoded("three")
    other.released("three")
    remove(at.workspace, ["datasets/shop"])
    assert names(at) == {"datasets/books", "field_vectors/books@three", "semantics/books-of-three"}
    left = [
        path
        for path in at.workspace.root.rglob("*")
        if path.is_file() and "shop" in str(path.relative_to(at.workspace.root))
    ]
    assert left == []


def test_there_has_to_be_a_workspace_and_such_a_kind(at: MadeUp, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="no workspace"):
        list_artifacts(Workspace.at(tmp_path / "none"))
    with pytest.raises(InputError, match=r"nothing of kind 'bundle' in .*: choose one of adapters, bundles"):
        list_artifacts(at.workspace, kind="bundle")
