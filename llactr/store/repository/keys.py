"""The keys of a view of the user's own: which entity of the spec each is, and its values in Feast's type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, ValueType
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.type_map import feast_value_type_to_pa, python_values_to_proto_values

from llactr.errors import SpecError
from llactr.spec import DatasetSpec, Field
from llactr.store.feast.messages import EntityKey, Value

__all__ = ["KeyColumn", "entity_keys", "key_columns", "typed_key"]

_TYPES = (ValueType.STRING, ValueType.INT64, ValueType.INT32)


@dataclass(frozen=True)
class KeyColumn:
    """One join key of a view.

    Attributes:
        name: as the view knows it.
        owner: the entity of the spec.
        column: the entity's join key, a column of rows.
        type: string or a whole number.
    """

    name: str
    owner: str
    column: str
    type: ValueType


def key_columns(
    spec: DatasetSpec, field: Field, view: FeatureView, *, mapped: dict[str, str] | None = None
) -> tuple[KeyColumn, ...]:
    """The keys by which a field's view is read, in the view's order; none for a view without entities.

    Args:
        spec: the dataset's spec.
        field: of the spec.
        view: the user's.
        mapped: the join-key map of the view's projection: the view's key -> what it is called there.

    Raises:
        SpecError: no entity of the spec is one of the keys, several are, or the key has a type that no key can have.
    """
    found = []
    for column in view.entity_columns:
        if column.name == DUMMY_ENTITY_ID:
            continue
        called = (mapped or {}).get(column.name, column.name)
        owner = _owner(spec, field, called, view.name)
        kind = column.dtype.to_value_type()
        if kind not in _TYPES:
            raise SpecError(
                f"field {field.name!r} is a feature of {view.name!r}, whose key {column.name!r} has type {kind.name}: "
                "keys can be STRING, INT64 or INT32"
            )
        found.append(KeyColumn(column.name, owner, spec.entities[owner].join_key, kind))
    return tuple(found)


def _owner(spec: DatasetSpec, field: Field, key: str, view: str) -> str:
    if key in field.keys:
        return field.keys[key]
    named = [o for o, entity in spec.entities.items() if (entity.repository_key or entity.join_key) == key]
    if field.owner in named:
        return str(field.owner)
    if len(named) == 1:
        return named[0]
    if named:
        raise SpecError(
            f"field {field.name!r}: the key {key!r} of the view {view!r} may be {' or '.join(named)}: say which by "
            f"'keys: {{{key}: {named[0]}}}'"
        )
    has = ", ".join(f"{o} ({entity.repository_key or entity.join_key})" for o, entity in spec.entities.items())
    raise SpecError(
        f"field {field.name!r} is a feature of the view {view!r}, which is read by {key!r}, and no entity of the spec "
        f"is it: they are {has or 'none'}; add one, or say its 'repository_key'"
    )


def typed_key(column: pa.ChunkedArray, key: KeyColumn) -> pa.Array:
    """A column of keys as text in the key's own type; null where the text is none of that type."""
    texts = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = feast_value_type_to_pa(key.type)
    if pa.types.is_string(kind):
        return texts.cast(pa.string())
    # Nineteen digits may still be too many; they are looked at one by one.
    whole = pc.match_substring_regex(texts, r"^-?[0-9]{1,18}$")
    usable = pc.if_else(whole, texts, pa.scalar(None, pa.string())).cast(pa.int64())
    if kind == pa.int32():
        fits = pc.and_(pc.greater_equal(usable, -(2**31)), pc.less(usable, 2**31))
        usable = pc.if_else(fits, usable, pa.scalar(None, pa.int64()))
    elif pc.any(pc.match_substring_regex(texts, r"^-?[0-9]{19}$")).as_py():
        usable = pa.array([_whole(text) for text in texts.to_pylist()], pa.int64())
    return usable.cast(kind)


def _whole(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None


def entity_keys(keys: Sequence[KeyColumn], columns: Sequence[Sequence[object]]) -> list[EntityKey]:
    """Feast's keys of some rows: one column of typed values per key; for a view without keys, the one that it has."""
    if not keys:
        return [EntityKey(join_keys=[DUMMY_ENTITY_ID], entity_values=[Value(string_val=DUMMY_ENTITY_VAL)])]
    values = [python_values_to_proto_values(list(c), key.type) for key, c in zip(keys, columns, strict=True)]
    names = [key.name for key in keys]
    return [EntityKey(join_keys=names, entity_values=row) for row in zip(*values, strict=True)]
