"""The Feast objects of a workspace, made from the specs of its ingested datasets.

| object | join keys | holds |
|---|---|---|
| view `field_semantics` | dataset, field, semantics_version | the vector of a field, for every version written |
| view `value_semantics` | dataset, field, value, semantics_version | the vector of a value's text |
| view `semantics_release` | dataset | the version that is current from a moment on |
| view `<dataset>__user`, `<dataset>__item` | the entity's join key | the fields of users, of items |
| view `<dataset>__user_history`, `..item_history` | that, history_version | states of history, as bytes |
| service `<dataset>__ctr` | all of these | what one row of a training set, or one request, needs |
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

from feast import Entity, FeatureService, FeatureView, FileSource, ValueType
from feast import Field as Feature
from feast.data_format import ParquetFormat
from feast.types import Array, Bytes, FeastType, Float32, Float64, String, UnixTimestamp

from llactr.columns import (
    CREATED_TIMESTAMP,
    DATASET,
    DESCRIPTION,
    ENCODER,
    EVENT_TIMESTAMP,
    FIELD,
    HISTORY_VERSION,
    SEMANTICS_VERSION,
    STATE,
    TEXT,
    VALUE,
    VECTOR,
)
from llactr.datasets import table_files
from llactr.errors import InputError, NotReadyError, SpecError
from llactr.spec import DatasetSpec, EntityOwner, Field, NumericField, TimestampPartField, load_spec
from llactr.store.names import PhysicalNames
from llactr.store.repository.ours import MADE_BY, MADE_BY_US
from llactr.store.repository.place import repository_file
from llactr.store.tables import FIELD_SEMANTICS, SEMANTICS_RELEASE, VALUE_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["FeastObject", "dataset_definitions", "definitions", "load_specs", "semantics_definitions"]

FeastObject: TypeAlias = "Entity | FeatureView | FeatureService"

FOREVER = timedelta(days=200 * 365)
"""Features here never expire. Feast's own way to say so, a ttl of 0, makes a first `materialize-incremental` read the
last 52 weeks only, which leaves out all of an older data set without a word."""


def definitions(workspace: Workspace) -> list[FeastObject]:
    """All entities, views and services of a workspace, a pure function of its specs; nothing is written.

    Raises:
        NotReadyError: no dataset has been ingested.
        SpecError: two datasets, or two columns, have names that Feast or DuckDB cannot tell apart.
    """
    _check_path(workspace.root)
    specs = load_specs(workspace)
    if not specs:
        raise NotReadyError(
            f"no dataset has been ingested into the workspace {workspace.root}: run 'llactr ingest' first"
        )
    of_identifier: dict[str, str] = {}
    for spec in specs:
        other = of_identifier.setdefault(spec.identifier, spec.name)
        if other != spec.name:
            raise SpecError(
                f"datasets {other!r} and {spec.name!r} would both be called {spec.identifier!r} in Feast: rename one"
            )
    objects = semantics_definitions(workspace)
    release = next(o for o in objects if isinstance(o, FeatureView) and o.name == SEMANTICS_RELEASE)
    for spec in specs:
        objects += dataset_definitions(workspace, spec, release=release)
    if any(isinstance(o, FeatureView) and HISTORY_VERSION in {one.name for one in o.schema} for o in objects):
        objects.insert(0, _history_entity(workspace))
    for thing in objects:
        thing.tags[MADE_BY] = MADE_BY_US
    return objects


def _check_path(root: Path) -> None:
    if set("*?[") & set(str(root)) or any("=" in part for part in root.parts):
        raise InputError(
            f"the workspace path {root} holds one of * ? [ =, which DuckDB takes for patterns or partitions: rename it"
        )


def load_specs(workspace: Workspace) -> list[DatasetSpec]:
    """The resolved specs of a workspace's ingested datasets, by name."""
    return [load_spec(workspace.dataset(name) / "spec.yaml") for name in workspace.datasets()]


