"""The texts of values: what a language model reads of a film's title, or of a film by its title, year and genres.

The text of a value is `field description: value`. A field that reads a join key has no words of its own; its text is
made of other fields of the same entity, as the spec's `value_text` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from llactr.errors import DataError
from llactr.spec import CategoricalField, DatasetSpec, MultiValuedField

__all__ = ["entity_texts", "value_texts"]


def value_texts(spec: DatasetSpec, events: pa.Table, entities: Mapping[str, pa.Table]) -> dict[str, dict[str, str]]:
    """The texts of all values of the spec's text fields: field -> value -> text, values sorted.

    Args:
        spec: says which fields have texts, and of what.
        events: raw events, read for context fields and for entities without a table.
        entities: owner -> raw rows of its table; of several rows of one key, the last one counts.

    Raises:
        DataError: a column is missing.
    """
    return {field.name: _field_texts(spec, field, events, entities) for field in spec.text_fields}


def entity_texts(field: CategoricalField | MultiValuedField, spec: DatasetSpec, table: pa.Table) -> dict[str, str]:
    """Key -> text of a field whose text is made of other fields of its entity; keys without any words are left out."""
    assert not isinstance(field.value_text, bool)
    assert field.owner != "context"
    key = spec.entities[field.owner].join_key
    columns = [[_words(spec, name, value) for value in _column(table, name).to_pylist()] for name in field.value_text]
    keys = _column(table, key).to_pylist()
    texts = {
        value: f"{field.description}: {', '.join(word for word in words if word)}"
        for value, *words in zip(keys, *columns, strict=True)
        if value is not None and any(words)
    }
    return dict(sorted(texts.items()))


def _words(spec: DatasetSpec, name: str, value: object) -> str:
    """A value as words; those of a multi-valued field separated by spaces."""
    if value is None:
        return ""
    field = spec.field(name)
    if isinstance(field, MultiValuedField):
        return " ".join(part.strip() for part in str(value).split(field.separator) if part.strip())
    return f"{value:g}" if isinstance(value, float) else str(value).strip()


def _field_texts(
    spec: DatasetSpec,
    field: CategoricalField | MultiValuedField,
    events: pa.Table,
    entities: Mapping[str, pa.Table],
) -> dict[str, str]:
    of_events = field.owner == "context" or field.feature is not None
    table = events if of_events else entities.get(field.owner, events)
    if not isinstance(field.value_text, bool):
        return entity_texts(field, spec, table)
    key = None if of_events else spec.entities[field.owner].join_key
    column = _column(table, key if key == field.column else field.name)
    values = pc.unique(column.drop_null())
    if isinstance(field, MultiValuedField):
        parts = pc.list_flatten(pc.split_pattern(values, field.separator))
        values = pc.unique(pc.utf8_trim_whitespace(parts))
    distinct = sorted(value for value in values.to_pylist() if value.strip())
    return {value: f"{field.description}: {value}" for value in distinct}


def _column(table: pa.Table, name: str | None) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(f"the table has no column {name!r}, it has {table.column_names}: run 'llactr ingest' again")
    return table[name]
