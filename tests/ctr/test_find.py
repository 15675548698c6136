from __future__ import annotations

from pathlib import Path

import pytest

from llactr.ctr.find import find_bundle
from llactr.errors import BundleError, NotReadyError
from llactr.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace that holds the bundles `first` and `second`, and a working directory beside it."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    workspace = Workspace.at(tmp_path / "workspace")
    for name in ("first", "second"):
        workspace.artifact("bundles", name).mkdir(parents=True)
    return workspace


def test_without_a_name_it_is_the_one_trained_last(workspace: Workspace) -> None:
    with pytest.raises(NotReadyError, match=r"no bundle of 'shop' in .*: run 'llactr train' first, or give --bundle"):
        find_bundle(workspace, "shop")
    workspace.set_current("shop", "train", workspace.artifact("bundles", "second"))
    assert find_bundle(workspace, "shop") == workspace.root / "bundles" / "second"


def test_a_bare_name_is_an_id_and_else_a_folder_here(workspace: Workspace) -> None:
    Path("other").mkdir()
    assert find_bundle(workspace, "shop", "first") == workspace.root / "bundles" / "first"
    assert find_bundle(workspace, "shop", "other") == Path.cwd() / "other"


def test_a_path_is_a_folder_even_where_an_id_has_the_name(workspace: Workspace) -> None:
    Path("first").mkdir()
    assert find_bundle(workspace, "shop", "./first") == Path.cwd() / "first"
    assert find_bundle(workspace, "shop", str(Path.cwd() / "first")) == Path.cwd() / "first"
    assert find_bundle(workspace, "shop", "../workspace/bundles/first").samefile(workspace.root / "bundles" / "first")


def test_a_name_of_an_id_and_of_a_folder_is_refused_with_both_places(workspace: Workspace) -> None:
    """One name scored with the folder in predict, and with the workspace's bundle in serve."""
    Path("first").mkdir()
    with pytest.raises(BundleError, match="bundle 'first' is two") as found:
        find_bundle(workspace, "shop", "first")
    assert str(workspace.root / "bundles" / "first") in str(found.value)
    assert str(Path.cwd() / "first") in str(found.value)


def test_in_the_folder_of_the_bundles_a_name_is_clear(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.root / "bundles")
    assert find_bundle(workspace, "shop", "first") == workspace.root / "bundles" / "first"


@pytest.mark.parametrize("name", ["lost", "./first", "", "first/.."])
def test_a_name_of_nothing_lists_the_ids_there_are(workspace: Workspace, name: str) -> None:
    with pytest.raises(BundleError, match=r"give a folder, or an id under .*bundles: first, second$"):
        find_bundle(workspace, "shop", name)
