"""What rivals read, against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from llactr.ctr import CTRData, Split
from llactr.evaluation.rivals.rows import RivalRows
from llactr.spec import DatasetSpec
from llactr.transforms import FIRST, OOV, Transform

SPEC = DatasetSpec.model_validate(
    {
        "name": "films", "sources": {"rows": {"path": "rows.parquet", "format": "parquet"}}, "events": "rows",
        "timestamp": {"column": "time", "unit": "s"}, "label": {"column": "clicked"},
        "entities": {"item": {"join_key": "film"}},
        "fields": [
            {"name": "film", "description": "the film", "owner": "item", "kind": "categorical"},
            {"name": "genres", "description": "its genres", "owner": "context", "kind": "multi_valued",
             "separator": "|", "max_values": 2},
            {"name": "price", "description": "its price", "owner": "context", "kind": "numeric", "bucket_count": 2},
        ],
    }
)  # fmt: skip
TABLE = pa.table(
    {
        "film": ["a", "b", "a", "a", "b", "new"],
        "genres": ["x|y", "x", None, "x", "y", "z"],
        "price": pa.array([1.0, 9.0, 9.0, None, 9.0, 1.0]),
    }
)
LABEL = np.array([1, 0, 0, 1, 1, 0], np.float32)
SPLIT = Split(np.arange(4), np.array([4]), np.array([5]))


def rows(measured: dict[str, Any] | None = None) -> RivalRows:
    transform = Transform.fit(SPEC, TABLE.slice(0, 4))
    ids = transform.ids(TABLE)
    data = SimpleNamespace(ids=ids, label=LABEL, split=SPLIT)
    training_set: Any = SimpleNamespace(data=data, transform=transform)
    return RivalRows.of(training_set, measured)


def test_columns_by_kind() -> None:
    found = rows({"before": np.array([0, 1, np.nan, 3, 4, 5], np.float32)})
    assert found.categories["film"].tolist() == [FIRST, FIRST + 1, FIRST, FIRST, FIRST + 1, OOV]
    assert list(found.categories) == ["film"]
    # The most frequent of the four training rows first: x three times, y once; z is not among them, and null is none.
    np.testing.assert_array_equal(found.flags, [[1, 1], [1, 0], [0, 0], [1, 0], [0, 1], [0, 0]])
    low, high = found.numbers[0, 0], found.numbers[1, 0]
    assert low < high
    np.testing.assert_array_equal(found.numbers[:, 0], [low, high, high, np.nan, high, low])
    np.testing.assert_array_equal(found.numbers[:, 1], [0, 1, np.nan, 3, 4, 5])


def test_a_training_rows_share_of_clicks_is_that_of_the_rows_before_it() -> None:
    found = rows().statistics
    prior = 0.5  # two clicks of four training rows, ten rows' worth of it
    np.testing.assert_allclose(
        found.training[:, 0], [prior, prior, (1 + 5) / 11, (1 + 5) / 12], rtol=1e-6
    )  # a: nothing, then 1 of 1, then 1 of 2; b: nothing
    later = np.array([4, 5])
    np.testing.assert_allclose(found.shares(later)[:, 0], [(0 + 5) / 11, prior], rtol=1e-6)
    np.testing.assert_allclose(found.counts(later)[:, 0], [np.log(2), 0], rtol=1e-6)


def test_labels_after_training_change_nothing() -> None:
    """A rival reads the test rows' ids, never their labels."""
    before = rows().statistics
    changed = LABEL.copy()
    changed[4:] = 1 - changed[4:]
    assert changed.tolist() == [1, 0, 0, 1, 0, 1]
    transform = Transform.fit(SPEC, TABLE.slice(0, 4))
    data = CTRData(
        transform.ids(TABLE), changed, np.zeros(6, np.int32), Split(np.arange(4), np.array([4, 5]), SPLIT.test)
    )
    training_set: Any = SimpleNamespace(data=data, transform=transform)
    after = RivalRows.of(training_set).statistics
    np.testing.assert_array_equal(before.training, after.training)
    np.testing.assert_array_equal(before.share[0], after.share[0])


@pytest.mark.parametrize("field", ["film", "genres", "price"])
def test_a_training_set_with_one_field_has_the_other_columns_empty(field: str) -> None:
    fields = tuple(one for one in SPEC.fields if one.name == field)
    spec = SPEC.model_copy(update={"fields": fields})
    transform = Transform.fit(spec, TABLE.slice(0, 4))
    data = SimpleNamespace(ids=transform.ids(TABLE), label=LABEL, split=SPLIT)
    training_set: Any = SimpleNamespace(data=data, transform=transform)
    found = RivalRows.of(training_set)
    shapes = (found.codes.shape[1], found.numbers.shape[1], found.flags.shape[1])
    assert shapes == {"film": (1, 0, 0), "genres": (0, 0, 2), "price": (0, 1, 0)}[field]
