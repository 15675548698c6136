"""Raw rows -> ids: the one implementation, for training tables and for the requests of an online service."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from llactr.errors import BundleError
from llactr.manifest import file_hash
from llactr.spec import DatasetSpec, Field
from llactr.transforms.layout import FIRST, OOV, PAD, FieldLayout
from llactr.transforms.raw import column_of, raw_column
from llactr.transforms.vocabulary import FieldVocabulary, fit_vocabulary, load_vocabulary

__all__ = ["Transform"]

_FILE = "transform.json"
_FORMAT = 1
_RESERVED_VALUES = ["<pad>", "<oov>", "<null>"]


@dataclass(frozen=True)
class Transform:
    """Vocabularies of a spec's fields, fitted once; what is not in them is out of vocabulary from then on.

    N rows, F fields, C slots.

    Attributes:
        vocabularies: one per field, in the spec's order.
        counts: per field (vocab_size,) int64, how often training rows hold each local id; PAD counts 0.
    """

    vocabularies: tuple[FieldVocabulary, ...]
    counts: tuple[NDArray[np.int64], ...] = field(compare=False)

    @classmethod
    def fit(cls, spec: DatasetSpec, table: pa.Table) -> Transform:
        """The transform of a raw table. Give it the training rows only: what else it sees has leaked.

        Cost: two passes over the table, one field at a time.

        Raises:
            DataError: a column is missing, has the wrong type, or holds nulls that the spec refuses.
        """
        vocabularies, counts = [], []
        for spec_field in spec.fields:
            column = column_of(table, raw_column(spec_field), f"field {spec_field.name!r}")
            vocabulary = fit_vocabulary(spec_field, column)
            seen = np.bincount(vocabulary.ids(column).ravel(), minlength=vocabulary.size).astype(np.int64)
            seen[PAD] = 0
            vocabularies.append(vocabulary)
            counts.append(seen)
        return cls(tuple(vocabularies), tuple(counts))

    def grown(self, table: pa.Table) -> Transform:
        """The transform with the values that later training rows bring; the ids of all others stay.

        Buckets of numbers stay as they are. A value that is new needs its field's `min_count` among these rows alone.

        Args:
            table: raw rows that were not counted before.

        Raises:
            DataError: as for `fit`.
        """
        vocabularies, counts = [], []
        for vocabulary, before in zip(self.vocabularies, self.counts, strict=True):
            column = column_of(table, raw_column(vocabulary.field), f"field {vocabulary.field.name!r}")
            grown = vocabulary.grown(column)
            seen = np.bincount(grown.ids(column).ravel(), minlength=grown.size).astype(np.int64)
            seen[PAD] = 0
            seen[: len(before)] += before
            vocabularies.append(grown)
            counts.append(seen)
        return Transform(tuple(vocabularies), tuple(counts))

    def rows_in(self, other: Transform) -> NDArray[np.int64]:
        """Where another transform of the same fields has what this one has, by value.

        Args:
            other: with the same fields, each of the same kind.

        Returns:
            (R,) for each row of the fused table of this layout the row of the other's; -1 for a value that it lacks.
            Reserved ids lead to their like; buckets of numbers to the one that holds their lower edge.
        """
        pieces = []
        for own, its, offset in zip(self.vocabularies, other.vocabularies, other.layout.offsets, strict=True):
            numbers = own.numbers_in(its)
            pieces.append(np.where(numbers < 0, -1, numbers + offset))
        return np.concatenate(pieces)

    @property
    def spec_fields(self) -> tuple[Field, ...]:
        """The fields, in the spec's order."""
        return tuple(vocabulary.field for vocabulary in self.vocabularies)

    @cached_property
    def layout(self) -> FieldLayout:
        """Sizes and slots of the fields."""
        return FieldLayout(
            names=tuple(f.name for f in self.spec_fields),
            vocab_sizes=tuple(v.size for v in self.vocabularies),
            slots=tuple(v.slots for v in self.vocabularies),
        )

    def ids(self, table: pa.Table) -> NDArray[np.int32]:
        """Local ids (N, C) int32 of raw rows, C-contiguous.

        Args:
            table: one column per field, by name, and `event_timestamp` for its parts; other columns are ignored.

        Raises:
            DataError: a column is missing, has the wrong type, or holds nulls that the spec refuses.
        """
        ids = np.empty((table.num_rows, self.layout.slot_count), np.int32)
        start = 0
        for vocabulary in self.vocabularies:
            column = column_of(table, raw_column(vocabulary.field), f"field {vocabulary.field.name!r}")
            ids[:, start : start + vocabulary.slots] = vocabulary.ids(column)
            start += vocabulary.slots
        return ids

    def out_of_vocabulary(self, ids: NDArray[np.int32]) -> dict[str, int]:
        """Field -> rows of ids (N, C) that hold a value of it that training never saw; fields of no such row left out.

        A null that the spec counts as out of vocabulary is one of them.
        """
        found, start = {}, 0
        for vocabulary in self.vocabularies:
            unknown = (ids[:, start : start + vocabulary.slots] == OOV).any(axis=1)
            found[vocabulary.field.name] = int(np.count_nonzero(unknown))
            start += vocabulary.slots
        return {name: rows for name, rows in found.items() if rows}

    def values(self, name: str) -> list[str]:
        """The values with ids FIRST, FIRST + 1, ... of a field, as text; KeyError when there is no such field."""
        for vocabulary in self.vocabularies:
            if vocabulary.field.name == name:
                return vocabulary.values
        raise KeyError(name)

    def known(self, name: str) -> frozenset[str]:
        """The values of a field that have ids of their own; made once per transform and field."""
        if name not in self._known:
            self._known[name] = frozenset(self.values(name))
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, frozenset[str]]:
        return {}

    def save(self, folder: Path) -> None:
        """Writes `transform.json` and one Parquet file per field (id, value, count) into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        entries: list[dict[str, Any]] = []
        for number, (vocabulary, counts) in enumerate(zip(self.vocabularies, self.counts, strict=True)):
            # Numbered, not named: a field's name may hold what a file system refuses.
            path = folder / f"vocabulary-{number:03d}.parquet"
            pq.write_table(_table(vocabulary, counts), path)
            config = vocabulary.field.model_dump(mode="json")
            entries.append({"file": path.name, "sha256": file_hash(path), "size": vocabulary.size, "field": config})
        content: dict[str, Any] = {"format": _FORMAT, "fields": entries}
        content["sha256"] = _digest(entries)
        (folder / _FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Transform:
        """The transform that was saved in a folder.

        Raises:
            BundleError: a file is missing or is not what was written.
        """
        entries = _read_entries(folder)
        vocabularies, counts = [], []
        for entry in entries:
            path = folder / str(entry["file"])
            try:
                if file_hash(path) != entry["sha256"]:
                    raise BundleError(_damaged(path, "it is not the file that was saved"))
                spec_field: Field = TypeAdapter(Field).validate_python(entry["field"])
                table = pq.ParquetFile(path).read()
                vocabulary = load_vocabulary(spec_field, table)
                count = table.column("count").to_numpy().astype(np.int64)
            except (OSError, KeyError, TypeError, ValidationError, pa.ArrowException) as error:
                raise BundleError(_damaged(path, str(error).splitlines()[0])) from None
            if not vocabulary.size == entry["size"] == len(count):
                raise BundleError(_damaged(path, f"it holds {len(count)} values, expected {entry['size']}"))
            vocabularies.append(vocabulary)
            counts.append(count)
        return cls(tuple(vocabularies), tuple(counts))


def _table(vocabulary: FieldVocabulary, counts: NDArray[np.int64]) -> pa.Table:
    values = pa.array(_RESERVED_VALUES[:FIRST] + vocabulary.values, pa.string())
    columns = {"id": pa.array(np.arange(vocabulary.size, dtype=np.int32)), "value": values, "count": pa.array(counts)}
    return pa.table({**columns, **vocabulary.extra_columns()})


def _read_entries(folder: Path) -> list[dict[str, Any]]:
    path = folder / _FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise BundleError(f"{path} has format {content['format']!r}, this version reads {_FORMAT}: train again")
        entries = content["fields"]
        if not entries or content["sha256"] != _digest(entries):
            raise BundleError(_damaged(path, "its content does not match its own digest"))
    except FileNotFoundError:
        raise BundleError(f"no {_FILE} in {folder}: this is not a bundle, or a part of it is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(_damaged(path, f"it cannot be read ({type(error).__name__}: {error})")) from None
    return list(entries)


def _digest(entries: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is damaged: {reason}; restore the bundle from a copy, or train again"
