"""Tensors of the Open Inference Protocol, as JSON or as bytes behind it.

The protocol is version 2 of KServe's and Triton's; bytes behind the JSON are its "binary tensor data extension".
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from llactr.serving.problems import Problem

__all__ = ["InferInput", "OutputTensor", "column_of", "packed"]

_TYPES: dict[str, str] = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatypes of fixed size, as numpy's."""
_LENGTH = struct.Struct("<I")

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]


class InferInput(BaseModel):
    """One column of the rows to score."""

    model_config = ConfigDict(frozen=True)

    name: StrictStr = Field(min_length=1, max_length=256)
    shape: list[StrictInt] = Field(min_length=1, max_length=2, description="[N] or [N, 1]")
    datatype: Datatype
    parameters: dict[str, Any] = Field(default={}, description="binary_data_size: so many bytes follow the JSON")
    data: list[Any] | None = Field(default=None, description="N values; null for none")


class OutputTensor(BaseModel):
    """Numbers of each row."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, int] | None = None
    data: list[Any] | None = None


def column_of(tensor: InferInput, rows: int, raw: bytes | None, pointer: str) -> list[Any]:
    """A column's values: bool, int, float or str; None where there is none (null, or NaN in bytes).

    Args:
        tensor: its name, shape and type.
        rows: how many there must be.
        raw: its bytes, little-endian, where they came behind the JSON.
        pointer: its place in the request, for errors.

    Raises:
        Problem: 422 where there are not as many values as the shape says, or not of this type.
    """
    if tensor.shape not in ([rows], [rows, 1]):
        raise _wrong(
            pointer, f"the shape is {tensor.shape}, expected [{rows}] or [{rows}, 1]: every input has one row each"
        )
    values = _of_json(tensor, pointer) if raw is None else _of_bytes(tensor, raw, rows, pointer)
    if len(values) != rows:
        raise _wrong(pointer, f"{len(values)} values, but the shape says {rows}")
    return values


def _of_json(tensor: InferInput, pointer: str) -> list[Any]:
    if tensor.data is None:
        raise _wrong(pointer, "no data: send 'data', or 'binary_data_size' and the bytes behind the JSON")
    values = [one[0] if isinstance(one, list) and len(one) == 1 else one for one in tensor.data]
    expected = {"BYTES": (str,), "BOOL": (bool,), "FP16": (int, float), "FP32": (int, float), "FP64": (int, float)}
    kinds = expected.get(tensor.datatype, (int,))
    for place, value in enumerate(values):
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise _wrong(f"{pointer}/data/{place}", f"expected a value of {tensor.datatype}, or null")
    return [float(v) if v is not None and tensor.datatype.startswith("FP") else v for v in values]


def _of_bytes(tensor: InferInput, raw: bytes, rows: int, pointer: str) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _texts(raw, pointer)
    kind = np.dtype(_TYPES[tensor.datatype])
    if len(raw) != rows * kind.itemsize:
        raise _wrong(
            pointer, f"{len(raw)} bytes, expected {rows * kind.itemsize} for {rows} values of {tensor.datatype}"
        )
    values: list[Any] = np.frombuffer(raw, kind).tolist()
    return [None if isinstance(one, float) and math.isnan(one) else one for one in values]


def _texts(raw: bytes, pointer: str) -> list[str]:
    """Each text after its length, four bytes."""
    found: list[str] = []
    at = 0
    try:
        while at < len(raw):
            (length,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size
            if at + length > len(raw):
                raise _wrong(pointer, "a text is longer than the bytes that came")
            found.append(raw[at : at + length].decode())
            at += length
    except (struct.error, UnicodeDecodeError):
        raise _wrong(pointer, "expected texts in UTF-8, each after its length in four bytes") from None
    return found


def packed(arrays: Mapping[str, NDArray[Any]], binary: Sequence[str]) -> tuple[list[OutputTensor], bytes]:
    """Arrays as tensors, and the bytes of those that were asked for as such, in order."""
    names = {np.dtype(kind): name for name, kind in _TYPES.items()}
    tensors: list[OutputTensor] = []
    parts: list[bytes] = []
    for name, array in arrays.items():
        tensor = OutputTensor(name=name, shape=list(array.shape), datatype=names[array.dtype])
        if name in binary:
            parts.append(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
            tensor.parameters = {"binary_data_size": len(parts[-1])}
        else:
            tensor.data = array.ravel().tolist()
        tensors.append(tensor)
    return tensors, b"".join(parts)


def _wrong(pointer: str, reason: str) -> Problem:
    return Problem(422, "invalid-request", f"{pointer}: {reason}", errors=[{"pointer": pointer, "reason": reason}])
