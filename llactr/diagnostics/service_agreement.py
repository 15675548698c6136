"""Does a running service give the ids and scores of the offline path?"""

from __future__ import annotations

import ipaddress
import json
import os
import urllib.error
import urllib.request
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP
from llactr.ctr import Bundle
from llactr.ctr.find import find_bundle
from llactr.ctr.training.join import join
from llactr.diagnostics.agreement import TOLERANCE, chosen_rows, difference, offline_scores, placed_note
from llactr.errors import ConsistencyError, InputError, StoreError
from llactr.spec import DatasetSpec
from llactr.steps import Job
from llactr.store import events_table
from llactr.store.ingested import dataset_spec
from llactr.transforms import raw_column

__all__ = ["ask", "check_service", "finite_rows", "request_rows", "sentence", "service_key"]

_ROWS_PER_REQUEST = 500
_TIMEOUT_S = 30.0


def check_service(job: Job, dataset: str, *, url: str, rows: int = 1000, api_key: str | None = None) -> dict[str, Any]:
    """Sends test rows to `/v1/predict` and compares ids and scores with the offline path.

    The rows are spread evenly over the test split, values that training never saw included; the bundle compared with is
    the one that the service names.

    Args:
        job: where; the workspace that the service's bundle was trained in.
        dataset: the dataset.
        url: of the service, such as http://127.0.0.1:8080.
        rows: how many.
        api_key: by default the first of `$LLACTR_API_KEYS`.

    Raises:
        InputError: the URL is none, or the service refuses.
        StoreError: the service does not answer, or cannot score.
        ConsistencyError: an id differs, or a score by more than the tolerance.
    """
    key = service_key(api_key)
    spec = dataset_spec(job.workspace, dataset)
    served = ask(f"{url.rstrip('/')}/v1/model", None, key)
    if served.get("dataset") != dataset:
        raise InputError(
            f"the service at {url} serves dataset {served.get('dataset')!r}, not {dataset!r}: give --dataset"
        )
    folder = find_bundle(job.workspace, dataset, served["bundle"])
    bundle = Bundle.load(folder)
    _, training_set = join(job, dataset)
    chosen = chosen_rows(training_set, rows)
    events = events_table(job.workspace, spec).take(pa.array(chosen))
    sendable = finite_rows(events, spec)
    if not sendable.any():
        raise InputError("every test row has an infinite number in its context, which JSON cannot carry: mend the data")
    chosen, events = chosen[sendable], events.filter(pa.array(sendable))
    ids, scores = _served(f"{url.rstrip('/')}/v1/predict", events, spec, folder.name, key)
    offline = offline_scores(job.workspace, spec, bundle, chosen)
    other, gap = difference(ids, scores, offline)
    found = {
        "url": url,
        "bundle": folder.name,
        "semantics_version": served["semantics_version"],
        "rows": len(chosen),
        "rows_not_sent": int((~sendable).sum()),
        "rows_with_other_ids": other,
        "max_score_difference": gap,
        "rows_with_placed_values": offline.rows_with_placed,
        "tolerance": TOLERANCE,
        "holds": other == 0 and gap <= TOLERANCE,
    }
    if not found["holds"]:
        raise ConsistencyError(
            f"the service and the offline path disagree: {sentence(found)}: run 'llactr materialize'"
        )
    return found


def sentence(found: dict[str, Any]) -> str:
    """What was found, in a sentence without its full stop."""
    return (
        f"{found['url']} = offline on {found['rows']:,} test rows: {found['rows_with_other_ids']} with other ids, "
        f"scores within {found['max_score_difference']:.1e} (tolerance {found['tolerance']:.0e})"
        f"{placed_note(found['rows_with_placed_values'])}{_not_sent(found['rows_not_sent'])}"
    )


def _not_sent(rows: int) -> str:
    return f"; {rows:,} more hold infinite numbers, which no request can say, and were not sent" if rows else ""


def _served(
    url: str, events: pa.Table, spec: DatasetSpec, bundle: str, key: str | None
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Ids (N, C) and scores (N,) of events, as the service gives them by a bundle.

    Raises:
        StoreError: the service went over to another bundle.
    """
    ids, scores = [], []
    for start in range(0, events.num_rows, _ROWS_PER_REQUEST):
        body = {"rows": request_rows(events.slice(start, _ROWS_PER_REQUEST), spec), "return_ids": True}
        answer = ask(url, body, key)
        if answer["bundle"] != bundle:
            raise StoreError(f"the service went over to bundle {answer['bundle']} meanwhile: check again")
        ids += answer["ids"]
        scores += answer["scores"]
    return np.asarray(ids, np.int32), np.asarray(scores, np.float32)


def request_rows(events: pa.Table, spec: DatasetSpec) -> list[dict[str, Any]]:
    """Events as the rows of a /v1/predict request."""
    names = [raw_column(f) for f in spec.owned_by("context") if raw_column(f) != EVENT_TIMESTAMP]
    rows = []
    for event in events.to_pylist():
        row: dict[str, Any] = {str(owner): event[entity.join_key] for owner, entity in spec.entities.items()}
        row["timestamp"] = event[EVENT_TIMESTAMP].isoformat()
        given = {name: event[name] for name in names}
        # NaN is a null by another name.
        row["context"] = {k: _json(v) for k, v in given.items() if v is not None and v == v}
        rows.append(row)
    return rows


def finite_rows(events: pa.Table, spec: DatasetSpec) -> NDArray[np.bool_]:
    """(N,) whether JSON can carry an event: it has no infinity."""
    finite = np.ones(events.num_rows, np.bool_)
    for field in spec.owned_by("context"):
        column = events[raw_column(field)]
        if pa.types.is_floating(column.type):
            finite &= ~np.isinf(column.to_numpy())
    return finite


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def service_key(given: str | None) -> str | None:
    """The API key to send: the one given, else the first of `$LLACTR_API_KEYS`."""
    return given or os.environ.get("LLACTR_API_KEYS", "").split(",")[0].strip() or None


def ask(url: str, body: dict[str, Any] | None, key: str | None) -> Any:
    """A service's answer.

    Raises:
        InputError: the URL is none, or the service refuses.
        StoreError: nobody answers, or the service cannot.
    """
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
        place = url.removesuffix("/v1/model")
        raise InputError(f"--url {place!r} is no address: give one such as http://127.0.0.1:8080")
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, headers)
    try:
        with _opener(url).open(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            try:
                said = json.load(error)["detail"]
            except (ValueError, KeyError, TypeError):
                said = error.reason
        kind = InputError if error.code < 500 else StoreError
        raise kind(f"the service answered {error.code} to {url}: {said}") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"no service answers at {url} ({error}): start it with 'llactr serve'") from None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Through the proxy that the environment names, but for this machine: no proxy can reach its loopback."""
    host = urlsplit(url).hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if here else []))
