"""Where a workspace's things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from llactr.workspace import Workspace


def test_every_thing_has_its_place_and_asking_makes_none(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path / "with 'quotes' ünï")
    root = tmp_path / "with 'quotes' ünï"
    assert workspace.dataset("shop") == root / "datasets" / "shop"
    assert workspace.offline_table("shop", "user") == root / "offline" / "shop" / "user"
    assert workspace.semantics_table("semantics_release") == root / "offline" / "semantics" / "semantics_release"
    assert workspace.feast == root / "feast"
    assert workspace.artifact("bundles", "3f2a") == root / "bundles" / "3f2a"
    assert workspace.current("shop") == {}
    assert workspace.datasets() == []
    assert not root.exists()


def test_a_place_in_the_home_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.at("~/work").root == tmp_path / "work"


def test_datasets_are_those_with_a_spec_in_order(tmp_path: Path) -> None:
    for name in ("zoo", "art", "half"):
        (tmp_path / "datasets" / name).mkdir(parents=True)
        if name != "half":
            (tmp_path / "datasets" / name / "spec.yaml").touch()
    assert Workspace.at(tmp_path).datasets() == ["art", "zoo"]


def _breaks_off(folder: Path) -> None:
    (folder / "weights").write_text("half")
    raise OSError("disk full")


def test_what_is_written_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    place = workspace.artifact("bundles", "b")
    with workspace.writing(place) as draft:
        (draft / "weights").write_text("old")
        (draft / "left over").touch()
        assert not place.exists()
    with pytest.raises(OSError, match="disk full"), workspace.writing(place) as draft:
        _breaks_off(draft)
    assert sorted(file.name for file in place.iterdir()) == ["left over", "weights"]
    assert (place / "weights").read_text() == "old"
    with workspace.writing(place) as draft:
        (draft / "weights").write_text("new")
    assert [file.name for file in place.iterdir()] == ["weights"]
    assert (place / "weights").read_text() == "new"
    assert [folder.name for folder in place.parent.iterdir()] == ["b"], "no draft is left"


def test_the_latest_of_one_step_leaves_the_others(tmp_path: Path) -> None:
    workspace = Workspace.at(tmp_path)
    for key in ("bundles/one", "bundles/two", "semantics/s"):
        (tmp_path / key).mkdir(parents=True)
    workspace.set_current("shop", "train", tmp_path / "bundles" / "one")
    workspace.set_current("shop", "encode", tmp_path / "semantics" / "s")
    workspace.set_current("shop", "train", tmp_path / "bundles" / "two")
    expected = {"train": tmp_path / "bundles" / "two", "encode": tmp_path / "semantics" / "s"}
    assert workspace.current("shop") == expected
    assert workspace.current("other") == {}
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert Workspace.at(moved).current("shop") == {
        "train": moved / "bundles" / "two", "encode": moved / "semantics" / "s",
    }  # fmt: skip
