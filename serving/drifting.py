"""Tells, beside the requests, how far what is scored has gone from what the bundle was trained on."""

from __future__ import annotations

import asyncio
import logging

from llactr.lifecycle.monitoring.window import Window
from llactr.serving.loaded import LoadedBundle
from llactr.serving.metrics import Metrics

__all__ = ["judge_window"]

_LOG = logging.getLogger(__name__)


async def judge_window(loaded: LoadedBundle, window: Window, metrics: Metrics) -> None:
    """Compares a window of scored rows with the bundle's profile: distances into the metrics, alarms into the log."""
    assert loaded.watched is not None
    try:
        findings = await asyncio.to_thread(loaded.watched.judge, window)
    except Exception:  # of a profile that does not fit: scoring goes on
        _LOG.exception("comparing a window with the profile of bundle %s failed", loaded.id)
        return
    metrics.drift_windows.inc()
    for one in findings:
        metrics.drift.labels(one.what, one.of).set(one.distance)
        metrics.drift_alarm.labels(one.what, one.of).set(one.is_alarm)
        if one.is_alarm:
            _LOG.warning("drift from the profile of bundle %s: %s", loaded.id, one.sentence)
