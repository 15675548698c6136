"""A second bundle that scores a share of the requests beside the service, off the path of their answers.

It has a thread and an event loop of its own, a connection to the store and caches of its own. A request is answered
first; then its batch is handed over, or dropped and counted where too many rows wait. Whatever goes wrong here is
counted, said in the log, and changes no answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llactr.errors import BundleError, LlactrError
from llactr.history import HistoryDefinition
from llactr.sampling import share_of
from llactr.serving.batch import Batch
from llactr.serving.config import ServeConfig
from llactr.serving.loaded import LoadedBundle, load_bundle
from llactr.serving.metrics import ShadowMetrics
from llactr.serving.scorer import Scored
from llactr.serving.served_log import ServedLog
from llactr.spec import DatasetSpec

__all__ = ["Shadow", "places_moved", "top_changed"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_LAST_WORD_S = 5.0
_TOP = 10


@dataclass(frozen=True)
class _Request:
    spec: DatasetSpec
    bundle: str
    semantics_version: str | None
    request_id: str
    batch: Batch
    scored: Scored
    history: HistoryDefinition | None


class Shadow:
    """The second bundle of one worker.

    Args:
        config: the service's settings; `shadow_share` and `shadow_queue_rows` among them.
        metrics: counts.
        log: takes the rows with both scores, or with the first alone where the second bundle could not score them.

    Attributes:
        folder: of the bundle in use; None while there is none.
    """

    def __init__(self, config: ServeConfig, *, metrics: ShadowMetrics, log: ServedLog) -> None:
        self._config = config
        self._metrics = metrics
        self._log = log
        self._loaded: LoadedBundle | None = None
        self._rows = 0
        self._changed = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._queue: asyncio.Queue[_Request] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._worker: asyncio.Task[None] | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the bundle that scores; None while there is none."""
        return None if self._loaded is None else self._loaded.folder

    @property
    def history(self) -> HistoryDefinition | None:
        """The history that it reads, whose states have to be kept up."""
        return None if self._loaded is None else self._loaded.bundle.history

    async def load(self, folder: Path, main: LoadedBundle) -> None:
        """Loads a bundle, for the first time or anew.

        Raises:
            InputError: it cannot be served, or is of another dataset than `main`.
            StoreError: the store does not answer.
        """

        async def exchange() -> None:
            new = await load_bundle(folder, self._config, metrics=self._metrics)
            if new.spec.name != main.spec.name:
                await new.reader.close()
                raise BundleError(
                    f"bundle {new.id} is of dataset {new.spec.name!r}, {main.id} of {main.spec.name!r}: a bundle to "
                    "shadow must be of the same dataset"
                )
            old, self._loaded = self._loaded, new
            self._metrics.bundle.labels(new.id).set(1)
            if old is not None:
                await _retire(old)

        if self._worker is None:
            self._thread.start()
            self._worker = await asyncio.wrap_future(self._there(self._begin()))
        await asyncio.wrap_future(self._there(exchange()))

    def drop(self) -> None:
        """Stops scoring: the bundle is gone, or may no longer be used."""
        if self._loaded is not None:
            self._metrics.bundle.labels(self._loaded.id).set(0)
            old, self._loaded = self._loaded, None
            self._there(_retire(old))

    def takes(self, main: LoadedBundle, batch: Batch, request_id: str) -> bool:
        """Whether a request is of the share: by its user where it has one, else by its id. The same user always is."""
        loaded = self._loaded
        if loaded is None or loaded.folder == main.folder:  # promoted meanwhile: it would compare with itself
            return False
        users: Sequence[str] = batch.keys.get("user", ())
        return share_of(users[0] if len(users) == 1 else request_id) < self._config.shadow_share

    def offer(self, main: LoadedBundle, batch: Batch, scored: Scored, *, request_id: str) -> bool:
        """Takes a scored request into the queue, or lets it go; never waits. Its rows reach the log either way."""
        request = _Request(main.spec, main.id, main.semantics_version, request_id, batch, scored, main.bundle.history)
        with self._changed:
            taken = self._loaded is not None and self._rows + batch.rows <= self._config.shadow_queue_rows
            self._rows += batch.rows if taken else 0
        if taken:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, request)
        else:
            self._metrics.requests.labels("dropped").inc()
            self._keep(request)
        return taken

    def pushed(self, items: Iterable[str]) -> None:
        """An event of this process changed the states of some items."""
        if self._worker is not None:
            self._loop.call_soon_threadsafe(self._forget, tuple(items))

    async def drain(self) -> None:
        """Scores what was taken, as far as there is time; the rest goes into the log without a second score."""
        if self._worker is None:
            return

        async def rest() -> None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._queue.join(), _LAST_WORD_S)
            while not self._queue.empty():
                self._let_go(self._queue.get_nowait())

        await asyncio.wrap_future(self._there(rest()))

    async def close(self) -> None:
        """Drains, and ends the thread."""
        if self._worker is None:
            self._loop.close()
            return
        await self.drain()
        await asyncio.wrap_future(self._there(self._end(self._worker)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    async def _begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._work())

    async def _end(self, worker: asyncio.Task[None]) -> None:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        if self._loaded is not None:
            await self._loaded.reader.close()

    def _there(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine in the thread's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _forget(self, items: tuple[str, ...]) -> None:
        if self._loaded is not None and self._loaded.scorer.past is not None:
            self._loaded.scorer.past.pushed(items)

    async def _work(self) -> None:
        while True:
            request = await self._queue.get()
            try:
                await self._score(request)
            finally:
                self._done(request)

    def _done(self, request: _Request) -> None:
        with self._changed:
            self._rows -= request.batch.rows
        self._queue.task_done()

    def _let_go(self, request: _Request) -> None:
        self._metrics.requests.labels("dropped").inc()
        self._keep(request)
        self._done(request)

    async def _score(self, request: _Request) -> None:
        loaded = self._loaded
        if loaded is None:
            self._metrics.requests.labels("dropped").inc()
            self._keep(request)
            return
        loaded.requests.begin()
        try:
            second = (await loaded.scorer.score(request.batch)).scores
        except asyncio.CancelledError:  # the service ends
            self._metrics.requests.labels("dropped").inc()
            self._keep(request)
            raise
        except Exception as error:  # no failure of the second bundle is one of the service
            self._metrics.requests.labels("failed").inc()
            self._keep(request)
            if isinstance(error, LlactrError):
                _LOG.warning("bundle %s beside the answers: %s", loaded.id, error)
                await asyncio.sleep(self._config.probe_interval_s)
                with suppress(LlactrError):
                    await loaded.reader.probe()  # reconnects
            else:
                _LOG.exception("bundle %s beside the answers failed", loaded.id)
            return
        finally:
            loaded.requests.end()
        self._metrics.requests.labels("scored").inc()
        self._count(request, second)
        self._keep(request, bundle=loaded.id, scores=second)

    def _count(self, request: _Request, second: NDArray[np.float32]) -> None:
        first = request.scored.scores
        self._metrics.score_sum.labels("main").inc(float(first.sum()))
        self._metrics.score_sum.labels("shadow").inc(float(second.sum()))
        self._metrics.difference.observe(float(np.abs(second - first).mean()))
        if len(first) > 1 and not request.batch.places:  # candidates of one request
            self._metrics.places.observe(places_moved(first, second))
            self._metrics.top_changed.observe(top_changed(first, second))

    def _keep(self, request: _Request, *, bundle: str | None = None, scores: NDArray[np.float32] | None = None) -> None:
        self._log.offer(
            request.spec,
            request.batch,
            request.scored,
            bundle=request.bundle,
            semantics_version=request.semantics_version,
            request_id=request.request_id,
            history=request.history,
            shadow_bundle=bundle,
            shadow_scores=scores,
        )


async def _retire(old: LoadedBundle) -> None:
    await old.requests.ended()
    await old.reader.close()


def places_moved(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Mean number of places between where two (N,) scores put the same item, best first; ties in the order given."""
    return float(np.abs(_places(first) - _places(second)).mean())


def top_changed(first: NDArray[np.float32], second: NDArray[np.float32], *, top: int = _TOP) -> float:
    """Share of the `top` best by `first` that are not as high by `second`; at most half of the items are the best."""
    count = min(top, len(first) // 2)
    if not count:
        return 0.0
    best = _places(second) < count
    return float(1 - best[_places(first) < count].mean())


def _places(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N,) place of each item, best first."""
    places = np.empty(len(scores), np.int64)
    places[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return places
