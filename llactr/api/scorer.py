"""Scores rows of any library with a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.ctr.bundle import Bundle
from llactr.ctr.scoring import RowScorer
from llactr.datasets.rows import request_columns, rows_of_objects, whole_columns, whole_table
from llactr.errors import DataError
from llactr.spec import DatasetSpec

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]"
"""An Arrow table, a data frame, or a sequence of mappings."""

__all__ = ["Rows", "Scorer", "as_table"]


class Scorer:
    """Click probabilities of rows by a bundle.

    Made by `Scorer.load` it is given all features of a row; made by `OpenWorkspace.scorer` it is given join keys and
    context, and reads the rest in the online store. It may be used from several threads.

    >>> import llactr
    >>> scorer = llactr.open("shop").scorer()
    >>> scorer.columns
    ('dish', 'person', 'device')
    """

    def __init__(self, source: RowScorer | Bundle) -> None:
        self._source = source

    @classmethod
    def load(cls, bundle: str | Path) -> Scorer:
        """A scorer that is given all features of a row, from a bundle's folder; no store is needed.

        A value that training never saw is out of vocabulary; with a workspace (`OpenWorkspace.scorer`) its text places
        it.

        Raises:
            BundleError: the folder holds no bundle, or a damaged one.

        >>> import llactr
        >>> bundle = llactr.open("shop").train({"backbone": "fm", "training": {"max_epochs": 3, "min_steps": 0,
        ...                                                                  "batch_size": 128}}).folder
        >>> llactr.Scorer.load(bundle).columns
        ('person', 'job', 'age', 'dish', 'tags', 'device', 'event_timestamp')
        """
        return cls(Bundle.load(Path(bundle)))

    @property
    def bundle(self) -> Bundle:
        """The bundle: its spec, vocabularies, model, pinned field vectors and metrics."""
        return self._source if isinstance(self._source, Bundle) else self._source.bundle

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row needs; `event_timestamp` may be given besides, it is now where it is not."""
        if isinstance(self._source, Bundle):
            return whole_columns(self._source.spec)
        return request_columns(self._source.spec)

    def score(self, rows: Rows) -> NDArray[np.float32]:
        """Click probabilities (N,) float32, in the order of the rows.

        Args:
            rows: an Arrow table, a data frame, or a sequence of mappings. Where features come from a store, a column
                more than `columns` is refused.

        Raises:
            DataError: a column is missing, or has values that cannot be read.
            StoreError: the online store does not answer.

        >>> import llactr
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"person": ["p3", "p7"], "dish": ["d4", "d4"], "device": ["phone", "desk"]})
        >>> llactr.open("shop").scorer().score(frame).dtype
        dtype('float32')
        """
        whole = isinstance(self._source, Bundle)
        table = as_table(rows, self.bundle.spec, whole=whole)
        if isinstance(self._source, Bundle):
            return self._source.score(whole_table(table, self._source.spec))
        return np.asarray(self._source.score(table).scores, np.float32)


def as_table(rows: Rows, spec: DatasetSpec, *, whole: bool) -> pa.Table:
    """Rows of any library as an Arrow table; `whole` rows hold all fields, others what `request_table` takes.

    Raises:
        DataError: they are none, or a value cannot be read.
    """
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        return rows_of_objects(spec, list(rows), "the list", whole=whole)
    try:
        return pa.Table.from_pandas(rows, preserve_index=False)
    except (AttributeError, TypeError, pa.ArrowException):
        kind = type(rows).__name__
        raise DataError(f"the rows ({kind}) are no Arrow table, data frame or list of mappings: give one") from None
