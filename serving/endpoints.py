"""What each path does, as plain functions of a request; the app only hangs them up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from llactr.errors import LlactrError
from llactr.serving.answers import ColdStarts, ReloadResponse
from llactr.serving.batch import Batch
from llactr.serving.bodies import read_json, validated
from llactr.serving.loaded import LoadedBundle
from llactr.serving.problems import Problem
from llactr.serving.readers.base import LostRowsError, StoreAwayError
from llactr.serving.schemas import ReloadRequest
from llactr.serving.scorer import Scored
from llactr.serving.service import Service

__all__ = ["context_of", "predict", "predict_rows", "rank", "reload"]

_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


async def rank(service: Service, request: Request) -> Response:
    """POST /v1/rank."""
    with service.in_use() as loaded:
        return await _rank(service, loaded, request)


async def _rank(service: Service, loaded: LoadedBundle, request: Request) -> Response:
    if loaded.schemas.rank is None:
        raise Problem(404, "not-found", f"dataset {loaded.spec.name!r} has no items to rank: use /v1/predict")
    body = await read_json(request, service.config.max_body_bytes)
    with service.metrics.stage("json_in"):
        asked: Any = validated(loaded.schemas.rank, body)
        items = [key if type(key) is str else str(key) for key in asked.items]
        keys: dict[str, Sequence[str]] = {
            owner: items if owner == "item" else [str(getattr(asked, owner))] for owner in loaded.spec.entities
        }
        moment = asked.timestamp or datetime.now(UTC)
        batch = Batch(len(items), keys, {}, [moment], [context_of(loaded, asked.context)])
    scored, compared = await _score(service, loaded, batch, asked, request)
    with service.metrics.stage("json_out"):
        order = _best_first(scored.scores, asked.top_k)
        content = _common(loaded, request, scored, asked, order)
        if asked.return_features and loaded.scorer.past is not None and scored.past is not None:
            content["recent"] = loaded.scorer.past.recent(scored.past, moment)
        content["items"] = items if order is None else [items[i] for i in order.tolist()]
        return _answer(content, compared, order)


async def predict(service: Service, request: Request) -> Response:
    """POST /v1/predict."""
    with service.in_use() as loaded:
        return await _predict(service, loaded, request)


async def _predict(service: Service, loaded: LoadedBundle, request: Request) -> Response:
    body = await read_json(request, service.config.max_body_bytes)
    with service.metrics.stage("json_in"):
        asked: Any = validated(loaded.schemas.predict, body)
    scored, compared, batch = await predict_rows(service, loaded, asked, request)
    with service.metrics.stage("json_out"):
        return _answer(_common(loaded, request, scored, asked, None, batch=batch), compared, None)


async def predict_rows(
    service: Service, loaded: LoadedBundle, asked: Any, request: Request
) -> tuple[Scored, tuple[LoadedBundle, Scored] | None, Batch]:
    """Scores of the rows of a validated /v1/predict, those of the second bundle where asked for, and the batch."""
    with service.metrics.stage("json_in"):
        rows = asked.rows
        keys = {str(owner): [str(getattr(row, owner)) for row in rows] for owner in loaded.spec.entities}
        now = datetime.now(UTC)
        batch = Batch.of_rows(
            keys,
            moments=[row.timestamp or now for row in rows],
            contexts=[context_of(loaded, row.context) for row in rows],
        )
    scored, compared = await _score(service, loaded, batch, asked, request)
    return scored, compared, batch


async def reload(service: Service, request: Request) -> ReloadResponse:
    """POST /v1/admin/reload."""
    body = await read_json(request, 4096, may_be_empty=True)
    asked: Any = validated(ReloadRequest, body if body is not None else {})
    try:
        return await service.reload(asked.bundle)
    except StoreAwayError as error:
        raise Problem.unavailable(str(error)) from None
    except LlactrError as error:
        raise Problem(409, "bundle-refused", f"the bundle in use stays: {error}") from None


async def _second_score(second: LoadedBundle, batch: Batch) -> Scored:
    second.requests.begin()  # one that is exchanged meanwhile keeps its store until this has ended
    try:
        return await second.scorer.score(batch)
    finally:
        second.requests.end()


async def _score(
    service: Service, loaded: LoadedBundle, batch: Batch, asked: Any, request: Request
) -> tuple[Scored, tuple[LoadedBundle, Scored] | None]:
    second = service.compare if asked.compare else None
    if asked.compare and second is None:
        raise Problem(409, "no-comparison", "there is no second bundle: start the service with --compare-bundle")
    request_id = request.scope["state"]["request_id"]
    shadow = service.shadow if service.shadow is not None and service.shadow.takes(loaded, batch, request_id) else None
    kept = service.log.sampled(batch) if shadow is None else np.ones(batch.rows, bool)
    try:
        scored = await loaded.scorer.score(batch, with_features=kept is not None or asked.return_features)
        compared = (second, await _second_score(second, batch)) if second is not None else None
    except LostRowsError as error:
        service.metrics.lost.labels(error.owner).inc(error.rows)
        raise Problem.unavailable(str(error), kind="rows-lost") from None
    except StoreAwayError as error:
        raise service.store_failed(error) from None
    service.metrics.rows.observe(batch.rows)
    service.watch(loaded, scored)
    if shadow is not None:
        shadow.offer(loaded, batch, scored, request_id=request_id)
    elif kept is not None:
        service.log.offer(
            loaded.spec,
            batch,
            scored,
            bundle=loaded.id,
            semantics_version=loaded.semantics_version,
            request_id=request_id,
            kept=kept,
            history=loaded.bundle.history,
        )
    return scored, compared


def context_of(loaded: LoadedBundle, context: Any) -> dict[str, Any]:
    """The context fields of a request, by their names in the spec."""
    return {name: getattr(context, attribute) for attribute, name in loaded.schemas.context_names.items()}


def _best_first(scores: NDArray[np.float32], top_k: int | None) -> NDArray[np.int64] | None:
    return None if top_k is None else np.argsort(-scores, kind="stable")[:top_k]


def _common(
    loaded: LoadedBundle,
    request: Request,
    scored: Scored,
    asked: Any,
    order: NDArray[np.int64] | None,
    *,
    batch: Batch | None = None,
) -> dict[str, Any]:
    content: dict[str, Any] = {
        "bundle": loaded.id,
        "semantics_version": loaded.semantics_version,
        "request_id": request.scope["state"]["request_id"],
        "cold": ColdStarts(**scored.cold).model_dump(),
        "scores": np.ascontiguousarray(scored.scores if order is None else scored.scores[order]),
    }
    if scored.fill is not None:
        content["materialization"] = {"run": scored.fill.run, "mixed": scored.fill.mixed}
    if loaded.scorer.places_unseen:
        content["unseen"] = scored.unseen.counts() if scored.unseen is not None else {"placed": {}, "cold": {}}
    if asked.return_ids:
        content["ids"] = np.ascontiguousarray(scored.ids if order is None else scored.ids[order])
    if asked.return_features and scored.history is not None:
        content["history"] = _history(loaded, scored, order)
    if asked.return_features and scored.features is not None:
        content["features"] = _features(scored, len(scored.scores), order, batch)
        if scored.unseen is not None:
            fields = scored.unseen.placed_fields(len(scored.scores))
            content["placed"] = fields if order is None else [fields[row] for row in order.tolist()]
    return content


def _history(loaded: LoadedBundle, scored: Scored, order: NDArray[np.int64] | None) -> dict[str, list[float | None]]:
    """History field -> its number in each scored row; null where there is nothing to say."""
    assert scored.history is not None
    assert loaded.bundle.history is not None
    rows = scored.history if order is None else scored.history[order]
    return {
        name: [None if number != number else number for number in column.tolist()]
        for name, column in zip(loaded.bundle.history.spec.columns, rows.T, strict=True)
    }


def _features(scored: Scored, count: int, order: NDArray[np.int64] | None, batch: Batch | None) -> dict[str, list[Any]]:
    """Field -> raw values, one per scored row; of a ranking, fields of the user and the context have one value."""
    assert scored.features is not None
    features: dict[str, list[Any]] = {}
    for owner, fields in scored.features.items():
        places = batch.places.get(owner) if batch is not None else None
        for name, values in fields.items():
            if places is not None:
                values = [values[place] for place in places.tolist()]
            elif order is not None and owner in {"item", "repository"} and len(values) == count:
                values = [values[place] for place in order.tolist()]
            features[name] = values
    return features


def _answer(
    content: dict[str, Any], compared: tuple[LoadedBundle, Scored] | None, order: NDArray[np.int64] | None
) -> Response:
    if compared is not None:
        second, scored = compared
        content["compare"] = {
            "bundle": second.id,
            "semantics_version": second.semantics_version,
            "scores": np.ascontiguousarray(scored.scores if order is None else scored.scores[order]),
        }
    return Response(orjson.dumps(content, option=_NUMPY), media_type="application/json")
