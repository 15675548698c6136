"""A training set: ids and a version per row, vocabularies, and each version's field vectors once.

N rows, C id slots, V semantics versions, F fields, L semantic dim.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from llactr.columns import LABEL, SEMANTICS_VERSION
from llactr.ctr.training.data import CTRData, Split
from llactr.ctr.values.embedding import ValueTables
from llactr.ctr.values.unseen_rows import UnseenRows, find_unseen
from llactr.errors import DataError
from llactr.manifest import file_hash, is_sealed, sealed
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.transforms import SplitRanges, Transform, chronological_split

__all__ = ["TrainingSet"]

_ROWS = "rows.safetensors"
_FACTS = "training_set.json"


@dataclass(frozen=True)
class TrainingSet:
    """What a trainer reads.

    Attributes:
        data: ids (N, C) int32, labels (N,) float32, version codes (N,) int32, and the split.
        transform: fitted on the training rows.
        vectors: the V versions that rows refer to by position, oldest first.
        unseen: text field -> values out of vocabulary, and which rows hold them; see `llactr.ctr.values.unseen_rows`.
    """

    data: CTRData
    transform: Transform
    vectors: tuple[FieldVectors, ...]
    unseen: Mapping[str, UnseenRows] = dataclasses.field(default_factory=dict)

    @classmethod
    def build(
        cls,
        spec: DatasetSpec,
        rows: pa.Table,
        vectors_of: Callable[[str], FieldVectors],
        *,
        train_rows: NDArray[np.int64] | None = None,
    ) -> TrainingSet:
        """Splits rows in the order of time, fits the transform on the first part, and looks each version up once.

        Args:
            spec: the dataset's spec.
            rows: point-in-time joined, in event order, with `label` and `semantics_version`.
            vectors_of: semantics version -> its field vectors.
            train_rows: the training rows to use instead of all of the first part, for designs that hold some out.
        """
        split = Split.of(chronological_split(rows.num_rows, spec.split))
        if train_rows is not None:
            split = dataclasses.replace(split, train=train_rows)
        training = rows.slice(0, len(split.train)) if train_rows is None else rows.take(pa.array(train_rows))
        return cls.of(spec, rows, vectors_of, split=split, transform=Transform.fit(spec, training))

    @classmethod
    def of(
        cls,
        spec: DatasetSpec,
        rows: pa.Table,
        vectors_of: Callable[[str], FieldVectors],
        *,
        split: Split,
        transform: Transform,
    ) -> TrainingSet:
        """The training set of rows whose split and transform are known; otherwise as `build`."""
        versions = rows[SEMANTICS_VERSION].combine_chunks()
        if not pa.types.is_dictionary(versions.type):
            versions = versions.dictionary_encode()
        ids = transform.ids(rows)
        data = CTRData(
            ids=ids,
            label=rows[LABEL].to_numpy().astype(np.float32),
            version=versions.indices.to_numpy(zero_copy_only=False).astype(np.int32),
            split=split,
        )
        found = tuple(vectors_of(version) for version in versions.dictionary.to_pylist())
        unseen = find_unseen(transform, ids, rows, [field.name for field in spec.text_fields])
        return cls(data, transform, found, unseen)

    @property
    def current_vectors(self) -> FieldVectors:
        """The field vectors of the newest row: the version that a bundle is pinned to."""
        return self.vectors[int(self.data.version[-1])]

    def field_vectors(self) -> Tensor:
        """(V, F, L) float32.

        Raises:
            DataError: versions of different dimension cannot be trained on together.
        """
        dims = {vectors.version: vectors.vectors.shape[1] for vectors in self.vectors}
        if len(set(dims.values())) > 1:
            raise DataError(
                f"the training rows refer to field vectors of several dimensions {dims}: make one release for all rows "
                "with 'llactr encode', or use the same encoder"
            )
        return torch.from_numpy(np.stack([vectors.vectors for vectors in self.vectors]))

    def values_wanted(self) -> dict[str, list[str]]:
        """All values whose vectors a model with value vectors reads: text field -> values, unseen ones last."""
        return {name: [*self.transform.values(name), *unseen.values] for name, unseen in self.unseen.items()}

    def with_values(self, tables: ValueTables) -> CTRData:
        """The rows for a model that has these value vectors: unseen values lead to rows of their own."""
        ids = tables.ids(self.data.ids, self.unseen, self.transform.layout, training=self.data.split.train)
        return dataclasses.replace(self.data, ids=ids)

    def save(self, folder: Path) -> None:
        """Writes rows, vocabularies and vectors into a folder."""
        split = self.data.split
        tensors: dict[str, NDArray[Any]] = {
            "ids": self.data.ids,
            "label": self.data.label,
            "version": self.data.version,
        }
        for name, unseen in self.unseen.items():
            tensors |= {f"unseen.{name}.rows": unseen.rows, f"unseen.{name}.places": unseen.places}
        save_file(tensors, str(folder / _ROWS))
        self.transform.save(folder / "transform")
        for vectors in self.vectors:
            vectors.save(folder / "vectors" / vectors.version)
        facts = {
            "versions": [vectors.version for vectors in self.vectors],
            "split": [len(split.train), len(split.validation), len(split.test)],
            "unseen": {name: list(unseen.values) for name, unseen in self.unseen.items()},
            "files": {
                str(path.relative_to(folder)): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()
            },
        }
        (folder / _FACTS).write_text(json.dumps(sealed(facts), indent=2), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TrainingSet:
        """The training set that was saved in a folder; every file is compared with its hash.

        Raises:
            DataError: a file is missing, or not the one that was saved.
        """
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            for name, digest in facts.get("files", {}).items():
                if file_hash(folder / name) != digest:
                    raise ValueError(f"{name} is not the file that was saved")
            if not is_sealed(facts):
                raise ValueError(f"{_FACTS} is not the file that was saved")
            rows = load_file(folder / _ROWS)
            train, validation, test = facts["split"]
            ends = (train, train + validation, train + validation + test)
            ranges = SplitRanges(range(ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2]))
            data = CTRData(ids=rows["ids"], label=rows["label"], version=rows["version"], split=Split.of(ranges))
            vectors = tuple(FieldVectors.load(folder / "vectors" / version) for version in facts["versions"])
            unseen = {
                name: UnseenRows(tuple(values), rows[f"unseen.{name}.rows"], rows[f"unseen.{name}.places"])
                for name, values in facts.get("unseen", {}).items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise DataError(
                f"the training set {folder} is damaged ({type(error).__name__}: {error}): run 'llactr train --force'"
            ) from None
        return cls(data, Transform.load(folder / "transform"), vectors, unseen)
