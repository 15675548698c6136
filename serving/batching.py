"""Requests that are ready in the same turn of the event loop share one pass of the model; nobody waits for company."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llactr.serving.metrics import ScoringMetrics

__all__ = ["MicroBatcher"]

_ROWS_PER_PASS = 2048


class MicroBatcher:
    """Scores ids, alone or together with those of other requests.

    A pass of the model has a fixed cost, half of it for two hundred rows. Answers of the store arrive in one piece for
    several requests, so under load their ids are ready together; an idle service scores each at once.

    Args:
        score: (N, C) local ids to (N,) probabilities.
        together: False scores each request by itself.
    """

    def __init__(
        self, score: Callable[[NDArray[np.int32]], NDArray[np.float32]], *, together: bool, metrics: ScoringMetrics
    ) -> None:
        self._score = score
        self._together = together
        self._metrics = metrics
        self._waiting: list[tuple[NDArray[np.int32], asyncio.Future[NDArray[np.float32]]]] = []

    async def score(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """(N,) probabilities of (N, C) local ids."""
        if not self._together:
            return self._pass(ids, 1)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[NDArray[np.float32]] = loop.create_future()
        self._waiting.append((ids, future))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return await future

    def _flush(self) -> None:
        """Scores what waits, at most `_ROWS_PER_PASS` rows unless one request has more; then lets others run."""
        waiting, rows, count = self._waiting, 0, 0
        for ids, _ in waiting:
            if count and rows + len(ids) > _ROWS_PER_PASS:
                break
            rows, count = rows + len(ids), count + 1
        batch, self._waiting = waiting[:count], waiting[count:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        live = [(ids, future) for ids, future in batch if not future.done()]
        if not live:
            return
        try:
            scores = self._pass(live[0][0] if len(live) == 1 else np.concatenate([ids for ids, _ in live]), len(live))
        except Exception as error:  # whatever the model throws belongs to the requests of this pass
            for _, future in live:
                future.set_exception(error)
            return
        start = 0
        for ids, future in live:
            future.set_result(scores[start : start + len(ids)])
            start += len(ids)

    def _pass(self, ids: NDArray[np.int32], requests: int) -> NDArray[np.float32]:
        with self._metrics.stage("model"):
            scores = self._score(ids)
        self._metrics.batch_requests.observe(requests)
        return scores
