"""Names and Arrow types of the columns that tables share, from the sources' side to the model's; each written once.

A dataset's own columns (join keys, fields) have the names of its spec, which `llactr.store.names` makes fit for Feast.
Names cost no import; the Arrow types bring pyarrow when one of them is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    KEY: pa.DataType
    LABEL_TYPE: pa.DataType
    TIMESTAMP: pa.DataType
    VECTOR_TYPE: pa.DataType

__all__ = [
    "CREATED_TIMESTAMP",
    "DATASET",
    "DESCRIPTION",
    "ENCODER",
    "EVENT_TIMESTAMP",
    "FIELD",
    "HISTORY_VERSION",
    "KEY",
    "LABEL",
    "LABEL_TYPE",
    "RESERVED",
    "SEMANTICS_VERSION",
    "SPLIT",
    "STATE",
    "TEXT",
    "TIMESTAMP",
    "VALUE",
    "VECTOR",
    "VECTOR_TYPE",
]

EVENT_TIMESTAMP = "event_timestamp"
"""When an event happened, or since when a row of an entity, a vector or a release holds; UTC."""
CREATED_TIMESTAMP = "created_timestamp"
"""When a row was written; of rows with one key and event time the one written last counts; UTC."""
LABEL = "label"
"""Whether an event was a click: 0 or 1."""
SEMANTICS_VERSION = "semantics_version"
"""The version of the field vectors, or of the value vectors, that a row refers to."""
HISTORY_VERSION = "history_version"
"""Content hash of the history definition that a state was made by; with a user's or an item's key that of a state."""
SPLIT = "split"
"""The part of the data that a row belongs to."""

STATE = "state"
"""The state of a key's history as bytes; see `llactr.history`."""

DATASET = "dataset"
"""The spec's name; with FIELD, VALUE and SEMANTICS_VERSION the key of a vector."""
FIELD = "field"
"""A field's name in the spec."""
VALUE = "value"
"""A value of a field, as vocabularies hold it."""
VECTOR = "vector"
"""What the language model makes of a description or of a value's text."""
DESCRIPTION = "description"
"""The text that a field's vector was made of."""
TEXT = "text"
"""The text that a value's vector was made of."""
ENCODER = "encoder"
"""The name of the language model."""

RESERVED = frozenset({EVENT_TIMESTAMP, CREATED_TIMESTAMP, LABEL, SEMANTICS_VERSION, HISTORY_VERSION, DATASET, SPLIT})
"""Names that no field and no join key of a dataset may have."""


def _types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "KEY": pa.string(),
        "LABEL_TYPE": pa.float32(),
        "TIMESTAMP": pa.timestamp("us", "UTC"),
        "VECTOR_TYPE": pa.list_(pa.float32()),
    }


def __getattr__(name: str) -> Any:
    """The Arrow types: KEY of join keys and names, LABEL_TYPE, TIMESTAMP (microseconds, UTC), VECTOR_TYPE."""
    if name not in {"KEY", "LABEL_TYPE", "TIMESTAMP", "VECTOR_TYPE"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals().update(_types())
    return globals()[name]
