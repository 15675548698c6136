"""POST /v1/explain: one row's score, and what it would be with each field left out.

A field is left out by taking it for unknown: its ids become those of no value, a history number becomes one that there
is nothing to say of. Each is left out by itself, so what two fields say together counts for both or for neither, and
the parts need not add up to the score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from llactr.serving.batch import Batch
from llactr.serving.bodies import read_json, validated
from llactr.serving.endpoints import context_of
from llactr.serving.loaded import LoadedBundle
from llactr.serving.problems import Problem
from llactr.serving.readers.base import LostRowsError, StoreAwayError
from llactr.serving.service import Service
from llactr.transforms import NULL, PAD, FieldLayout

__all__ = ["explain", "leave_out"]


def leave_out(
    layout: FieldLayout,
    ids: NDArray[np.int32],
    history: NDArray[np.float32] | None,
    places: Sequence[int | slice] = (),
) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
    """Equal rows, each but the first with another field left out: the layout's fields, then history's.

    Args:
        layout: of the ids, F fields.
        ids: (1 + F + P, C), equal rows.
        history: (1 + F + P, H) numbers, or None where P is 0.
        places: where among the numbers the P fields of history are.
    """
    ids = np.array(ids)
    for place, (start, slots) in enumerate(zip(layout.slot_starts.tolist(), layout.slots, strict=True), start=1):
        ids[place, start : start + slots] = PAD
        ids[place, start] = NULL
    if history is None:
        return ids, None
    history = np.array(history)
    for row, where in enumerate(places, start=1 + layout.field_count):
        history[row, where] = np.nan
    return ids, history


async def explain(service: Service, request: Request) -> Response:
    """POST /v1/explain."""
    with service.in_use() as loaded:
        body = await read_json(request, service.config.max_body_bytes)
        row: Any = validated(loaded.schemas.row, body)
        layout = loaded.bundle.transform.layout
        fields = {} if loaded.bundle.history is None else loaded.bundle.history.spec.places
        places = list(fields.values())
        names = [*layout.names, *fields]
        batch = _repeated(loaded, row, 1 + len(names))
        try:
            scored = await loaded.scorer.score(
                batch, altered=lambda ids, history: leave_out(layout, ids, history, places)
            )
        except LostRowsError as error:
            service.metrics.lost.labels(error.owner).inc(error.rows)
            raise Problem.unavailable(str(error), kind="rows-lost") from None
        except StoreAwayError as error:
            raise service.store_failed(error) from None
    score, *without = scored.scores.astype(np.float64).tolist()
    content = {
        "bundle": loaded.id,
        "semantics_version": loaded.semantics_version,
        "request_id": request.scope["state"]["request_id"],
        "score": score,
        "fields": _parts(layout.names, score, without[: layout.field_count]),
        "history": _parts(list(fields), score, without[layout.field_count :]) if fields else None,
    }
    return Response(orjson.dumps(content), media_type="application/json")


def _repeated(loaded: LoadedBundle, row: Any, count: int) -> Batch:
    keys = {str(owner): [str(getattr(row, owner))] * count for owner in loaded.spec.entities}
    moment = row.timestamp or datetime.now(UTC)
    return Batch.of_rows(keys, moments=[moment] * count, contexts=[context_of(loaded, row.context)] * count)


def _parts(names: Sequence[str], score: float, without: Sequence[float]) -> list[Mapping[str, Any]]:
    """Of each name the score without it, and by how much the logit is lower then."""
    return [
        {"field": name, "without": other, "contribution": _logit(score) - _logit(other)}
        for name, other in zip(names, without, strict=True)
    ]


def _logit(probability: float) -> float:
    inside = min(max(probability, 1e-7), 1 - 1e-7)
    return float(np.log(inside) - np.log1p(-inside))
