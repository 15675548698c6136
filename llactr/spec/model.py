"""The model of a dataset spec: all of it, and what in it must go together."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, model_validator
from pydantic import Field as Setting

from llactr.columns import RESERVED
from llactr.spec.fields import (
    CategoricalField,
    Field,
    MultiValuedField,
    NumericField,
    Owner,
    SpecModel,
    TextField,
    TimestampPartField,
)
from llactr.spec.history import HistorySpec, WindowField
from llactr.spec.parts import EntitySpec, FeastSpec, LabelRule, SourceSpec, SplitSpec, TimestampSpec

__all__ = ["DatasetSpec"]

_TABLES = ("user", "item")
"""Entities that may have a table of the spec's own."""
_OWNER = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TAKEN_OWNERS = (
    "any cold compare construct context copy dict event events features ids items json label outcome pair repository "
    "return_ids return_features row rows schema scores served store timestamp top_k validate value"
)
"""Words that requests and answers have already."""


def _usable_owner(name: str) -> str:
    if not _OWNER.fullmatch(name) or name in _TAKEN_OWNERS.split() or name.startswith("model_"):
        raise ValueError(
            f"{name!r} cannot be the name of an entity: use lower-case letters, digits and '_', at most 40, and no "
            "word that requests have already, such as context or rows"
        )
    return name


