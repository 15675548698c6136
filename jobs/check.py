"""`llactr check --url`: does a running service give the ids and scores of the offline path?"""

from __future__ import annotations

from typing import Any

from llactr.diagnostics.service_agreement import check_service, sentence
from llactr.steps import Job

__all__ = ["check_url", "describe"]


def check_url(job: Job, dataset: str, *, url: str, rows: int = 1000, api_key: str | None = None) -> dict[str, Any]:
    """Sends test rows to `/v1/predict` and compares ids and scores with the offline path.

    Raises:
        InputError: the URL is none, or the service refuses.
        StoreError: the service does not answer, or cannot score.
        ConsistencyError: an id differs, or a score by more than the tolerance.
    """
    return check_service(job, dataset, url=url, rows=rows, api_key=api_key)


def describe(found: dict[str, Any]) -> str:
    """The result in a sentence."""
    return sentence(found)
