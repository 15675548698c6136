"""Drift of what is scored: how often it is looked at, and how often it is told."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llactr.lifecycle.monitoring.window import Finding, Window
from llactr.serving.drifting import DriftWatch
from llactr.serving.metrics import Metrics


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def finding(of: str, distance: float) -> Finding:
    return Finding(what="psi", of=of, expected=None, found=None, distance=distance, limit=0.25)


def judged(watch: DriftWatch, *findings: Finding, bundle: str = "a") -> None:
    loaded = SimpleNamespace(id=bundle, watched=SimpleNamespace(judge=lambda window: list(findings)))
    asyncio.run(watch.judge(cast(Any, loaded), cast(Window, None)))


def test_of_many_windows_one_a_second_is_compared() -> None:
    clock = Clock()
    watch = DriftWatch(Metrics(None), clock=clock)
    due = []
    for _ in range(40):  # five seconds, eight windows each
        due.append(watch.is_due())
        clock.now += 0.125
    assert due == [*[True] + [False] * 7] * 5


def test_a_drift_that_stays_is_told_when_it_comes_and_every_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    metrics = Metrics(None)
    watch = DriftWatch(metrics, clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(601):
            judged(watch, finding("city", 0.5), finding("age", 0.1))
            clock.now += 1
    first, second = (record.getMessage() for record in caplog.records)
    assert "city" in first
    assert "windows since" not in first
    assert second == f"{first} (600 windows since this was last said)"
    text = metrics.text().decode()
    assert 'llactr_drift_alarm{of="city",what="psi"} 1.0' in text
    assert 'llactr_drift_alarm{of="age",what="psi"} 0.0' in text
    assert "llactr_drift_windows_total 601.0" in text


def test_another_drift_and_another_bundle_are_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = DriftWatch(Metrics(None), clock=Clock())
    with caplog.at_level(logging.WARNING):
        judged(watch, finding("city", 0.5))
        judged(watch, finding("city", 0.5), finding("age", 0.5))
        judged(watch, finding("city", 0.5), bundle="b")
    said = [record.getMessage() for record in caplog.records]
    assert [("city" in one, "bundle a" in one) for one in said] == [(True, True), (False, True), (True, False)]
