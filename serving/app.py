"""The ASGI application: paths, their documentation, and the gate around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from llactr import __version__
from llactr.serving import bodies, describing, endpoints, explaining, inference, pushing
from llactr.serving.answers import (
    ExplainResponse,
    ModelInfo,
    PredictResponse,
    PushResponse,
    RankResponse,
    ReloadResponse,
    SimilarResponse,
)
from llactr.serving.config import ServeConfig
from llactr.serving.gate import Gate
from llactr.serving.inference import InferResponse, ModelMetadata, ServerMetadata
from llactr.serving.openapi import describe, problem_responses
from llactr.serving.problems import Problem
from llactr.serving.service import Service

__all__ = ["create_app", "create_service_app"]

_STATIC = Path(__file__).parent / "static"


def create_app(config: ServeConfig) -> ASGIApp:
    """The application of one worker; its bundle is loaded when the server starts it."""
    return create_service_app(Service(config))


def create_service_app(service: Service) -> ASGIApp:
    """The application around a service's state."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title="llactr",
        version=__version__,
        summary="Click probabilities from online features and LLM field vectors",
        docs_url=None,  # FastAPI's pages load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    _add_scoring(app, service)
    _add_events(app, service)
    _add_description(app, service)
    _add_inference(app, service)
    _add_operation(app, service)
    _add_problems(app)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.openapi = lambda: describe(app, service)  # type: ignore[method-assign]
    return Gate(app, config=service.config, metrics=service.metrics)


def _add_scoring(app: FastAPI, service: Service) -> None:
    answers = problem_responses(400, 401, 409, 413, 415, 422, 429, 503)

    @app.post("/v1/rank", response_model=RankResponse, responses=answers | problem_responses(404), tags=["scoring"])
    async def rank(request: Request) -> Response:
        """Scores candidate items for one user; with `top_k`, the best ones, best first."""
        return await endpoints.rank(service, request)

    @app.post("/v1/predict", response_model=PredictResponse, responses=answers, tags=["scoring"])
    async def predict(request: Request) -> Response:
        """Scores explicit rows, each with its keys, time and context."""
        return await endpoints.predict(service, request)

    @app.post(
        "/v1/explain",
        response_model=ExplainResponse,
        responses=problem_responses(400, 401, 413, 415, 422, 429, 503),
        tags=["scoring"],
    )
    async def explain(request: Request) -> Response:
        """Scores one row as it is, and with each of its fields left out."""
        return await explaining.explain(service, request)


def _add_events(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/events",
        response_model=PushResponse,
        responses=problem_responses(400, 401, 409, 413, 415, 422, 429, 503),
        tags=["events"],
    )
    async def events(request: Request) -> Response:
        """Takes one event, or several as `events`; once answered they are in the history that is read next."""
        return await pushing.events(service, request)


def _add_description(app: FastAPI, service: Service) -> None:
    @app.get("/v1/model", responses=problem_responses(401, 429, 503), tags=["description"])
    async def model() -> ModelInfo:
        """The bundle in use: its metrics, fields and versions."""
        return describing.model_info(service)

    @app.get("/v1/fields/{field}/similar", responses=problem_responses(401, 404, 422, 429, 503), tags=["description"])
    async def similar(
        field: str,
        top_k: Annotated[int | None, Query(ge=1, le=1000, description="at most so many; all by default")] = None,
        centered: Annotated[bool, Query(description="subtract the fields' mean vector first")] = True,
    ) -> SimilarResponse:
        """Fields by the cosine of their vectors, nearest first."""
        return await describing.similar_fields(service, field, top_k=top_k, centered=centered)


def _add_inference(app: FastAPI, service: Service) -> None:
    """The Open Inference Protocol; a version in the path must be the bundle's that is in use."""
    tags: list[str | Enum] = ["inference"]
    found = problem_responses(401, 404, 422, 429, 503)

    @app.get("/v2", responses=problem_responses(401, 429), tags=tags)
    async def server() -> ServerMetadata:
        """What answers, and the extensions it knows."""
        return inference.server_metadata()

    @app.get("/v2/health/live", tags=tags)
    async def live() -> dict[str, bool]:
        """The process answers."""
        return {"live": True}

    @app.get("/v2/health/ready", responses=problem_responses(503), tags=tags)
    async def ready() -> dict[str, bool]:
        """As /readyz."""
        if service.not_ready:
            raise Problem.unavailable(service.not_ready, kind="not-ready")
        return {"ready": True}

    @app.get("/v2/models/{name}", responses=found, tags=tags)
    @app.get("/v2/models/{name}/versions/{version}", responses=found, tags=tags)
    async def metadata(name: str, version: str | None = None) -> ModelMetadata:
        """The model's inputs and outputs; its name is the dataset's."""
        return inference.model_metadata(service, name, version)

    @app.get("/v2/models/{name}/ready", responses=found, tags=tags)
    @app.get("/v2/models/{name}/versions/{version}/ready", responses=found, tags=tags)
    async def model_ready(name: str, version: str | None = None) -> dict[str, Any]:
        """Whether this model scores."""
        inference.model_ready(service, name, version)
        return {"name": name, "ready": True}

    behind: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
    scored = problem_responses(400, 401, 404, 413, 415, 422, 429, 503)
    scored[200] = {"content": {"application/octet-stream": behind}, "description": "scores; as bytes where asked for"}

    @app.post("/v2/models/{name}/infer", response_model=InferResponse, responses=scored, tags=tags)
    @app.post("/v2/models/{name}/versions/{version}/infer", response_model=InferResponse, responses=scored, tags=tags)
    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        """Scores rows that are given column by column."""
        return await inference.infer(service, request, name, version)


def _add_operation(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", tags=["operation"])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz", responses=problem_responses(503), tags=["operation"])
    async def readyz() -> dict[str, str]:
        """A bundle is loaded, the online store answers, and holds the bundle's semantics version."""
        if service.not_ready:
            raise Problem.unavailable(service.not_ready, kind="not-ready")
        loaded = service.main
        return {"status": "ready", "bundle": loaded.id, "semantics_version": loaded.semantics_version}

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}, tags=["operation"])
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.post(
        "/v1/admin/reload",
        response_model=ReloadResponse,
        responses=problem_responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
        tags=["operation"],
    )
    async def reload(request: Request) -> ReloadResponse:
        """Loads and checks a bundle beside the one in use, then switches; or keeps the old one and says why."""
        outcome = await endpoints.reload(service, request)
        service.reloaded(outcome)
        return outcome

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response((_STATIC / "index.html").read_bytes(), media_type="text/html; charset=utf-8")


def _add_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> Response:
        return problem.response(request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            return Problem(
                405, "method-not-allowed", f"{request.method[:20]} is not allowed here", headers=headers
            ).response(request.url.path)
        kind = "not-found" if error.status_code == 404 else "refused"
        detail = "there is nothing at this path: see /openapi.json" if error.status_code == 404 else str(error.detail)
        return Problem(error.status_code, kind, detail, headers=headers).response(request.url.path)

    @app.exception_handler(Exception)
    async def on_failure(_: Request, error: Exception) -> Response:
        return Problem.failure().response()  # the gate writes the traceback into the log

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        found: list[dict[str, Any]] = [dict(entry) for entry in error.errors()]
        return bodies.invalid(found).response(request.url.path)
