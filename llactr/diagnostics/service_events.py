"""Events through a running service, in pieces that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from llactr.diagnostics.service_agreement import ask, service_key
from llactr.errors import InputError
from llactr.spec import DatasetSpec, TimestampPartField
from llactr.store.events import LoggedEvent

__all__ = ["event_bodies", "push_to_service"]

_EVENTS_PER_REQUEST = 500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def push_to_service(
    url: str, spec: DatasetSpec, events: Sequence[LoggedEvent], *, api_key: str | None = None
) -> dict[str, Any]:
    """Sends events to `/v1/events`; returns how many `events`, and how many were `repeated` where the service knows.

    Raises:
        InputError: the URL is none, the service serves another dataset, or refuses.
        StoreError: the service does not answer, or its store.
    """
    key, place = service_key(api_key), url.rstrip("/")
    served = ask(f"{place}/v1/model", None, key)
    if served.get("dataset") != spec.name:
        raise InputError(
            f"the service at {url} serves dataset {served.get('dataset')!r}, not {spec.name!r}: give --dataset"
        )
    repeated: int | None = 0
    for start in range(0, len(events), _EVENTS_PER_REQUEST):
        body = {"events": event_bodies(spec, events[start : start + _EVENTS_PER_REQUEST])}
        answer = ask(f"{place}/v1/events", body, key)
        known = answer["repeated"]
        repeated = None if known is None or repeated is None else repeated + known
    return {"url": url, "events": len(events), "repeated": repeated}


def event_bodies(spec: DatasetSpec, events: Sequence[LoggedEvent]) -> list[dict[str, Any]]:
    """Events as `/v1/events` takes them."""
    moments = {field.name for field in spec.fields if isinstance(field, TimestampPartField)}
    return [
        {
            "user": event.user,
            "item": event.item,
            "timestamp": _spelled(event.time),
            "outcome": int(event.outcome),
            "context": {
                name: _spelled(value) if name in moments else value for name, value in (event.context or {}).items()
            },
        }
        for event in events
    ]


def _spelled(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat()
