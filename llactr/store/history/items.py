"""What items are like, as the offline store has it: their categories, and the vectors of their texts.

Legend: I items, C categories, L semantic dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.datasets import table_files
from llactr.history import (
    HistoryDefinition,
    ItemForm,
    ItemSources,
    NewerItems,
    columns_of,
    key_hashes,
    multi_hot,
    placed,
)
from llactr.semantics import FieldValueVectors, ValueVectors
from llactr.spec import CategoricalField, DatasetSpec, MultiValuedField
from llactr.store.tables import read_files
from llactr.store.training import events_table
from llactr.store.value_vectors import find_value_vectors, read_value_vectors
from llactr.transforms import split_values
from llactr.workspace import Workspace

__all__ = ["newer_items", "read_item_sources"]

_Lists = Mapping[str, list[list[str]]]
"""Field -> the values of each item."""


def read_item_sources(
    workspace: Workspace, spec: DatasetSpec, *, values_version: str | None, vectors: ValueVectors | None = None
) -> ItemSources:
    """Raw vectors of all items that the offline tables hold.

    Of an item whose row changed in the course of time the first one counts, as corrected last, as it does for texts.

    Args:
        workspace: an applied workspace.
        spec: with entities user and item.
        values_version: the version of the values' vectors to read; None for no texts.
        vectors: value vectors to take instead of the store's; items that come later are then not placed.
    """
    table = _rows(workspace, spec)
    values = {field.name: _lists(field, table) for field in _fields(spec)}
    columns = {name: columns_of(lists) for name, lists in values.items()}
    held = _texts_held(spec, table)
    text, given = None, vectors
    if held and given is None and values_version is not None:
        wanted = _distinct(held)
        given = read_value_vectors(workspace, spec, values_version, wanted) if wanted else None
    if held and given is not None:
        known = {name: _by_value(one) for name, one in given.fields.items()}
        text = _mean_vectors(held, known, len(table))
    form = ItemForm(columns, None if text is None else values_version, 0 if text is None else text.shape[1])
    return _sources(spec, table, values, text, form, kept=vectors is None)


def newer_items(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, *, config: Path | None = None
) -> NewerItems:
    """What the offline store has of items that a definition was not fitted with: a function of its tables alone.

    Args:
        workspace: an applied workspace.
        spec: of the dataset.
        definition: of a bundle.
        config: see `open_store`.

    Raises:
        StoreError: Feast failed.
    """
    form = definition.form
    projected = any(one.projection is not None for one in definition.vectors.values())
    if form is None or not (projected or definition.categories):
        return NewerItems()
    table = _rows(workspace, spec)
    hashes = key_hashes(table[spec.entities["item"].join_key].to_pylist())
    fitted = [one.items for one in definition.vectors.values()]
    fitted += [one.items for one in definition.categories.values()]
    table = table.filter(pa.array(~np.isin(hashes, np.concatenate([np.empty(0, np.uint64), *fitted]))))
    if not table.num_rows:
        return NewerItems()
    values = {field.name: _lists(field, table) for field in _fields(spec)}
    text = None
    if form.values_version is not None:
        held = _texts_held(spec, table)
        known = find_value_vectors(workspace, spec, form.values_version, _distinct(held), config=config)
        text = _mean_vectors(held, known, len(table))
        text = np.zeros((len(table), form.text_dim), np.float32) if text is None else text
    return placed(definition, _sources(spec, table, values, text, form, kept=True))


def _sources(
    spec: DatasetSpec,
    table: pa.Table,
    values: _Lists,
    text: NDArray[np.float32] | None,
    form: ItemForm,
    *,
    kept: bool,
) -> ItemSources:
    """The sources of a table's items, by the columns of a form; categories are None where none has a column."""
    key = spec.entities["item"].join_key
    items = tuple(table[key].to_pylist())
    categories = None
    if any(form.columns.values()):
        nothing: list[list[str]] = [[] for _ in items]
        blocks = [multi_hot(values.get(name, nothing), columns) for name, columns in form.columns.items()]
        categories = np.hstack(blocks)
    own = {field.name: [[item] for item in items] for field in spec.owned_by("item") if field.column == key}
    return ItemSources(items, categories, text, {**values, **own}, form if kept else None)


def _rows(workspace: Workspace, spec: DatasetSpec) -> pa.Table:
    """One row an item, by key: those of its table, or the keys of the events where it has none."""
    key = spec.entities["item"].join_key
    if not table_files(workspace.offline_table(spec.name, "item")):
        return pa.table({key: events_table(workspace, spec)[key].unique().sort()})
    table = read_files(workspace.offline_table(spec.name, "item"), first_run="llactr ingest")
    table = table.sort_by([(EVENT_TIMESTAMP, "descending"), (CREATED_TIMESTAMP, "ascending")])
    last = {value: row for row, value in enumerate(table[key].to_pylist()) if value is not None}
    return table.take(pa.array([last[value] for value in sorted(last)], pa.int64()))


def _fields(spec: DatasetSpec) -> list[CategoricalField | MultiValuedField]:
    """The items' fields that hold values as text, but for the key's."""
    key = spec.entities["item"].join_key
    return [
        field
        for field in spec.owned_by("item")
        if isinstance(field, CategoricalField | MultiValuedField) and field.column != key
    ]


def _lists(field: CategoricalField | MultiValuedField, table: pa.Table) -> list[list[str]]:
    """The values that each item has of a field."""
    column = table[field.name].to_pylist()
    if isinstance(field, MultiValuedField):
        return [[] if value is None else split_values(value, field.separator) for value in column]
    return [[] if value is None else [str(value)] for value in column]


def _texts_held(spec: DatasetSpec, table: pa.Table) -> dict[str, list[list[str]]]:
    """Item field with texts -> the values of each item."""
    key = spec.entities["item"].join_key
    return {
        field.name: [[value] for value in table[key].to_pylist()] if field.column == key else _lists(field, table)
        for field in spec.text_fields
        if field.owner == "item" and field.feature is None
    }


def _by_value(vectors: FieldValueVectors) -> dict[str, NDArray[np.float32]]:
    return dict(zip(vectors.values, vectors.vectors, strict=True))


def _distinct(held: _Lists) -> dict[str, list[str]]:
    wanted = {name: sorted({value for some in lists for value in some}) for name, lists in held.items()}
    return {name: some for name, some in wanted.items() if some}


def _mean_vectors(
    held: _Lists, known: Mapping[str, Mapping[str, NDArray[np.float32]]], count: int
) -> NDArray[np.float32] | None:
    """(I, L) the mean of the vectors of an item's values, zeros where there is none; None where no item has one."""
    sums, counts = None, np.zeros(count)
    for name, lists in held.items():
        vectors = known.get(name, {})
        pairs = [(row, vectors[value]) for row, some in enumerate(lists) for value in some if value in vectors]
        if not pairs:
            continue
        rows = np.array([row for row, _ in pairs], np.int64)
        sums = np.zeros((count, len(pairs[0][1]))) if sums is None else sums
        np.add.at(sums, rows, np.stack([vector for _, vector in pairs]))
        counts += np.bincount(rows, minlength=count)
    return None if sums is None else (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
