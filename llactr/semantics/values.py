"""Value vectors: the language model's vectors of the values of text fields, never without their keys and version.

Legend: N values of a field, L semantic dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.errors import DataError
from llactr.manifest import content_hash
from llactr.semantics.encoders.base import Encoder
from llactr.semantics.version import VERSION_DIGITS
from llactr.spec import DatasetSpec

__all__ = ["FieldValueVectors", "ValueVectors", "values_version"]


@dataclass(frozen=True)
class FieldValueVectors:
    """The vectors of one field's values.

    Attributes:
        values: N distinct values, as vocabularies hold them.
        vectors: (N, L) float32, rows of length 1.
    """

    values: tuple[str, ...]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.values):
            raise DataError(
                f"{len(self.values)} values came with vectors of shape {self.vectors.shape}: "
                "run 'llactr encode --values'"
            )


@dataclass(frozen=True)
class ValueVectors:
    """The vectors of one version of one dataset.

    Attributes:
        dataset: the spec's name.
        version: the values' semantics version; see `values_version`.
        encoder: the encoder's name, for people.
        fields: field -> its values' vectors, in the spec's order.
    """

    dataset: str
    version: str
    encoder: str
    fields: Mapping[str, FieldValueVectors]


def values_version(spec: DatasetSpec, encoder: Encoder) -> str:
    """16 hex digits: a content hash of the encoder and of how texts are made, not of the values.

    New values join the version that is there; another encoder, adapter, description or text rule makes a new one.
    """
    rules = [[field.name, field.description, field.value_text] for field in spec.text_fields]
    return content_hash(["values", encoder.fingerprint, encoder.dim, rules])[:VERSION_DIGITS]
