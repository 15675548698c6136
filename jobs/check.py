"""`llactr check`: does a running service, or the online store alone, give the ids and scores of the offline path?"""

from __future__ import annotations

from typing import Any

from llactr.diagnostics.agreement import CheckSummary, check_online
from llactr.diagnostics.replay import replay, replay_sentence
from llactr.diagnostics.service_agreement import check_service, sentence
from llactr.steps import Job, StepOutcome

__all__ = ["check_store", "check_url", "describe", "describe_store", "replay", "replay_sentence"]


def check_store(job: Job, dataset: str, *, bundle: str | None = None, rows: int = 1000) -> StepOutcome[CheckSummary]:
    """Scores test rows twice, through the online store and on the offline path, and compares ids and scores.

    Raises:
        ConsistencyError: an id differs, or a score by more than the tolerance.
    """
    return check_online(job, dataset, bundle=bundle, rows=rows)


def check_url(job: Job, dataset: str, *, url: str, rows: int = 1000, api_key: str | None = None) -> dict[str, Any]:
    """Sends test rows to `/v1/predict` and compares ids and scores with the offline path.

    Raises:
        InputError: the URL is none, or the service refuses.
        StoreError: the service does not answer, or cannot score.
        ConsistencyError: an id differs, or a score by more than the tolerance.
    """
    return check_service(job, dataset, url=url, rows=rows, api_key=api_key)


def describe(found: dict[str, Any]) -> str:
    """What a service's check found, in a sentence."""
    return sentence(found)


def describe_store(outcome: StepOutcome[CheckSummary]) -> str:
    """What the store's check found, in a sentence."""
    return outcome.result.sentence
