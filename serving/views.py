"""What of the feature store the service reads: per owner a view, its join key, its features, in the names of Feast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llactr.columns import DATASET, FIELD, HISTORY_VERSION, SEMANTICS_VERSION, STATE, VALUE, VECTOR
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store.marks import MARK_KEY, MARKS
from llactr.store.names import PhysicalNames
from llactr.store.tables import FIELD_SEMANTICS, SEMANTICS_RELEASE, VALUE_SEMANTICS

__all__ = [
    "Row",
    "ViewRead",
    "entity_views",
    "history_views",
    "mark_view",
    "presence_key",
    "presence_view",
    "value_view",
]

Row = tuple[bytes | None, ...] | None
"""The stored values of one entity as serialized Feast values, in the order of the view's features; None: unknown."""


@dataclass(frozen=True)
class ViewRead:
    """How one view is read.

    Attributes:
        owner: whose view it is, an entity of the spec; `value` for the vectors of values, `store` for what tells that
            the store is whole.
        view: its name.
        join_key: the entity's key, as Feast knows it; of several join keys the one that varies.
        features: the features wanted, as Feast knows them.
        fields: the spec's names of these features; none for vectors.
        fixed: the other join keys and their values.
    """

    owner: str
    view: str
    join_key: str
    features: tuple[str, ...]
    fields: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()

    def entity_key(self, key: str) -> dict[str, str]:
        """All join keys of a row."""
        return {**dict(self.fixed), self.join_key: key}


def entity_views(spec: DatasetSpec) -> dict[str, ViewRead]:
    """The views of users and items that hold any features, by owner."""
    names = PhysicalNames(spec)
    views: dict[str, ViewRead] = {}
    for owner in spec.entities:
        fields = tuple(field.name for field in names.stored_fields(owner))
        if fields:
            features = tuple(names.features[field] for field in fields)
            views[owner] = ViewRead(owner, names.view(owner), names.join_key(owner), features, fields)
    return views


def history_views(spec: DatasetSpec, version: str) -> dict[EntityOwner, ViewRead]:
    """The views of the states of users' and items' history, of one version, by owner."""
    names = PhysicalNames(spec)
    fixed = ((HISTORY_VERSION, version),)
    return {
        owner: ViewRead(owner, names.history_view(owner), names.join_key(owner), (STATE,), fixed=fixed)
        for owner in ("user", "item")
    }


def value_view(spec: DatasetSpec, field: str, values_version: str) -> ViewRead:
    """The vectors of one field's values; the row's key is the value."""
    fixed = ((DATASET, spec.name), (FIELD, field), (SEMANTICS_VERSION, values_version))
    return ViewRead("value", VALUE_SEMANTICS, VALUE, (VECTOR,), fixed=fixed)


def mark_view(feature: Literal["content", "keys", "prints"]) -> ViewRead:
    """The marks of views (`content`), or pieces of their keys."""
    return ViewRead("store", MARKS, MARK_KEY, (feature,))


def presence_view(spec: DatasetSpec, semantics_version: str | None) -> tuple[ViewRead, str]:
    """The row of `presence_key`, as it is read."""
    view, key = presence_key(spec, semantics_version)
    *fixed, (last, value) = sorted(key.items())
    feature = "semantics_version" if view == SEMANTICS_RELEASE else "encoder"
    return ViewRead("store", view, last, (feature,), fixed=tuple(fixed)), value


def presence_key(spec: DatasetSpec, semantics_version: str | None) -> tuple[str, dict[str, str]]:
    """A view and key whose row must be online for the bundle to be served: that the store has its semantics version.

    The first field's vector of the bundle's version, or the dataset's release for a bundle without version.
    """
    if semantics_version is None:
        return SEMANTICS_RELEASE, {DATASET: spec.name}
    return FIELD_SEMANTICS, {
        DATASET: spec.name,
        FIELD: spec.field_names[0],
        SEMANTICS_VERSION: semantics_version,
    }