class DatasetSpec(SpecModel):
    """A dataset: sources, label rule, event timestamp, entities and fields. Everything else follows from it."""

    name: str = Setting(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    description: str = ""
    recipe: str | None = None
    sources: dict[str, SourceSpec]
    events: str
    timestamp: TimestampSpec
    label: LabelRule
    entities: dict[Annotated[str, AfterValidator(_usable_owner)], EntitySpec]
    fields: tuple[Field, ...] = Setting(min_length=2)
    split: SplitSpec = SplitSpec()
    history: HistorySpec | None = None
    feast: FeastSpec | None = None

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the K fields, in the spec's order: the order of ids, embeddings and vectors everywhere."""
        return tuple(field.name for field in self.fields)

    @property
    def identifier(self) -> str:
        """The dataset's name as an identifier: what Feast object names begin with."""
        return re.sub(r"[^a-z0-9]", "_", self.name)

    def field(self, name: str) -> CategoricalField | NumericField | TimestampPartField | MultiValuedField:
        """The field of that name; KeyError when there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def text_fields(self) -> tuple[CategoricalField | MultiValuedField, ...]:
        """The fields whose values have texts, in the spec's order."""
        return tuple(f for f in self.fields if isinstance(f, CategoricalField | MultiValuedField) and f.value_text)

    @property
    def past(self) -> HistorySpec | None:
        """What arms with history read: `history`, or its defaults where the spec has none; None without users or items.

        A default field that has the name of one of the spec's gets an ending.
        """
        if self.history is not None or not {"user", "item"} <= set(self.entities):
            return self.history
        section, taken = HistorySpec(), _taken_names(self)
        fields = tuple(
            field.model_copy(update={"name": f"{field.name}_before"}) if field.name in taken else field
            for field in section.fields
        )
        return section.model_copy(update={"fields": fields})

    def owned_by(
        self, owner: Owner
    ) -> tuple[CategoricalField | NumericField | TimestampPartField | MultiValuedField, ...]:
        """The fields of an entity, or of the request's context, without those of your own Feast repository."""
        return tuple(field for field in self.fields if field.owner == owner and field.feature is None)

    @property
    def repository_fields(self) -> tuple[Field, ...]:
        """The fields that are features of your own Feast repository, in the spec's order."""
        return tuple(field for field in self.fields if field.feature is not None)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DatasetSpec:
        _check_agreement(self)
        return self


def _check_agreement(spec: DatasetSpec) -> None:
    """Raises ValueError for what in a spec does not go together."""
    _check_owners(spec)
    _check_names(spec)
    for role, source in [("events", spec.events), *((o, e.source) for o, e in spec.entities.items())]:
        if source is not None and source not in spec.sources:
            raise ValueError(f"{role} reads source {source!r}, which is not among {sorted(spec.sources)}")
    _check_repository(spec)
    for field in spec.fields:
        if field.feature is not None:
            continue
        if field.owner == "context":
            if field.column == spec.label.column:
                raise ValueError(f"field {field.name!r} reads the label column {field.column!r}: it would leak")
            continue
        entity = spec.entities[field.owner]
        if entity.source is None and field.column != entity.join_key:
            raise ValueError(
                f"field {field.name!r} belongs to {field.owner!r}, which has no source: only its join key can be read"
            )
    _check_value_texts(spec)
    _check_history(spec)


def _check_owners(spec: DatasetSpec) -> None:
    """A field belongs to the request or to an entity that there is."""
    for field in spec.fields:
        if field.owner in spec.entities or field.owner == "context":
            continue
        if field.owner in _TABLES:
            raise ValueError(f"field {field.name!r} belongs to {field.owner!r}, which 'entities' does not have")
        known = ", ".join(["context", *spec.entities])
        raise ValueError(f"field {field.name!r}, 'owner' is {field.owner!r}: expected one of {known}")


def _check_repository(spec: DatasetSpec) -> None:
    """Only users and items have tables here; what belongs to the repository says so, and to whom."""
    for owner, entity in spec.entities.items():
        if owner not in _TABLES and entity.source is not None:
            raise ValueError(
                f"entity {owner!r} has a source, which only 'user' and 'item' can have: its features come from "
                "your own Feast repository, as 'feature' of a field"
            )
    if spec.repository_fields and spec.feast is None:
        raise ValueError(
            f"field {spec.repository_fields[0].name!r} is a feature of a Feast repository, and the spec names "
            "none: say 'feast: {repository: FOLDER}'"
        )
    keys = {entity.join_key.lower() for entity in spec.entities.values()}
    for field in spec.repository_fields:
        unknown = [owner for owner in field.keys.values() if owner not in spec.entities]
        if unknown:
            raise ValueError(
                f"field {field.name!r}, 'keys' names {unknown[0]!r}: expected one of the entities "
                f"{', '.join(spec.entities)}"
            )
        if field.name.lower() in keys:
            raise ValueError(f"field {field.name!r} has the name of a join key and is a feature: rename it")


def _check_history(spec: DatasetSpec) -> None:
    """History is of users and items, and its fields stand beside the others."""
    if spec.history is None:
        return
    missing = [owner for owner in ("user", "item") if owner not in spec.entities]
    if missing:
        raise ValueError(f"'history' needs entities 'user' and 'item', {missing[0]!r} is missing")
    taken = _taken_names(spec)
    for name in spec.history.field_names:
        if name.lower() in taken:
            raise ValueError(f"history field {name!r} has the name of another field or key: rename it")
    possible = [f.name for f in spec.owned_by("item") if isinstance(f, CategoricalField | MultiValuedField)]
    for field in spec.history.fields:
        if isinstance(field, WindowField) and field.category is not None and field.category not in possible:
            raise ValueError(
                f"history field {field.name!r} counts with {field.category!r}: expected a categorical or "
                f"multi_valued field of the item, {possible}"
            )


def _taken_names(spec: DatasetSpec) -> frozenset[str]:
    """Names that no field of history may have, in lower case."""
    keys = (entity.join_key for entity in spec.entities.values())
    return frozenset(name.lower() for name in (*spec.field_names, *keys)) | RESERVED


def _check_value_texts(spec: DatasetSpec) -> None:
    """A text made of other fields belongs to a field that reads the join key they hang on."""
    for field in spec.fields:
        if not isinstance(field, TextField) or isinstance(field.value_text, bool):
            continue
        entity = None if field.owner == "context" else spec.entities.get(field.owner)
        if entity is None or field.column != entity.join_key:
            raise ValueError(
                f"field {field.name!r} takes its value_text from other fields, which only a field that reads its "
                "entity's join key can: say true instead of a list"
            )
        sources = [other.name for other in spec.owned_by(field.owner) if other.column != entity.join_key]
        unknown = [name for name in field.value_text if name not in sources]
        if unknown or not field.value_text:
            raise ValueError(
                f"field {field.name!r} takes its value_text from {list(field.value_text)}: expected some of the "
                f"fields of the same entity, {sources}"
            )


def _check_names(spec: DatasetSpec) -> None:
    """Names are columns of one table, and SQL does not tell `Age` from `age`."""
    keys = {entity.join_key.lower(): (owner, entity.join_key) for owner, entity in spec.entities.items()}
    if len(keys) < len(spec.entities):
        key = next(k for k in keys if sum(e.join_key.lower() == k for e in spec.entities.values()) > 1)
        both = [owner for owner in spec.entities if spec.entities[owner].join_key.lower() == key]
        raise ValueError(f"{both[0]} and {both[1]} share the join key {key!r}: they must differ")
    seen: dict[str, str] = {}
    for field in spec.fields:
        lower = field.name.lower()
        if lower in seen:
            other = "is listed twice" if seen[lower] == field.name else f"differs from {seen[lower]!r} only in case"
            raise ValueError(f"field {field.name!r} {other}: field names are unique")
        seen[lower] = field.name
        owner, key = keys.get(lower, (field.owner, field.name))
        if (owner, key) != (field.owner, field.name) or (lower in keys and field.column != key):
            raise ValueError(
                f"field {field.name!r} has the name of {owner}'s join key {key!r} but is not it: rename it"
            )
    for name in [*spec.field_names, *(entity.join_key for entity in spec.entities.values())]:
        if name.lower() in RESERVED:
            raise ValueError(f"{name!r} is a reserved name: rename the field and keep 'source_column', or the key")
