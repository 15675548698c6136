"""POST /v1/events: what happened, from a request into the log and the history of users and items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from llactr.errors import StoreError
from llactr.serving.bodies import read_json, validated
from llactr.serving.loaded import LoadedBundle
from llactr.serving.problems import Problem
from llactr.serving.service import Service
from llactr.spec import DatasetSpec
from llactr.store.events import LoggedEvent
from llactr.store.events.checks import moment_fault
from llactr.transforms import scalar_text

__all__ = ["events"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


async def events(service: Service, request: Request) -> Response:
    """Logs and applies the events of a request, then answers."""
    with service.in_use() as loaded:
        gate, (one, several) = service.events, (loaded.schemas.event, loaded.schemas.events)
        assert one is not None
        assert several is not None, "there is a gate only for users and items"
        body = await read_json(request, service.config.max_body_bytes)
        with service.metrics.stage("json_in"):
            if isinstance(body, dict) and "events" in body:
                asked: Any = validated(several, body)
                found = _logged(loaded, asked.events, [f"/events/{place}" for place in range(len(asked.events))])
            else:
                found = _logged(loaded, [validated(one, body)], [""])
        try:
            counted = await gate.push(found)
        except StoreError as error:
            raise Problem.unavailable(
                f"the events are logged and will be applied when the store answers: {error}; to send them again does "
                "no harm",
                kind="events-wait",
            ) from None
        except OSError as error:
            raise Problem.unavailable(
                f"the events could not be logged ({error.strerror or error}), and none of them counts: send them again",
                kind="events-refused",
            ) from None
    content = {
        "accepted": len(found),
        "repeated": None if counted is None else len(found) - counted,
        "request_id": request.scope["state"]["request_id"],
    }
    return Response(orjson.dumps(content), media_type="application/json")


def _logged(loaded: LoadedBundle, given: list[Any], places: list[str]) -> list[LoggedEvent]:
    now = datetime.now(UTC)
    found = []
    for event, place in zip(given, places, strict=True):
        moment = event.timestamp or now
        _check_moment(loaded, moment, now, f"{place}/timestamp")
        context = {name: getattr(event.context, attribute) for attribute, name in loaded.schemas.context_names.items()}
        found.append(
            LoggedEvent(
                str(event.user),
                str(event.item),
                (moment - _EPOCH) // _MICROSECOND,
                float(event.outcome),
                _context(loaded.spec, context) or None,
            )
        )
    return found


def _check_moment(loaded: LoadedBundle, moment: datetime, now: datetime, pointer: str) -> None:
    reason = moment_fault(moment, first=loaded.first_event, now=now)
    if reason:
        raise Problem(422, "invalid-request", f"{pointer}: {reason}", errors=[{"pointer": pointer, "reason": reason}])


def _context(spec: DatasetSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Context fields as the log keeps them: text, numbers, microseconds; those without a value are left out."""
    context: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, datetime):
            context[name] = (value - _EPOCH) // _MICROSECOND
        else:
            context[name] = float(value) if spec.field(name).kind == "numeric" else scalar_text(value)
    return context
