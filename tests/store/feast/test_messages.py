"""Entity keys and stored values, against Feast's own messages."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from feast.protos.feast.types.Value_pb2 import FloatList

from llactr.columns import TIMESTAMP
from llactr.store.feast.messages import EntityKey, Value, decoder, entity_key, text_of, vector_of


def test_a_key_has_all_join_keys_as_text() -> None:
    expected = EntityKey(join_keys=["b", "a"], entity_values=[Value(string_val="1"), Value(string_val="x")])
    assert entity_key({"b": "1", "a": "x"}) == expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (pa.string(), Value(string_val=""), ""),
        (pa.string(), Value(int64_val=3), None),
        (pa.float64(), Value(double_val=0.0), 0.0),
        (pa.float64(), Value(float_val=1.0), None),
        (TIMESTAMP, Value(unix_timestamp_val=-1), -1_000_000),
        (TIMESTAMP, Value(unix_timestamp_val=-9223372036854775808), None),
        (TIMESTAMP, Value(), None),
        (pa.string(), None, None),
    ],
)
def test_values_are_read_in_the_fields_type_or_not_at_all(
    kind: pa.DataType, value: Value | None, expected: object
) -> None:
    assert decoder(kind)(value) == expected


def test_texts_and_vectors() -> None:
    assert text_of(Value(string_val="v")) == "v"
    assert text_of(Value(double_val=1.0)) is None
    vector = vector_of(Value(float_list_val=FloatList(val=[1.0, -0.5])))
    assert vector is not None
    np.testing.assert_array_equal(vector, np.array([1.0, -0.5], np.float32))
    assert vector_of(Value(float_list_val=FloatList(val=[]))) is None
    assert vector_of(Value(string_val="v")) is None
    assert vector_of(None) is None
