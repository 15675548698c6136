"""Field vectors: the K unit vectors of a dataset's fields, never without their names and version.

Legend: K fields, L semantic dim.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from llactr.errors import DataError
from llactr.manifest import file_hash
from llactr.semantics.encoders.base import Encoder
from llactr.semantics.version import semantics_version
from llactr.spec import DatasetSpec

__all__ = ["FieldVectors", "encode_fields"]

_VECTORS, _META = "field_vectors.safetensors", "field_vectors.json"
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class FieldVectors:
    """The vectors of one semantics version of one dataset.

    Attributes:
        dataset: the spec's name.
        version: the semantics version.
        encoder: the encoder's name, for people.
        fields: K names, in the spec's order.
        descriptions: K descriptions.
        vectors: (K, L) float32, rows of length 1.
    """

    dataset: str
    version: str
    encoder: str
    fields: tuple[str, ...]
    descriptions: tuple[str, ...]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        again = "run 'llactr encode' again"
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise DataError(
                f"field vectors are {self.vectors.dtype} of shape {self.vectors.shape}, "
                f"expected float32 of shape (K, L): {again}"
            )
        if not len(self.fields) == len(self.descriptions) == len(self.vectors):
            raise DataError(
                f"{len(self.vectors)} field vectors came with {len(self.fields)} names and "
                f"{len(self.descriptions)} descriptions: {again}"
            )
        norms = np.linalg.norm(self.vectors, axis=1)
        if not np.all(np.abs(norms - 1) < _UNIT_TOLERANCE):  # also catches NaN
            worst = int(np.argmax(np.nan_to_num(np.abs(norms - 1), nan=np.inf)))
            raise DataError(
                f"the vector of field {self.fields[worst]!r} has length {norms[worst]:.4g}, expected 1: {again}"
            )

    @property
    def dim(self) -> int:
        """L, the length of a vector."""
        return int(self.vectors.shape[1])

    def select(self, fields: Sequence[str]) -> FieldVectors:
        """The same version with these fields, in this order.

        Raises:
            DataError: one of them has no vector.
        """
        place = {field: row for row, field in enumerate(self.fields)}
        missing = [field for field in fields if field not in place]
        if missing:
            raise DataError(
                f"semantics version {self.version} of {self.dataset!r} has no vector for field {missing[0]!r}: "
                "run 'llactr encode'"
            )
        rows = [place[field] for field in fields]
        return replace(
            self,
            fields=tuple(fields),
            descriptions=tuple(self.descriptions[row] for row in rows),
            vectors=self.vectors[rows],
        )

    def save(self, folder: Path) -> None:
        """Writes the vectors as safetensors, and JSON with all the rest and the vectors' hash."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"vectors": np.ascontiguousarray(self.vectors)}, folder / _VECTORS)
        content = {
            "dataset": self.dataset,
            "version": self.version,
            "encoder": self.encoder,
            "fields": list(self.fields),
            "descriptions": list(self.descriptions),
            "vectors_sha256": file_hash(folder / _VECTORS),
        }
        (folder / _META).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FieldVectors:
        """Reads what `save` wrote.

        Raises:
            DataError: a file is missing or damaged, or the two do not belong together.
        """
        try:
            content = json.loads((folder / _META).read_text(encoding="utf-8"))
            expected = content.pop("vectors_sha256")
            if file_hash(folder / _VECTORS) != expected:
                raise ValueError(f"{_VECTORS} is not the file that {_META} names")
            vectors = load_file(folder / _VECTORS)["vectors"]
            fields, descriptions = tuple(content.pop("fields")), tuple(content.pop("descriptions"))
            return cls(**content, fields=fields, descriptions=descriptions, vectors=vectors)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"the field vectors in {folder} cannot be read ({error}): run 'llactr encode' again"
            ) from None


def encode_fields(spec: DatasetSpec, encoder: Encoder) -> FieldVectors:
    """Encodes the K field descriptions of a spec; cost: K short texts, whatever the number of rows.

    All K texts go in one batch, so that the bits depend on nothing but the version and the machine.
    """
    descriptions = tuple(field.description for field in spec.fields)
    texts = [encoder.prompts.field_text(description) for description in descriptions]
    return FieldVectors(
        dataset=spec.name,
        version=semantics_version(encoder, spec.field_names, descriptions),
        encoder=encoder.name,
        fields=spec.field_names,
        descriptions=descriptions,
        vectors=encoder.encode(texts, batch_size=max(len(texts), 1)),
    )
