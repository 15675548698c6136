from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from feast import Entity, FeatureService, FeatureView
from feast.types import Array, Float32, Float64, String, UnixTimestamp

from llactr import store
from llactr.errors import InputError, NotReadyError, SpecError
from llactr.workspace import Workspace
from tests.store.store_workspace import FIELDS, Offline, small, spec_of


def test_before_data_the_message_says_what_to_run(tmp_path: Path) -> None:
    for act in (store.definitions.definitions, store.apply):
        with pytest.raises(
            NotReadyError, match=rf"no dataset has been ingested into the workspace {tmp_path}.*'llactr ingest'"
        ):
            act(Workspace.at(tmp_path))
    with pytest.raises(NotReadyError, match=r"has no feature registry yet: run 'llactr ingest' first"):
        store.materialize(Workspace.at(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_objects_of_two_datasets(tmp_path: Path) -> None:
    small(tmp_path)
    Offline(Workspace.at(tmp_path), spec_of(FIELDS, name="other-set"))
    objects = {f"{type(o).__name__} {o.name}": o for o in store.definitions.definitions(Workspace.at(tmp_path))}
    views = ["other_set__item", "other_set__user", "small__item", "small__user"]
    shared = ["field_semantics", "semantics_release", "value_semantics"]
    assert sorted(objects) == sorted(
        [f"Entity {name}" for name in ["dataset", "field", "semantics_version", "value", *views]]
        + [f"FeatureView {name}" for name in [*views, *shared]]
        + ["FeatureService other_set__ctr", "FeatureService small__ctr"]
    )
    user = objects["FeatureView small__user"]
    assert isinstance(user, FeatureView)
    assert {f.name: f.dtype for f in user.schema} == {
        "user_id": String, "age": Float64, "occupation": String, "joined": UnixTimestamp,
    }  # fmt: skip
    assert next(f.description for f in user.schema if f.name == "age") == "age of the user"
    vectors = objects["FeatureView field_semantics"]
    assert {f.name: f.dtype for f in vectors.features} == {
        "vector": Array(Float32), "description": String, "encoder": String,
    }  # fmt: skip
    entity, service = objects["Entity small__user"], objects["FeatureService small__ctr"]
    assert isinstance(entity, Entity)
    assert entity.join_key == "user_id"
    assert isinstance(service, FeatureService)
    assert [p.name for p in service.feature_view_projections] == ["small__user", "small__item", "semantics_release"]


def test_an_entity_without_a_source_has_no_view(tmp_path: Path) -> None:
    fields = [f for f in FIELDS if f["owner"] != "item"]
    Offline(Workspace.at(tmp_path), spec_of(fields, item={"join_key": "item_id"}))
    assert store.apply(Workspace.at(tmp_path)) == [
        "field_semantics",
        "semantics_release",
        "small__user",
        "value_semantics",
    ]


def test_apply_again_changes_nothing_and_drops_what_is_gone(tmp_path: Path) -> None:
    offline = small(tmp_path)
    other = Offline(Workspace.at(tmp_path), spec_of(FIELDS, name="other-set"))
    names = [
        "field_semantics",
        "other_set__item",
        "other_set__user",
        "semantics_release",
        "small__item",
        "small__user",
        "value_semantics",
    ]
    assert store.apply(offline.workspace) == names
    assert store.apply(offline.workspace) == names
    (other.workspace.dataset("other-set") / "spec.yaml").unlink()
    assert store.apply(offline.workspace) == [n for n in names if not n.startswith("other")]
    feast_store = store.open_store(offline.workspace)
    assert sorted(v.name for v in feast_store.list_feature_views()) == [n for n in names if not n.startswith("other")]
    assert [s.name for s in feast_store.list_feature_services()] == ["small__ctr"]
    assert not any(e.name.startswith("other") for e in feast_store.list_entities())
    assert not any(s.name.startswith("other") for s in feast_store.list_data_sources())


def test_names_that_become_one_identifier_are_refused(tmp_path: Path) -> None:
    for name in ("a-b", "a_b"):
        Offline(Workspace.at(tmp_path), spec_of(FIELDS, name=name))
    with pytest.raises(SpecError, match=r"datasets 'a-b' and 'a_b' would both be called 'a_b' in Feast: rename one"):
        store.definitions.definitions(Workspace.at(tmp_path))


@pytest.mark.parametrize("folder", ["a[1]", "what?", "x*", "day=1"])
def test_paths_that_duckdb_would_expand_are_refused(tmp_path: Path, folder: str) -> None:
    with pytest.raises(InputError, match=r"holds one of \* \? \[ =.*rename it"):
        store.definitions.definitions(Workspace.at(tmp_path / folder))


def test_a_configuration_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    offline = small(tmp_path)
    with pytest.raises(InputError, match=r"configuration .*missing.yaml cannot be used \(FileNotFoundError"):
        store.open_store(offline.workspace, config=tmp_path / "missing.yaml")
    broken = tmp_path / "broken.yaml"
    content = yaml.safe_load((store.REPOSITORY / "feature_store.yaml").read_text())
    broken.write_text(json.dumps(content | {"project": "-no"}))
    with pytest.raises(InputError, match=r"broken.yaml cannot be used"):
        store.open_store(offline.workspace, config=broken)


def test_the_repository_keeps_the_promised_settings(tmp_path: Path) -> None:
    config = store.open_store(Workspace.at(tmp_path)).config
    assert (config.project, config.provider, config.entity_key_serialization_version) == ("llactr", "local", 3)
    assert config.materialization_config.online_write_batch_size == 10_000
    assert config.registry.cache_ttl_seconds < 10
    assert Path(config.online_store.path) == tmp_path / "feast" / "online.db"
    assert Path(config.registry.path) == tmp_path / "feast" / "registry.db"
    assert list(tmp_path.iterdir()) == []  # opening writes nothing
