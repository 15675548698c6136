"""A request's body: read within its limit, parsed, and held against a model; what is wrong with it is a Problem."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from llactr.serving.problems import Problem

__all__ = ["invalid", "read_body", "read_json", "validated"]

_MAX_ERRORS = 10


async def read_json(request: Request, limit: int, *, may_be_empty: bool = False) -> Any:
    """A request's body as JSON (RFC 8259: no NaN, valid UTF-8, at most 1024 levels deep).

    Raises:
        Problem: 400, 413 or 415.
    """
    body = await read_body(request, limit)
    if may_be_empty and not body:
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "not-json", f"the content type is {kind[:100]!r}, expected application/json")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        _refuse_infinities(body)
        raise Problem(400, "not-json", f"the body is not JSON: {error}") from None


async def read_body(request: Request, limit: int) -> bytes:
    """A request's body.

    Raises:
        Problem: 400 or 413.
    """
    length = request.headers.get("content-length")
    if length is not None and (not length.isdigit() or int(length) > limit):
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect:
        raise Problem(400, "incomplete", "the request ended before its body") from None
    return b"".join(parts)


def _refuse_infinities(body: bytes) -> None:
    """400 that names the numbers which are none, where they are all that keeps a body from being JSON."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return
    places: list[str] = []
    waiting: list[tuple[str, Any]] = [("", content)]
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            places.append(pointer)
        elif isinstance(value, dict):
            waiting += [(f"{pointer}/{_escaped(key)}", one) for key, one in value.items()]
        elif isinstance(value, list):
            waiting += [(f"{pointer}/{index}", one) for index, one in enumerate(value)]
    if places:
        reason = "expected a finite number, or null: JSON has no infinity and no NaN"
        errors = [{"pointer": place[:300], "reason": reason} for place in sorted(places)]
        detail = f"the body is not JSON: {errors[0]['pointer']}: {reason}"
        raise Problem(400, "not-json", detail, errors=errors[:_MAX_ERRORS])


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def validated(model: type[BaseModel], content: Any) -> BaseModel:
    """The content as a request model; a Problem that names each place at fault, and the reason."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None


def invalid(found: Sequence[Mapping[str, Any]], *, prefix: str = "") -> Problem:
    """422 for validation errors."""
    places: dict[str, str] = {}
    for entry in found:
        path = [str(part) for part in entry["loc"]]
        # Of a union, pydantic reports every member under its name: one place, the reasons joined.
        if (path and path[-1].startswith(("constrained-", "function-"))) or path[-1:] in (
            ["str"],
            ["int"],
            ["float"],
            ["bool"],
        ):
            path = path[:-1]
        pointer = prefix + "".join("/" + _escaped(part) for part in path)
        reason = entry["msg"].removeprefix("Value error, ")
        places[pointer] = f"{places[pointer]}; or: {reason}" if pointer in places else reason
    errors = [{"pointer": pointer[:300], "reason": reason[:300]} for pointer, reason in places.items()]
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(
        422,
        "invalid-request",
        f"{first['pointer'] or 'the body'}: {first['reason']}{more}",
        errors=errors[:_MAX_ERRORS],
    )


def _too_large(limit: int) -> Problem:
    return Problem(413, "too-large", f"the body is larger than {limit} bytes: send fewer rows at a time")