def semantics_definitions(workspace: Workspace) -> list[FeastObject]:
    """What all datasets share: field and value vectors by version, and releases."""
    entities = {
        DATASET: Entity(
            name=_entity_name(workspace, DATASET),
            join_keys=[DATASET],
            value_type=ValueType.STRING,
            description="A dataset, by its spec's name",
        ),
        FIELD: Entity(
            name=_entity_name(workspace, FIELD),
            join_keys=[FIELD],
            value_type=ValueType.STRING,
            description="A field, by its name in the spec",
        ),
        SEMANTICS_VERSION: Entity(
            name=_entity_name(workspace, SEMANTICS_VERSION),
            join_keys=[SEMANTICS_VERSION],
            value_type=ValueType.STRING,
            description="Content hash of encoder, adapter, prompt and descriptions",
        ),
    }
    vectors = FeatureView(
        name=FIELD_SEMANTICS,
        description="What the language model makes of a field's description; vectors of one version belong together",
        entities=list(entities.values()),
        ttl=FOREVER,
        schema=[
            *(Feature(name=name, dtype=String) for name in entities),
            Feature(name=VECTOR, dtype=Array(Float32), description="unit norm"),
            Feature(name=DESCRIPTION, dtype=String),
            Feature(name=ENCODER, dtype=String),
        ],
        source=_source(FIELD_SEMANTICS, workspace.semantics_table(FIELD_SEMANTICS)),
    )
    value = Entity(
        name=_entity_name(workspace, VALUE),
        join_keys=[VALUE],
        value_type=ValueType.STRING,
        description="A value of a field, as vocabularies hold it",
    )
    values = FeatureView(
        name=VALUE_SEMANTICS,
        description="What the language model makes of a value's text, such as a film's title, year and genres",
        entities=[entities[DATASET], entities[FIELD], value, entities[SEMANTICS_VERSION]],
        ttl=FOREVER,
        schema=[
            *(Feature(name=name, dtype=String) for name in (DATASET, FIELD, VALUE, SEMANTICS_VERSION)),
            Feature(name=VECTOR, dtype=Array(Float32), description="unit norm"),
            Feature(name=TEXT, dtype=String),
            Feature(name=ENCODER, dtype=String),
        ],
        source=_source(VALUE_SEMANTICS, workspace.semantics_table(VALUE_SEMANTICS)),
    )
    releases = FeatureView(
        name=SEMANTICS_RELEASE,
        description="Which semantics version is current for a dataset",
        entities=[entities[DATASET]],
        ttl=FOREVER,
        schema=[Feature(name=DATASET, dtype=String), Feature(name=SEMANTICS_VERSION, dtype=String)],
        source=_source(SEMANTICS_RELEASE, workspace.semantics_table(SEMANTICS_RELEASE)),
    )
    return [*entities.values(), value, vectors, values, releases]


def dataset_definitions(workspace: Workspace, spec: DatasetSpec, *, release: FeatureView) -> list[FeastObject]:
    """One dataset's entities, its views, and the service that joins them with the release."""
    names = PhysicalNames(spec)
    objects: list[FeastObject] = []
    views = []
    for owner, entity_spec in spec.entities.items():
        if owner not in ("user", "item"):
            continue  # its features, if any, are those of the user's own repository
        key = names.join_key(owner)
        entity = Entity(
            name=names.view(owner), join_keys=[key], value_type=ValueType.STRING, description=f"{owner} of {spec.name}"
        )
        objects.append(entity)
        history = workspace.offline_table(spec.name, f"{owner}_history")
        if table_files(history):  # a view over no file at all cannot be read
            objects.append(_history_view(workspace, spec, names, owner, entity=entity, table=history))
        fields = names.stored_fields(owner)
        if not fields:
            continue
        renamed = {
            field.name: names.features[field.name] for field in fields if names.features[field.name] != field.name
        }
        if key != entity_spec.join_key:
            renamed[entity_spec.join_key] = key
        view = FeatureView(
            name=names.view(owner),
            description=f"fields of {spec.name} that belong to the {owner}",
            entities=[entity],
            ttl=FOREVER,
            schema=[
                Feature(name=key, dtype=String),
                *(
                    Feature(
                        name=names.features[f.name],
                        dtype=_feature_type(f),
                        description=f.description,
                        tags={FIELD: f.name},
                    )
                    for f in fields
                ),
            ],
            source=_source(names.view(owner), workspace.offline_table(spec.name, owner), renamed),
            tags={DATASET: spec.name},
        )
        views.append(view)
        objects.append(view)
    service = FeatureService(
        name=names.service,
        features=[*views, release],
        description=f"what the CTR model reads of {spec.name}",
        tags={DATASET: spec.name},
    )
    return [*objects, service]


def _history_view(
    workspace: Workspace, spec: DatasetSpec, names: PhysicalNames, owner: EntityOwner, *, entity: Entity, table: Path
) -> FeatureView:
    key, stored = names.join_key(owner), spec.entities[owner].join_key
    return FeatureView(
        name=names.history_view(owner),
        description=f"what counts of the past of {spec.name}'s {owner}s from a moment on; see llactr.history",
        entities=[entity, _history_entity(workspace)],
        ttl=FOREVER,
        schema=[
            Feature(name=key, dtype=String),
            Feature(name=HISTORY_VERSION, dtype=String),
            Feature(name=STATE, dtype=Bytes),
        ],
        source=_source(names.history_view(owner), table, {stored: key} if key != stored else None),
        tags={DATASET: spec.name},
    )


def _entity_name(workspace: Workspace, key: str) -> str:
    """An entity is called as its join key, but not in a repository of the user's own: one of theirs may be."""
    return key if repository_file(workspace, chosen=False) is None else f"llactr_{key}"


def _history_entity(workspace: Workspace) -> Entity:
    return Entity(
        name=_entity_name(workspace, HISTORY_VERSION),
        join_keys=[HISTORY_VERSION],
        value_type=ValueType.STRING,
        description="Content hash of a history definition: states of two versions live side by side",
    )


def _source(name: str, directory: Path, field_mapping: dict[str, str] | None = None) -> FileSource:
    return FileSource(
        name=f"{name}__table",
        path=str(directory),
        file_format=ParquetFormat(),
        timestamp_field=EVENT_TIMESTAMP,
        created_timestamp_column=CREATED_TIMESTAMP,
        field_mapping=field_mapping or {},
        tags={MADE_BY: MADE_BY_US},
    )


def _feature_type(field: Field) -> FeastType:
    if isinstance(field, NumericField):
        return Float64
    return UnixTimestamp if isinstance(field, TimestampPartField) else String
