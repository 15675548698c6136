"""`llactr promote`, `rollback`, `releases` and `gc` on a workspace in which all has run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llactr.manifest import sealed
from llactr.workspace import Workspace
from tests.jobs.conftest import Answer, Ran

Call = Callable[..., Answer]


@pytest.fixture
def workspace(ran: Ran, tmp_path: Path) -> Path:
    """A copy with the run's bundle alone: other tests train some of their own."""
    shutil.copytree(ran.workspace, tmp_path / "ws")
    first = tmp_path / "ws" / "bundles" / Path(ran.summary["bundle"]).name
    for folder in first.parent.iterdir():
        if folder != first:
            shutil.rmtree(folder)
    Workspace.at(tmp_path / "ws").set_current("tiny", "train", first)
    return tmp_path / "ws"


def trained(llactr: Call, ran: Ran, workspace: Path, *more: object) -> str:
    answer = llactr("train", "--config", ran.config, "--workspace", workspace, "--json", *more)
    assert answer.code == 0, answer.err
    return Path(answer.json["folder"]).name


def test_promote_roll_back_and_collect(llactr: Call, ran: Ran, workspace: Path) -> None:
    first = Path(ran.summary["bundle"]).name
    at = ("--workspace", workspace)
    assert llactr("apply", *at).code == 0
    promoted = llactr("promote", "--anyway", "--because", "the first", "--by", "ann", "--json", *at)
    assert promoted.code == 0, promoted.err
    assert (promoted.json["champion"], promoted.json["who"]) == (first, "ann")
    second = trained(llactr, ran, workspace, "--arm", "fie", "--seed", 7)
    listed = llactr("releases", "--json", *at).json
    assert {one["bundle"]: one["state"] for one in listed["bundles"]} == {first: "champion", second: "candidate"}
    said = llactr("promote", second, "--anyway", "--because", "fewer parameters", *at)
    assert said.code == 0, said.err
    assert said.out.startswith(f"{second} is the champion of tiny in place of {first}; test: auc 0.")
    assert llactr("rollback", "--because", "it is not", "--json", *at).json["champion"] == first
    lines = llactr("releases", *at).out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["retired", "champion"]
    assert [line.split(" ", 3)[2:] for line in lines[3:]][-1][1].endswith("it is not")
    # The second is still the one trained last, so that it is kept until another one is.
    dry = llactr("gc", "--keep", 0, "--dry-run", "--json", *at).json
    assert dry["dry_run"]
    assert f"bundles/{second}" in {one["what"] for one in dry["kept"]}
    Workspace.at(workspace).set_current("tiny", "train", workspace / "bundles" / first)
    dry = llactr("gc", "--keep", 0, "--dry-run", "--json", *at).json
    assert f"bundles/{second}" in {one["what"] for one in dry["removed"]}
    assert (workspace / "bundles" / second).is_dir()
    done = llactr("gc", "--keep", 0, *at)
    assert done.code == 0, done.err
    assert f"bundles/{second}: retired, and not one of the 0 newest" in done.out
    assert not (workspace / "bundles" / second).exists()
    # What is left works.
    assert llactr("check", "--rows", 20, *at).code == 0


def test_pins(llactr: Call, ran: Ran, workspace: Path) -> None:
    name, at = Path(ran.summary["bundle"]).name, ("--workspace", workspace)
    assert "(pinned)" in llactr("releases", "--pin", name, *at).out
    assert "(pinned)" not in llactr("releases", "--unpin", name, *at).out
    refused = llactr("releases", "--unpin", name, *at)
    assert (refused.code, "is not pinned" in refused.err) == (2, True)


def test_a_model_below_chance_is_not_promoted(llactr: Call, ran: Ran, workspace: Path) -> None:
    place = workspace / "bundles" / Path(ran.summary["bundle"]).name / "bundle.json"
    content = json.loads(place.read_text(encoding="utf-8"))
    content["metrics"]["test"]["auc"] = 0.3
    place.write_text(json.dumps(sealed({k: v for k, v in content.items() if k != "sha256_of_the_rest"})))
    refused = llactr("promote", "--workspace", workspace)
    assert (refused.code, "is not fit to be served: test AUC is 0.3000, below chance" in refused.err) == (2, True)
    assert not (workspace / "promotions").exists()


def test_what_cannot_be_served_is_not_promoted(llactr: Call, ran: Ran, workspace: Path) -> None:
    shutil.rmtree(workspace / "feast")
    refused = llactr("promote", "--anyway", "--workspace", workspace)
    assert refused.code in {1, 2}
    assert "llactr apply" in refused.err
    assert not (workspace / "promotions").exists()
    nothing = llactr("rollback", "--workspace", workspace)
    assert (nothing.code, "run 'llactr promote' first" in nothing.err) == (2, True)
