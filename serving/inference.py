"""The Open Inference Protocol (version 2), over HTTP: clients of KServe and Triton score rows as they are used to.

The model's name is the dataset's, its version the bundle's id. Inputs are columns: an entity's key by its name,
`timestamp` (RFC 3339; now without it), and context fields by theirs, as `context.NAME` too. Outputs are `score`, and
`ids` where asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, StrictStr
from starlette.requests import Request
from starlette.responses import Response

from llactr import __version__
from llactr.serving.bodies import read_body, validated
from llactr.serving.endpoints import predict_rows
from llactr.serving.loaded import LoadedBundle
from llactr.serving.problems import Problem
from llactr.serving.service import Service
from llactr.serving.tensors import InferInput, OutputTensor, column_of, packed
from llactr.spec import NumericField

__all__ = [
    "InferRequest",
    "InferResponse",
    "ModelMetadata",
    "ServerMetadata",
    "infer",
    "model_metadata",
    "model_ready",
    "server_metadata",
]

_JSON_LENGTH = "inference-header-content-length"
_OUTPUTS = ("score", "ids")


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    binary_data: bool = False
    binary_data_output: bool = False


class InferOutput(BaseModel):
    """An output that is asked for."""

    name: StrictStr = Field(description="score or ids")
    parameters: _Parameters = _Parameters()


class InferRequest(BaseModel):
    """Rows to score, column by column."""

    id: StrictStr | None = Field(default=None, max_length=256)
    inputs: list[InferInput] = Field(min_length=1, max_length=1000)
    outputs: list[InferOutput] = Field(default=[], max_length=len(_OUTPUTS), description="score alone by default")
    parameters: _Parameters = _Parameters()


class InferResponse(BaseModel):
    """Scores of the rows, in their order."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class TensorMetadata(BaseModel):
    """Name, type and shape of an input or output; -1 for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """The model as its clients see it."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """What answers, and which extensions of the protocol it knows."""

    name: str = "llactr"
    version: str = __version__
    extensions: list[str] = ["binary_tensor_data"]


def server_metadata() -> ServerMetadata:
    """GET /v2."""
    return ServerMetadata()


def model_ready(service: Service, name: str, version: str | None) -> None:
    """GET /v2/models/{name}/ready.

    Raises:
        Problem: 404 for another model, 503 while it cannot score.
    """
    if service.not_ready:
        raise Problem.unavailable(service.not_ready, kind="not-ready")
    _named(service.main, name, version)


def model_metadata(service: Service, name: str, version: str | None) -> ModelMetadata:
    """GET /v2/models/{name}."""
    loaded = service.described
    _named(loaded, name, version)
    columns = {str(owner): "BYTES" for owner in loaded.spec.entities} | {"timestamp": "BYTES"}
    for field in loaded.schemas.context_names.values():
        kind = "FP64" if isinstance(loaded.spec.field(field), NumericField) else "BYTES"
        columns[_input_name(field, columns)] = kind
    slots = sum(loaded.bundle.transform.layout.slots)
    return ModelMetadata(
        name=loaded.spec.name,
        versions=[loaded.id],
        platform="llactr",
        inputs=[TensorMetadata(name=column, datatype=kind, shape=[-1]) for column, kind in columns.items()],
        outputs=[
            TensorMetadata(name="score", datatype="FP32", shape=[-1]),
            TensorMetadata(name="ids", datatype="INT32", shape=[-1, slots]),
        ],
    )


async def infer(service: Service, request: Request, name: str, version: str | None) -> Response:
    """POST /v2/models/{name}/infer."""
    with service.in_use() as loaded:
        _named(loaded, name, version)
        content, raw = _parted(await read_body(request, service.config.max_body_bytes), request)
        with service.metrics.stage("json_in"):
            asked: Any = validated(InferRequest, content)
            rows = _rows(loaded, asked, raw, service.config.max_rows)
            wanted = [output.name for output in asked.outputs] or ["score"]
            if unknown := [name for name in wanted if name not in _OUTPUTS]:
                raise Problem(422, "invalid-request", f"no output {unknown[0][:100]!r}: there are score and ids")
            body: Any = validated(loaded.schemas.predict, {"rows": rows, "return_ids": "ids" in wanted})
        scored, _, _ = await predict_rows(service, loaded, body, request)
        with service.metrics.stage("json_out"):
            arrays: dict[str, Any] = {"score": scored.scores.astype(np.float32)}
            if "ids" in wanted:
                arrays["ids"] = scored.ids.astype(np.int32)
            as_bytes = [one.name for one in asked.outputs if one.parameters.binary_data]
            if asked.parameters.binary_data_output:
                as_bytes = wanted
            tensors, behind = packed({name: arrays[name] for name in wanted}, as_bytes)
            answer = InferResponse(model_name=loaded.spec.name, model_version=loaded.id, id=asked.id, outputs=tensors)
            head = orjson.dumps(answer.model_dump(exclude_none=True))
    if not behind:
        return Response(head, media_type="application/json")
    headers = {_JSON_LENGTH: str(len(head))}
    return Response(head + behind, headers=headers, media_type="application/octet-stream")


def _named(loaded: LoadedBundle, name: str, version: str | None) -> None:
    if name != loaded.spec.name:
        raise Problem(404, "not-found", f"no model {name[:100]!r}: this service has {loaded.spec.name!r}")
    if version is not None and version != loaded.id:
        raise Problem(404, "not-found", f"no version {version[:100]!r}: {loaded.id!r} is in use")


def _parted(body: bytes, request: Request) -> tuple[Any, bytes]:
    """The JSON, and the bytes behind it."""
    said = request.headers.get(_JSON_LENGTH)
    if said is None:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind not in ("application/json", "application/octet-stream"):
            raise Problem(415, "not-json", f"the content type is {kind[:100]!r}, expected application/json")
        length = len(body)
    elif said.isdigit() and int(said) <= len(body):
        length = int(said)
    else:
        raise Problem(
            400, "not-json", f"{_JSON_LENGTH} is {said[:20]!r}, expected at most the body's {len(body)} bytes"
        )
    try:
        return orjson.loads(body[:length]), body[length:]
    except orjson.JSONDecodeError as error:
        raise Problem(400, "not-json", f"the request is not JSON: {error}") from None


def _rows(loaded: LoadedBundle, asked: InferRequest, raw: bytes, most: int) -> list[dict[str, Any]]:
    """Rows as /v1/predict takes them."""
    count = asked.inputs[0].shape[0]
    if not 1 <= count <= most:
        raise Problem(422, "invalid-request", f"/inputs/0/shape: {count} rows, expected 1 to {most}")
    owners = {str(owner) for owner in loaded.spec.entities} | {"timestamp"}
    fields = _context_inputs(loaded, owners)
    rows: list[dict[str, Any]] = [{"context": {}} for _ in range(count)]
    at, seen = 0, set[str]()
    for place, tensor in enumerate(asked.inputs):
        pointer = f"/inputs/{place}"
        size = tensor.parameters.get("binary_data_size")
        behind = None
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(raw) - at:
                raise Problem(422, "invalid-request", f"{pointer}/parameters/binary_data_size: more than came")
            behind, at = raw[at : at + size], at + size
        values = column_of(tensor, count, behind, pointer)
        target = tensor.name if tensor.name in owners else fields.get(tensor.name)
        if target is None:
            names = ", ".join([*owners, *fields.values()])
            raise Problem(
                422, "invalid-request", f"{pointer}/name: no input {tensor.name[:100]!r}: there are {names[:500]}"
            )
        if (key := f"{tensor.name in owners}{target}") in seen:
            raise Problem(422, "invalid-request", f"{pointer}/name: {tensor.name[:100]!r} is there twice")
        seen.add(key)
        for row, value in zip(rows, values, strict=True):
            (row if tensor.name in owners else row["context"])[target] = value
    if at != len(raw):
        raise Problem(422, "invalid-request", f"{len(raw) - at} bytes behind the JSON belong to no input")
    return rows


def _context_inputs(loaded: LoadedBundle, taken: set[str]) -> dict[str, str]:
    """Name of an input -> the context field."""
    names = loaded.schemas.context_names.values()
    return {name: name for name in names if name not in taken} | {f"context.{name}": name for name in names}


def _input_name(field: str, taken: Mapping[str, str]) -> str:
    return f"context.{field}" if field in taken else field
