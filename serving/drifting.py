"""Tells, beside the requests, how far what is scored has gone from what the bundle was trained on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from llactr.lifecycle.monitoring.window import Finding, Window
from llactr.serving.loaded import LoadedBundle
from llactr.serving.metrics import Metrics

__all__ = ["DriftWatch"]

_LOG = logging.getLogger(__name__)
_BETWEEN_WINDOWS_S = 1.0
_BETWEEN_WORDS_S = 600.0


class DriftWatch:
    """Compares windows of scored rows with the bundle's profile: distances into the metrics, alarms into the log.

    A busy service fills many windows a second: one a second is compared. A drift that stays is told when it comes and
    every ten minutes, not with each window.

    Args:
        metrics: counts.
        clock: seconds that only rise.
    """

    def __init__(self, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._compared = float("-inf")
        self._told: dict[tuple[str, str, str], float] = {}  # bundle, what, of -> when
        self._since: dict[tuple[str, str, str], int] = {}  # windows with that alarm since

    def is_due(self) -> bool:
        """Whether a window that is full now is to be compared; the next one is not before a second has passed."""
        now = self._clock()
        if now - self._compared < _BETWEEN_WINDOWS_S:
            return False
        self._compared = now
        return True

    async def judge(self, loaded: LoadedBundle, window: Window) -> None:
        """Compares a window; what goes wrong is logged, and scoring goes on."""
        assert loaded.watched is not None
        try:
            findings = await asyncio.to_thread(loaded.watched.judge, window)
        except Exception:  # of a profile that does not fit
            _LOG.exception("comparing a window with the profile of bundle %s failed", loaded.id)
            return
        self._metrics.drift_windows.inc()
        for one in findings:
            self._metrics.drift.labels(one.what, one.of).set(one.distance)
            self._metrics.drift_alarm.labels(one.what, one.of).set(one.is_alarm)
        self._tell(loaded.id, [one for one in findings if one.is_alarm])

    def _tell(self, bundle: str, alarms: Sequence[Finding]) -> None:
        now = self._clock()
        for one in alarms:
            key = (bundle, one.what, one.of)
            self._since[key] = self._since.get(key, 0) + 1
            if now - self._told.get(key, float("-inf")) < _BETWEEN_WORDS_S:
                continue
            more = f" ({self._since[key]} windows since this was last said)" if key in self._told else ""
            _LOG.warning("drift from the profile of bundle %s: %s%s", bundle, one.sentence, more)
            self._told[key], self._since[key] = now, 0
        for key in [key for key in self._told if key[0] != bundle]:
            del self._told[key], self._since[key]
