"""Feast's messages: the key of an entity, and what a stored value holds. Every reader decodes here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE
from numpy.typing import NDArray

__all__ = ["EntityKey", "Value", "bytes_of", "decoder", "entity_key", "key_ends", "text_of", "vector_of"]

_SIZE_BYTES = 4


def entity_key(join_keys: Mapping[str, str]) -> EntityKey:
    """The key of a row by its join keys, which are text."""
    return EntityKey(join_keys=list(join_keys), entity_values=[Value(string_val=value) for value in join_keys.values()])


def key_ends(join_key: str, fixed: Mapping[str, str], *, serialization: int) -> tuple[bytes, bytes]:
    """What stands before and behind the value of one join key in a serialized entity key, the others being fixed.

    The whole is the first part, the value's size (4 bytes, little-endian), the value in UTF-8, and the second part.
    """
    empty: bytes = serialize_entity_key(entity_key({**fixed, join_key: ""}), serialization)
    one: bytes = serialize_entity_key(entity_key({**fixed, join_key: "\x00"}), serialization)
    # Feast sorts join keys by name; the two differ first in the value's size.
    start = next(at for at, (a, b) in enumerate(zip(empty, one, strict=False)) if a != b)
    return empty[:start], empty[start + _SIZE_BYTES :]


def decoder(kind: pa.DataType) -> Callable[[Value | None], Any]:
    """What reads stored values of a raw type: text, a number, or microseconds since 1970; None for what is not there.

    A value of another type than the field's is none: it was written by hand, or for another spec.
    """
    if pa.types.is_string(kind):
        attribute = "string_val"
    else:
        attribute = "double_val" if pa.types.is_floating(kind) else "unix_timestamp_val"

    def decode(value: Value | None) -> Any:
        if value is None or value.WhichOneof("val") != attribute:
            return None
        content = getattr(value, attribute)
        if attribute != "unix_timestamp_val":
            return content
        return None if content == NULL_TIMESTAMP_INT_VALUE else content * 1_000_000  # Feast keeps seconds

    return decode


def text_of(value: Value | None) -> str | None:
    """A stored text."""
    return value.string_val if value is not None and value.WhichOneof("val") == "string_val" else None


def bytes_of(value: Value | None) -> bytes | None:
    """Stored bytes."""
    return bytes(value.bytes_val) if value is not None and value.WhichOneof("val") == "bytes_val" else None


def vector_of(value: Value | None) -> NDArray[np.float32] | None:
    """(L,) float32: a stored vector; None where there is none."""
    if value is None or value.WhichOneof("val") != "float_list_val" or not value.float_list_val.val:
        return None
    return np.array(value.float_list_val.val, np.float32)
