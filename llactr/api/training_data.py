"""A dataset's point-in-time training set in the forms that other libraries take.

N rows, C id slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import pyarrow as pa

from llactr.columns import LABEL, SPLIT
from llactr.ctr.training.training_set import TrainingSet
from llactr.errors import InputError, StepError
from llactr.spec import DatasetSpec
from llactr.store import training_rows
from llactr.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor
    from torch.utils.data import Dataset

__all__ = ["SplitName", "TrainingData"]

SplitName = Literal["train", "validation", "test"]


class TrainingData:
    """The rows that a dataset's models are trained, validated and tested on: made by `OpenWorkspace.training_set`.

    Raw values for other libraries (`to_arrow`, `to_pandas`), ids for torch (`to_torch`). Every row has the features
    that were known when its event happened.

    Attributes:
        spec: the dataset's resolved spec.
        joined: ids, vocabularies, field vectors and the split.

    >>> import llactr
    >>> rows = llactr.open("shop").training_set()
    >>> rows.fields[:3], rows.split_rows["test"]
    (('person', 'job', 'age'), 78)
    """

    def __init__(self, workspace: Workspace, spec: DatasetSpec, joined: TrainingSet) -> None:
        self._workspace = workspace
        self.spec, self.joined = spec, joined

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in the spec's order."""
        return self.spec.field_names

    @property
    def split_rows(self) -> dict[str, int]:
        """How many rows each part has."""
        return {name: len(getattr(self.joined.data.split, name)) for name in get_args(SplitName)}

    def to_arrow(self, split: SplitName | None = None) -> pa.Table:
        """Raw values, a column per field, with join keys, `event_timestamp`, `label`, `semantics_version`, `split`.

        Cost: the point-in-time join is done again; it is not kept raw.

        Args:
            split: the rows of one part; None for all, with a column `split` that names the part.

        Raises:
            StepError: the dataset has changed since the training set was made.

        >>> import llactr
        >>> table = llactr.open("shop").training_set().to_arrow("test")
        >>> table.num_rows, table.column("label").type
        (78, DataType(float))
        """
        rows = training_rows(self._workspace, self.spec)
        data = self.joined.data
        if not np.array_equal(rows[LABEL].to_numpy().astype(np.float32), data.label):
            raise StepError(
                f"dataset {self.spec.name!r} has changed since this training set was made: call training_set() again"
            )
        part = np.full(rows.num_rows, "", dtype=object)
        for name in get_args(SplitName):
            part[getattr(data.split, name)] = name
        rows = rows.append_column(SPLIT, pa.array(part, pa.string()))
        return rows if split is None else rows.take(pa.array(self._places(split)))

    def to_pandas(self, split: SplitName | None = None) -> pd.DataFrame:
        """`to_arrow` as a data frame: what LightGBM, CatBoost and scikit-learn take.

        >>> import llactr
        >>> frame = llactr.open("shop").training_set().to_pandas("train")
        >>> len(frame), sorted(set(frame["job"]))
        (621, ['cook', 'nurse', 'pilot'])
        """
        return self.to_arrow(split).to_pandas()

    def to_torch(self, split: SplitName) -> Dataset[tuple[Tensor, ...]]:
        """A torch data set of ids (C,) int32, label () float32 and the position of the semantics version () int32.

        Ids are local to their field, 0 unused, 1 out of vocabulary, 2 null; `joined.transform.layout` has the slots
        and vocabulary sizes of the fields.

        >>> import llactr
        >>> ids, label, version = llactr.open("shop").training_set().to_torch("test")[0]
        >>> ids.shape, label.dtype, int(version)
        (torch.Size([14]), torch.float32, 0)
        """
        import torch
        from torch.utils.data import TensorDataset

        places, data = self._places(split), self.joined.data
        parts = (data.ids, data.label, data.version)
        return TensorDataset(*(torch.from_numpy(part[places]) for part in parts))

    def _places(self, split: SplitName) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if split not in get_args(SplitName):
            raise InputError(f"split is {split!r}: choose {', '.join(get_args(SplitName))}")
        found: np.ndarray[tuple[int], np.dtype[np.int64]] = getattr(self.joined.data.split, split)
        return found
