"""The one place where a spec's names become names that Feast, ibis and DuckDB can carry.

A field may be called "Watch time (min)" or "select"; a Feast feature may not hold ":" or "@", stock point-in-time joins
crash on names that end in `_y`, and a feature must not be named like a join key or a column of the join itself. Plain
names stay as they are (`age` is the feature `age`), all others become a readable slug with a hash of the name. The
offline tables keep the spec's names; `FileSource.field_mapping` leads from one to the other.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

from llactr.columns import (
    CREATED_TIMESTAMP,
    DATASET,
    EVENT_TIMESTAMP,
    FIELD,
    HISTORY_VERSION,
    LABEL,
    SEMANTICS_VERSION,
    SPLIT,
)
from llactr.errors import SpecError
from llactr.spec import CategoricalField, DatasetSpec, EntityOwner, Field, MultiValuedField

__all__ = ["ROW_ID", "PhysicalNames"]

ROW_ID = "llactr_row_id"
"""The column that carries a row's number through a point-in-time join."""

_PLAIN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TAKEN = frozenset(
    {
        ROW_ID, EVENT_TIMESTAMP, CREATED_TIMESTAMP, "event_expire_timestamp", "entity_row_id", "rn", LABEL,
        DATASET, FIELD, SEMANTICS_VERSION, HISTORY_VERSION, SPLIT,
    }
)  # fmt: skip


@dataclass(frozen=True)
class PhysicalNames:
    """Feast's names for one dataset's entities, views and features.

    Raises:
        SpecError: a join key is to be read as a number or a timestamp.
    """

    spec: DatasetSpec

    def __post_init__(self) -> None:
        for field in self.spec.fields:
            self._check(field)

    @property
    def service(self) -> str:
        """The feature service that holds all that the CTR model reads."""
        return f"{self.spec.identifier}__ctr"

    def view(self, owner: EntityOwner) -> str:
        """The feature view, and the entity, of a user or an item."""
        return f"{self.spec.identifier}__{owner}"

    def history_view(self, owner: EntityOwner) -> str:
        """The feature view of the states of users' or items' history."""
        return f"{self.view(owner)}_history"

    def join_key(self, owner: EntityOwner) -> str:
        """The entity's join key as Feast knows it."""
        return _physical(self.spec.entities[owner].join_key, _TAKEN)

    def stored_fields(self, owner: EntityOwner) -> tuple[Field, ...]:
        """The owner's fields that are columns of its table: all but those that read the join key itself."""
        entity = self.spec.entities.get(owner)
        if entity is None or entity.source is None:
            return ()
        return tuple(field for field in self.spec.owned_by(owner) if field.column != entity.join_key)

    @cached_property
    def features(self) -> dict[str, str]:
        """Field name -> feature name, for every stored field of users and items."""
        taken = _TAKEN | {self.join_key(owner) for owner in self.spec.entities}
        return {
            field.name: _physical(field.name, taken)
            for owner in self.spec.entities
            for field in self.stored_fields(owner)
        }

    def _check(self, field: Field) -> None:
        for owner, entity in self.spec.entities.items():
            reads_key = field.owner == owner and field.column == entity.join_key and field.feature is None
            if reads_key and not isinstance(field, CategoricalField | MultiValuedField):
                raise SpecError(
                    f"field {field.name!r} of dataset {self.spec.name!r} reads the join key {entity.join_key!r} as "
                    f"{field.kind}, and join keys are text: make it categorical"
                )


def _physical(name: str, taken: frozenset[str]) -> str:
    if _PLAIN.fullmatch(name) and len(name) <= 60 and not name.endswith("_y") and name not in taken:
        return name
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "_", ascii_name).strip("_")[:40].strip("_")
    if not slug or slug[0].isdigit():
        slug = f"field_{slug}".strip("_")
    return f"{slug}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
