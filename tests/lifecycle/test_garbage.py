"""What is collected, what is not, and why; then random histories of all that people do."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from llactr.errors import InputError, NotReadyError, StepError
from llactr.lifecycle.garbage import plan_garbage, remove_artifacts
from llactr.lifecycle.graph import Artifact, workspace_graph
from llactr.lifecycle.inventory import remove
from llactr.lifecycle.promotions import pin, promote, rollback
from llactr.lifecycle.running import Registration, running_services
from llactr.workspace import Workspace
from tests.lifecycle.made_up import MadeUp


@pytest.fixture
def at(tmp_path: Path) -> MadeUp:
    return MadeUp(tmp_path / "ws")


def removed(at: MadeUp, keep: int = 0) -> dict[str, str]:
    return {one.what: one.reason for one in plan_garbage(at.workspace, keep=keep).removed}


def kept(at: MadeUp, keep: int = 0) -> dict[str, str]:
    return {one.what: one.reason for one in plan_garbage(at.workspace, keep=keep).kept}


def two_champions(at: MadeUp) -> None:
    """`old` was champion on version one, `new` is on two; each has its training set, vectors and adapter."""
    for name, version in (("old", "one"), ("new", "two")):
        at.encoded(version, adapter=f"a-{version}")
        at.encoded(f"w-{version}", adapter=f"b-{version}", values=True)
        at.bundle(name, training_set=f"t-{version}", version=version, values=f"w-{version}")
        promote(at.workspace, "shop", at.workspace.artifact("bundles", name))


def test_who_needs_whom(at: MadeUp) -> None:
    two_champions(at)
    graph = workspace_graph(at.workspace)
    adapter = Artifact("adapters", "shop-a-one")
    assert graph.needed_by(adapter) == [
        ("bundles", "old"), ("field_vectors", "shop@one"), ("semantics", "shop-of-one"),
    ]  # fmt: skip
    assert set(graph.closure([Artifact("bundles", "new")])) == {
        ("bundles", "new"), ("training_sets", "shop-t-two"), ("field_vectors", "shop@two"),
        ("value_vectors", "shop@w-two"), ("semantics", "shop-of-two"), ("value_semantics", "shop-of-w-two"),
        ("adapters", "shop-a-two"), ("adapters", "shop-b-two"),
    }  # fmt: skip
    assert graph.needed_by(Artifact("bundles", "new")) == []


def test_a_retired_bundle_goes_with_all_that_only_it_needs(at: MadeUp) -> None:
    two_champions(at)
    assert removed(at) == {
        "bundles/old": "retired, and not one of the 0 newest",
        "training_sets/shop-t-one": "only needed by bundles/old, which is removed too",
        "field_vectors/shop@one": "only needed by bundles/old, which is removed too",
        "value_vectors/shop@w-one": "only needed by bundles/old, which is removed too",
        "semantics/shop-of-one": "only needed by bundles/old, which is removed too",
        "value_semantics/shop-of-w-one": "only needed by bundles/old, which is removed too",
        "adapters/shop-a-one": "only needed by bundles/old, which is removed too",
        "adapters/shop-b-one": "only needed by bundles/old, which is removed too",
    }
    plan = remove_artifacts(at.workspace, keep=0)
    assert plan.freed_bytes == sum(one.bytes for one in plan.removed) > 600
    assert removed(at) == {}
    assert {path.name for path in at.workspace.root.rglob("*one*")} == set()
    assert kept(at)["bundles/new"] == "the champion"
    assert kept(at)["adapters/shop-a-two"] == "needed by bundles/new (the champion)"


def test_a_dry_run_removes_nothing(at: MadeUp) -> None:
    two_champions(at)
    before = sorted(at.workspace.root.rglob("*"))
    plan_garbage(at.workspace, keep=0)
    assert sorted(at.workspace.root.rglob("*")) == before


def test_some_retired_bundles_are_kept_to_go_back_to(at: MadeUp) -> None:
    two_champions(at)
    assert removed(at, keep=1) == {}
    assert kept(at, keep=1)["bundles/old"] == "one of the 1 newest retired bundles"


def test_states_of_history_go_with_the_last_bundle_that_reads_them(at: MadeUp) -> None:
    for number, version in enumerate(("h1", "h2", "h3")):
        at.states(version)
        at.bundle(f"m{number}", training_set="t", version="v", history=version)
        promote(at.workspace, "shop", at.workspace.artifact("bundles", f"m{number}"))
    rollback(at.workspace, "shop")
    assert removed(at) == {
        "bundles/m0": "retired, and not one of the 0 newest", "bundles/m2": "retired, and not one of the 0 newest",
        "states/shop@h1": "only needed by bundles/m0, which is removed too",
    }  # fmt: skip
    assert kept(at)["states/shop@h2"] == "needed by bundles/m1 (the champion)"
    assert kept(at)["states/shop@h3"] == "the newest states"
    remove_artifacts(at.workspace, keep=0)
    left = {path.name for path in (at.workspace.root / "states" / "shop" / "user_history").iterdir()}
    assert left == {"h2@00001-0a1b2c3d.parquet", "h3@00001-0a1b2c3d.parquet"}


@pytest.mark.parametrize("reason", ["pinned", "served", "current", "released"])
def test_what_else_keeps(at: MadeUp, reason: str) -> None:
    two_champions(at)
    old = at.workspace.artifact("bundles", "old")
    entry = Registration(at.workspace, follows=False)
    if reason == "pinned":
        pin(at.workspace, "shop", "old", keep=True)
    elif reason == "served":
        assert entry.tell("shop", [old])
    elif reason == "current":
        at.workspace.set_current("shop", "train", old)
    else:
        at.released("one")
    gone = removed(at)
    if reason == "released":
        assert "bundles/old" in gone
        assert not {"field_vectors/shop@one", "semantics/shop-of-one", "adapters/shop-a-one"} & gone.keys()
    else:
        assert gone == {}
    entry.close()


def test_a_service_that_has_ended_keeps_nothing(at: MadeUp) -> None:
    two_champions(at)
    entry = Registration(at.workspace, follows=True)
    assert entry.tell("shop", [at.workspace.artifact("bundles", "old")])
    assert [one.follows for one in running_services(at.workspace)] == [True]
    assert removed(at) == {}
    entry.close()
    assert running_services(at.workspace) == []
    assert "bundles/old" in removed(at)


def test_a_look_at_running_services_takes_no_entry_away_that_is_being_made(
    at: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command looks between the making of a service's file and its lock: the service has not ended."""
    lock = fcntl.flock

    def looked_at(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_EX:
            running_services(at.workspace)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", looked_at)
    entry = Registration(at.workspace, follows=True)
    assert entry.tell("shop", [at.workspace.artifact("bundles", "old")])
    assert [one.pid for one in running_services(at.workspace)] == [os.getpid()]
    entry.close()
    assert list((at.workspace.root / "running").glob("[!.]*")) == []


def test_a_service_that_knows_the_workspace_by_another_path_keeps_its_bundle(at: MadeUp, tmp_path: Path) -> None:
    """A link, or a volume that another container mounts elsewhere."""
    two_champions(at)
    (tmp_path / "link").symlink_to(at.workspace.root)
    there = Workspace.at(tmp_path / "link")
    entry = Registration(there, follows=False)
    assert entry.tell("shop", [there.artifact("bundles", "old")])
    assert removed(at) == {}
    with pytest.raises(InputError, match="bundles/old is in use by the service"):
        remove(at.workspace, ["bundles/old"], force=True)
    entry.close()
    assert "bundles/old" in removed(at)


def test_a_service_whose_entry_cannot_be_read_stops_the_collection(at: MadeUp) -> None:
    two_champions(at)
    entry = Registration(at.workspace, follows=True)
    entry.tell("shop", [])
    (file,) = (at.workspace.root / "running").glob("*.json")
    file.write_text("{")
    with pytest.raises(StepError, match=r"a service is running whose entry .* cannot be read"):
        remove_artifacts(at.workspace, keep=0)
    entry.close()


def test_of_a_damaged_artifact_nobody_knows_what_it_needs(at: MadeUp) -> None:
    two_champions(at)
    (at.workspace.artifact("bundles", "new") / "manifest.json").write_text("{")
    gone = removed(at)
    assert {"bundles/old", "field_vectors/shop@one"} <= gone.keys()
    assert "training_sets/shop-t-one" not in gone, "its manifest would say that it is another one's"
    (at.workspace.artifact("bundles", "new") / "bundle.json").write_text("{")
    gone = removed(at)
    assert not any(what.startswith(("training_sets/", "field_vectors/", "value_vectors/")) for what in gone)
    (at.workspace.root / "adapters" / "shop-a-one" / "manifest.json").write_text("{")
    assert kept(at)["adapters/shop-a-one"] == "its manifest.json cannot be read: what needs it is not known"


def test_the_newest_evaluations_are_kept(at: MadeUp) -> None:
    for number in range(4):
        at.artifact("evaluations", f"chronological-{number}")
    assert list(removed(at, keep=3)) == ["evaluations/shop-chronological-0"]


def test_what_belongs_to_no_dataset_of_the_workspace_is_left_alone(at: MadeUp) -> None:
    MadeUp(at.workspace.root, "other").artifact("adapters", "x")
    shutil.rmtree(at.workspace.dataset("other"))
    assert kept(at)["adapters/other-x"] == "of no dataset of this workspace"


def test_drafts_of_dead_processes_are_listed(at: MadeUp) -> None:
    left = at.workspace.root / "bundles" / ".x.0a1b2c3d.draft"
    left.mkdir(parents=True)
    assert plan_garbage(at.workspace).drafts == (left,)


class Histories(RuleBasedStateMachine):
    """People train, promote, go back, pin, serve and collect in any order. The model knows only what they did."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="histories-"))
        self.at = MadeUp(self.folder / "ws")
        self.made: dict[str, tuple[str, str, str | None]] = {}  # bundle -> training set, version, values
        self.versions: list[str] = []
        self.values: list[str] = []
        self.stack: list[str] = []
        self.candidates: set[str] = set()
        self.pinned: set[str] = set()
        self.services: list[tuple[Registration, set[str]]] = []
        self.count = 0
        self.encode()

    def _next(self) -> int:
        self.count += 1
        return self.count

    @rule()
    def encode(self) -> None:
        version = f"v{self._next()}"
        self.at.encoded(version, adapter=f"a-{version}")
        self.versions.append(version)

    @rule()
    def encode_values(self) -> None:
        version = f"w{self._next()}"
        self.at.encoded(version, adapter=f"a-{version}", values=True)
        self.values.append(version)

    @rule(new_rows=st.booleans(), with_values=st.booleans(), current=st.booleans())
    def train(self, new_rows: bool, with_values: bool, current: bool) -> None:
        name = f"m{self._next()}"
        training_set = f"t{self.count}" if new_rows or not self.made else next(reversed(self.made.values()))[0]
        version = self.versions[-1]
        if not (self.at.workspace.semantics_table("field_semantics") / f"shop@{version}.parquet").exists():
            self.encode()
            version = self.versions[-1]
        values = self.values[-1] if with_values and self.values else None
        if values and not list(self.at.workspace.semantics_table("value_semantics").glob(f"shop@{values}@*")):
            values = None
        folder = self.at.bundle(name, training_set=training_set, version=version, values=values)
        self.made[name] = training_set, version, values
        self.candidates.add(name)
        if current:
            self.at.workspace.set_current("shop", "train", folder)

    def _there(self) -> list[str]:
        return [name for name in self.made if (self.at.workspace.root / "bundles" / name).is_dir()]

    @precondition(lambda self: self._there())
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._there()))
        promote(self.at.workspace, "shop", self.at.workspace.artifact("bundles", name))
        if not self.stack or self.stack[-1] != name:
            self.stack.append(name)
            self.candidates.clear()

    @precondition(lambda self: len(self.stack) > 1)
    @rule()
    def rollback(self) -> None:
        if self.stack[-2] in self._there():
            assert rollback(self.at.workspace, "shop").champion == self.stack[-2]
            self.stack.pop()

    @precondition(lambda self: len(self.stack) == 1)
    @rule()
    def rollback_to_nothing(self) -> None:
        with pytest.raises(NotReadyError):
            rollback(self.at.workspace, "shop")

    @precondition(lambda self: self._there())
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._there()))
        pin(self.at.workspace, "shop", name, keep=name not in self.pinned)
        self.pinned ^= {name}

    @precondition(lambda self: self._there())
    @rule(data=st.data())
    def serve(self, data: st.DataObject) -> None:
        """Some services score with a second bundle beside the answers."""
        names = data.draw(st.sets(st.sampled_from(self._there()), min_size=1, max_size=2))
        entry = Registration(self.at.workspace, follows=False)
        assert entry.tell("shop", [self.at.workspace.artifact("bundles", name) for name in names])
        self.services.append((entry, names))

    @precondition(lambda self: self.services)
    @rule()
    def stop(self) -> None:
        self.services.pop(0)[0].close()

    @rule(keep=st.integers(0, 2))
    def collect(self, keep: int) -> None:
        plan = remove_artifacts(self.at.workspace, keep=keep)
        assert plan_garbage(self.at.workspace, keep=keep).removed == (), "one collection is enough"
        used = self.used()
        retired = [name for name in self._there() if name not in used]
        current = self.at.workspace.current("shop").get("train")
        others = [name for name in retired if current is None or name != current.name]
        assert len(others) <= keep, "no more than so many that nobody uses"
        assert not {one.what for one in plan.removed} & {f"bundles/{name}" for name in used}

    def used(self) -> set[str]:
        return {
            *self.stack[-1:],
            *self.candidates,
            *self.pinned,
            *(name for _, names in self.services for name in names),
        }

    @invariant()
    def what_is_used_is_there_and_all_that_it_needs(self) -> None:
        if not hasattr(self, "at"):
            return
        root = self.at.workspace.root
        semantics = root / "offline" / "semantics"
        for name in self.used():
            training_set, version, values = self.made[name]
            needed = [
                root / "bundles" / name / "bundle.json", root / "training_sets" / f"shop-{training_set}",
                semantics / "field_semantics" / f"shop@{version}.parquet", root / "semantics" / f"shop-of-{version}",
                root / "adapters" / f"shop-a-{version}",
            ]  # fmt: skip
            if values:
                needed += [
                    semantics / "value_semantics" / f"shop@{values}@0.parquet",
                    root / "value_semantics" / f"shop-of-{values}", root / "adapters" / f"shop-a-{values}",
                ]  # fmt: skip
            assert [str(path) for path in needed if not path.exists()] == [], f"{name} lacks it"

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            for entry, _ in self.services:
                entry.close()
            shutil.rmtree(self.folder)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
