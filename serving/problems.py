"""Errors as RFC 9457 problem documents: what is wrong, where in the request, and why."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

__all__ = ["MEDIA_TYPE", "Problem", "ProblemDocument", "ProblemField"]

MEDIA_TYPE = "application/problem+json"
_URN = "urn:llactr:problem:"


class ProblemField(BaseModel):
    """One place of the request that is at fault."""

    pointer: str = Field(description="JSON pointer into the request's body, or the name of a parameter or header")
    reason: str = Field(description="what was found there and what is expected")


class ProblemDocument(BaseModel):
    """An RFC 9457 problem."""

    type: str = Field(description="a URN that names the kind of problem")
    title: str
    status: int
    detail: str
    errors: list[ProblemField] = Field(default=[], description="the places at fault, at most ten")


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """Raised anywhere below a request's handler; becomes the answer.

    Args:
        status: the HTTP status.
        kind: last part of the problem's type, such as `invalid-request`.
        detail: one sentence.
        errors: places in the request, with reasons.
        headers: further headers, such as Retry-After.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}

    @classmethod
    def unavailable(cls, detail: str, *, kind: str = "store-unavailable", retry_after_s: int = 1) -> Problem:
        """503: come back in a moment."""
        return cls(503, kind, detail, headers={"Retry-After": str(retry_after_s)})

    @classmethod
    def failure(cls) -> Problem:
        """500: a bug of ours, of which the caller learns nothing but that it is in the log."""
        return cls(500, "internal-error", "the service failed: its log has the request's id")

    def document(self) -> dict[str, Any]:
        """The document's content."""
        content: dict[str, Any] = {
            "type": _URN + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return content | ({"errors": self.errors} if self.errors else {})

    def body(self, path: str = "") -> bytes:
        """The document as bytes; below /v2 with the `error` that clients of the Open Inference Protocol look for."""
        document = self.document()
        return orjson.dumps(document | {"error": self.detail} if path.startswith("/v2") else document)

    def response(self, path: str = "") -> Response:
        """The document as an answer to a request for a path."""
        return Response(self.body(path), self.status, headers=self.headers, media_type=MEDIA_TYPE)
