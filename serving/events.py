"""Pushed events of one worker: groups that share a flush to the disk, applied by one thread beside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from llactr.history import HistoryDefinition
from llactr.serving.metrics import Metrics
from llactr.spec import DatasetSpec
from llactr.store.events import LoggedEvent, Pusher
from llactr.store.feast.open import open_store
from llactr.workspace import Workspace

__all__ = ["EventGate", "caught_up"]

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_EVENTS_PER_GROUP = 2000


class EventGate:
    """Takes events of requests. While a group is written and applied, the next one gathers: nobody waits for company.

    Args:
        workspace: where the log is.
        spec: of the dataset.
        feast_config: see `open_store`.
        metrics: counts.
        changed: told the items whose states an event of this process has changed.
    """

    def __init__(
        self,
        workspace: Workspace,
        spec: DatasetSpec,
        *,
        feast_config: Path | None,
        metrics: Metrics,
        changed: Callable[[Iterable[str]], None],
    ) -> None:
        self._metrics = metrics
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._waiting: list[tuple[Sequence[LoggedEvent], asyncio.Future[int | None]]] = []
        self._flushing = False
        self._pusher = Pusher(workspace, spec, open_store(workspace, config=feast_config), {})

    async def keep(self, definitions: Mapping[str, HistoryDefinition]) -> None:
        """From now on states of these versions are kept up; what they lack of the log is applied first.

        Raises:
            StoreError: the store does not answer.
        """

        def work() -> int:
            self._pusher.definitions = dict(definitions)
            return self._pusher.catch_up()

        self._note(await self._in_thread(work))

    async def push(self, events: Sequence[LoggedEvent]) -> int | None:
        """Logs and applies events; returns how many count, None where another process applied them.

        Raises:
            OSError: they could not be logged; none of them counts.
            StoreError: they are logged, and will be applied when the store answers again.
        """
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, future))
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._flush()))
        return await future

    async def catch_up(self) -> None:
        """Applies what other processes logged and did not apply.

        Raises:
            StoreError: the store does not answer, or the log is damaged.
        """
        self._note(await self._in_thread(self._pusher.catch_up))

    async def close(self) -> None:
        """Ends the segment of this process."""
        await self._in_thread(self._pusher.close)
        self._thread.shutdown(wait=False)

    async def _flush(self) -> None:
        try:
            while self._waiting:
                size, count = 0, 0
                for events, _ in self._waiting:
                    if count and size + len(events) > _EVENTS_PER_GROUP:
                        break
                    size, count = size + len(events), count + 1
                group, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._push(group)
        finally:
            self._flushing = False

    async def _push(self, group: Sequence[tuple[Sequence[LoggedEvent], asyncio.Future[int | None]]]) -> None:
        everything = [event for events, _ in group for event in events]
        self._metrics.event_groups.observe(len(everything))
        try:
            pushed = await self._in_thread(lambda: self._pusher.push(everything))
        except Exception as error:  # it belongs to the requests of this group
            self._metrics.event_failures.labels("log" if isinstance(error, OSError) else "store").inc()
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        finally:
            self._changed({event.item for event in everything})
        flags, at = pushed.counted, 0
        for events, future in group:
            mine = None if flags is None else sum(flags[at : at + len(events)])
            at += len(events)
            if mine is not None:
                self._metrics.events.labels("counted").inc(mine)
                self._metrics.events.labels("repeated").inc(len(events) - mine)
            if not future.done():
                future.set_result(mine)

    def _note(self, applied: int) -> None:
        if applied:
            self._metrics.caught_up.inc(applied)
            _LOG.info("%d logged events were applied to the history of users and items", applied)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def caught_up(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, *, feast_config: Path | None
) -> int:
    """Sees that a definition's states are online whole, and applies what they lack of the log; returns how many events.

    Raises:
        NotReadyError: they are not online.
        StoreError: the store does not answer.
    """
    pusher = Pusher(workspace, spec, open_store(workspace, config=feast_config), {definition.version: definition})
    try:
        pusher.require_online()
        return pusher.catch_up()
    finally:
        pusher.close()
