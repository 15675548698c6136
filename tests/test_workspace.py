"""Where artifacts lie, and which of them are the latest."""

from __future__ import annotations

from pathlib import Path

import pytest

from llactr.workspace import WORKSPACE_VARIABLE, Workspace


def test_the_place_is_given_or_in_the_environment_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(WORKSPACE_VARIABLE, raising=False)
    assert Workspace.at().root == tmp_path / ".llactr"
    monkeypatch.setenv(WORKSPACE_VARIABLE, "elsewhere")
    assert Workspace.at().root == tmp_path / "elsewhere"
    assert Workspace.at("given").root == tmp_path / "given"
    assert list(tmp_path.iterdir()) == []


def test_pointers_lead_to_the_latest_artifacts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for key in ("a", "b"):
        (tmp_path / "bundles" / key).mkdir(parents=True)
    assert workspace.current("shop") == {}
    workspace.set_current("shop", "train", tmp_path / "bundles" / "a")
    workspace.set_current("shop", "train", tmp_path / "bundles" / "b")
    workspace.set_current("other", "train", tmp_path / "bundles" / "a")
    assert workspace.current("shop") == {"train": tmp_path / "bundles" / "b"}
    (tmp_path / "bundles" / "b").rmdir()
    assert workspace.current("shop") == {}


@pytest.mark.parametrize("damage", [b"", b"\n", b"\xff\xfe\x00", b"bundles/gone\n", b"a\x00b"])
def test_a_damaged_pointer_drops_no_other(tmp_path: Path, damage: bytes) -> None:
    workspace = Workspace(tmp_path)
    folders = {step: tmp_path / "artifacts" / step for step in ("apply", "encode", "train")}
    for step, folder in folders.items():
        folder.mkdir(parents=True)
        workspace.set_current("shop", step, folder)
    (tmp_path / "current" / "shop" / "encode").write_bytes(damage)
    assert set(workspace.current("shop")) == {"apply", "train"}
    workspace.set_current("shop", "train", folders["train"])
    assert set(workspace.current("shop")) == {"apply", "train"}
    workspace.set_current("shop", "encode", folders["encode"])
    assert workspace.current("shop") == folders
