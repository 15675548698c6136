"""What items are like, as the offline store has it: their categories, and the vectors of their texts.

Legend: I items, C categories, L semantic dim.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.datasets import table_files
from llactr.history import ItemSources, category_vectors
from llactr.semantics import ValueVectors
from llactr.spec import CategoricalField, DatasetSpec, MultiValuedField
from llactr.store.tables import read_files
from llactr.store.training import events_table
from llactr.store.value_vectors import read_value_vectors
from llactr.transforms import split_values
from llactr.workspace import Workspace

__all__ = ["read_item_sources"]


def read_item_sources(
    workspace: Workspace, spec: DatasetSpec, *, values_version: str | None, vectors: ValueVectors | None = None
) -> ItemSources:
    """Raw vectors of all items that the offline tables hold.

    Of an item whose row changed in the course of time the first one counts, as corrected last, as it does for texts.

    Args:
        workspace: an applied workspace.
        spec: with entities user and item.
        values_version: the version of the values' vectors to read; None for no texts.
        vectors: value vectors to take instead of the store's.
    """
    key = spec.entities["item"].join_key
    table = _rows(workspace, spec)
    items = tuple(table[key].to_pylist())
    values = {field.name: _lists(field, table) for field in _fields(spec)}
    categories = _categories(list(values.values()))
    values |= {field.name: [[item] for item in items] for field in spec.owned_by("item") if field.column == key}
    texts = _texts(workspace, spec, table, values_version, vectors)
    return ItemSources(items, categories, texts, values)


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


def _categories(columns: list[list[list[str]]]) -> NDArray[np.float32] | None:
    found = category_vectors(columns) if columns else np.zeros((0, 0), np.float32)
    return found if found.any() else None


def _texts(
    workspace: Workspace, spec: DatasetSpec, table: pa.Table, version: str | None, vectors: ValueVectors | None
) -> NDArray[np.float32] | None:
    """(I, L) the mean of the vectors of an item's values that have texts, zeros where there is none."""
    key = spec.entities["item"].join_key
    held = {}
    for field in spec.text_fields:
        if field.owner == "item" and field.feature is None:
            own = [[value] for value in table[key].to_pylist()]
            held[field.name] = own if field.column == key else _lists(field, table)
    if not held or (version is None and vectors is None):
        return None
    if vectors is None:
        assert version is not None
        wanted = {name: sorted({value for some in lists for value in some}) for name, lists in held.items()}
        vectors = read_value_vectors(workspace, spec, version, {name: some for name, some in wanted.items() if some})
    sums, counts = None, np.zeros(len(table))
    for name, lists in held.items():
        if name not in vectors.fields:
            continue
        one = vectors.fields[name]
        place = {value: at for at, value in enumerate(one.values)}
        pairs = [(row, place[value]) for row, some in enumerate(lists) for value in some if value in place]
        if not pairs:
            continue
        rows, places = np.array(pairs, np.int64).T
        sums = np.zeros((len(table), one.vectors.shape[1])) if sums is None else sums
        np.add.at(sums, rows, one.vectors[places])
        counts += np.bincount(rows, minlength=len(table))
    return None if sums is None else (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
