"""The OpenAPI document: FastAPI's, with the request bodies of the bundle's spec and problem documents for errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from llactr.serving.inference import InferRequest
from llactr.serving.problems import MEDIA_TYPE, ProblemDocument
from llactr.serving.schemas import ReloadRequest

if TYPE_CHECKING:
    from llactr.serving.service import Service

__all__ = ["describe", "problem_responses"]

_REFERENCE = "#/components/schemas/{model}"


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The entries of a path's `responses` for some errors."""
    schema = {"$ref": _REFERENCE.format(model="ProblemDocument")}
    entries: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        entry: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        if status in (429, 503):
            entry["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
        entries[status] = entry
    return entries


def describe(app: FastAPI, service: Service) -> dict[str, Any]:
    """The document for the bundle in use; before one is loaded, without the fields of its spec."""
    document: dict[str, Any] = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    bodies: dict[str, type[BaseModel]] = {"/v1/admin/reload": ReloadRequest}
    infer = [path for path in document["paths"] if path.endswith("/infer")]
    bodies |= dict.fromkeys(infer, InferRequest)
    schemas = service.schemas
    if schemas is not None:
        bodies["/v1/predict"] = schemas.predict
        bodies["/v1/explain"] = schemas.row
        several = schemas.events
        if several is not None:
            bodies["/v1/events"] = several
        else:
            document["paths"].pop("/v1/events", None)
        if schemas.rank is not None:
            bodies["/v1/rank"] = schemas.rank
        else:
            document["paths"].pop("/v1/rank", None)
    models = [(model, "validation") for model in (*bodies.values(), ProblemDocument)]
    references, definitions = models_json_schema(models, ref_template=_REFERENCE)  # type: ignore[arg-type]
    document.setdefault("components", {}).setdefault("schemas", {}).update(definitions.get("$defs", {}))
    for path, model in bodies.items():
        document["paths"][path]["post"]["requestBody"] = {
            "required": path != "/v1/admin/reload",
            "content": {"application/json": {"schema": references[(model, "validation")]}},
        }
    _remove_fastapi_errors(document)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in document["paths"].items():
        with_key = path.startswith(("/v1", "/v2")) and not path.startswith("/v2/health/")
        keyed = path.startswith("/v1/admin") or (with_key and bool(service.config.api_keys))
        for operation in operations.values():
            if keyed:
                operation["security"] = [{"bearer": []}, {"header": []}]
    return document


def _remove_fastapi_errors(document: dict[str, Any]) -> None:
    """FastAPI's own 422 schema: errors here are problem documents."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            found = operation.get("responses", {}).get("422", {}).get("content", {})
            if "application/json" in found:
                found.pop("application/json")
                found.setdefault(MEDIA_TYPE, {"schema": {"$ref": _REFERENCE.format(model="ProblemDocument")}})
