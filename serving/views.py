"""What of the feature store the service reads: per owner a view, its join key, its features, in the names of Feast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llactr.spec import DatasetSpec
from llactr.store.names import PhysicalNames
from llactr.store.tables import FIELD_SEMANTICS, SEMANTICS_RELEASE

__all__ = ["Row", "ViewRead", "entity_views", "presence_key"]

Row = tuple[bytes | None, ...] | None
"""The stored values of one entity as serialized Feast values, in the order of the view's features; None: unknown."""


@dataclass(frozen=True)
class ViewRead:
    """How one view is read.

    Attributes:
        owner: whose view it is.
        view: its name.
        join_key: the entity's key, as Feast knows it.
        features: the features wanted, as Feast knows them.
        fields: the spec's names of these features.
    """

    owner: Literal["user", "item"]
    view: str
    join_key: str
    features: tuple[str, ...]
    fields: tuple[str, ...]


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


def presence_key(spec: DatasetSpec, semantics_version: str | None) -> tuple[str, dict[str, str]]:
    """A view and key whose row must be online for scores to be right: it vanishes when the store was emptied.

    The first field's vector of the bundle's version, or the dataset's release for a bundle without version.
    """
    if semantics_version is None:
        return SEMANTICS_RELEASE, {"dataset": spec.name}
    return FIELD_SEMANTICS, {
        "dataset": spec.name,
        "field": spec.field_names[0],
        "semantics_version": semantics_version,
    }
