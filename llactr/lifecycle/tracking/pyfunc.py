"""A bundle as a model of MLflow's generic kind: what `mlflow.pyfunc.load_model` and `mlflow models serve` call.

MLflow keeps the bundle's folder as it is and this module's name: no pickle, and no code that travels with the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.ctr.bundle import Bundle
from llactr.datasets.rows import whole_table
from llactr.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ServedBundle"]


class ServedBundle:
    """Scores whole rows: every field's column, and the history's numbers by name where the model reads history."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> NDArray[np.float32]:
        """Click probabilities (N,) float32 of N rows.

        Args:
            rows: a column a field; `event_timestamp` is now where it is not given.
            params: of MLflow; there are none.

        Raises:
            DataError: a column is missing, or has values that cannot be read.
        """
        try:
            table = pa.Table.from_pandas(rows, preserve_index=False)
        except pa.ArrowException as error:
            raise DataError(f"the rows have a column of mixed kinds: {str(error).splitlines()[0]}") from None
        return self.bundle.score(whole_table(table, self.bundle.spec), self._history(rows))

    def _history(self, rows: pd.DataFrame) -> NDArray[np.float32] | None:
        if self.bundle.history is None:
            return None
        names = list(self.bundle.history.spec.field_names)
        missing = [name for name in names if name not in rows.columns]
        if missing:
            raise DataError(f"the model reads history and the rows have no {missing[0]!r}: give {', '.join(names)}")
        return np.ascontiguousarray(rows[names].to_numpy(np.float32, na_value=np.nan))


def _load_pyfunc(data_path: str) -> ServedBundle:
    """What MLflow calls with the folder that it kept.

    Raises:
        BundleError: it holds no bundle, or a damaged one.
    """
    return ServedBundle(Bundle.load(Path(data_path)))
