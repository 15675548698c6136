"""Keeps the states of the bundles in use up to date with pushed events, of this process and of others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress

from llactr.errors import LlactrError, NotReadyError, StoreError
from llactr.serving.config import ServeConfig
from llactr.serving.events import EventGate
from llactr.serving.loaded import LoadedBundle
from llactr.serving.metrics import Metrics
from llactr.serving.problems import Problem
from llactr.serving.shadow import Shadow
from llactr.workspace import Workspace

__all__ = ["EventKeeper"]

_LOG = logging.getLogger(__name__)


class EventKeeper:
    """The gate for events, opened once a bundle is loaded whose dataset and store can take them."""

    def __init__(self, config: ServeConfig, metrics: Metrics) -> None:
        self._config = config
        self._metrics = metrics
        self._gate: EventGate | None = None
        self._bundles: Sequence[LoadedBundle] = ()
        self._shadow: Shadow | None = None

    @property
    def gate(self) -> EventGate:
        """What takes pushed events; a Problem where nothing can."""
        if self._gate is None:
            raise Problem(
                409,
                "no-events",
                "the dataset has no users and items, or its online store cannot take events: it has to be SQLite, "
                "Redis or a Redis cluster",
            )
        return self._gate

    async def keep(self, bundles: Sequence[LoadedBundle], shadow: Shadow | None) -> bool:
        """Events change the states of these bundles from now on.

        Args:
            bundles: those that answer, the one in use first.
            shadow: what scores beside them.

        Returns:
            Whether the gate was opened by this call: then `catch_up` is to be started.
        """
        self._bundles, self._shadow = bundles, shadow
        opened = self._gate is None and self._open(bundles[0])
        if self._gate is not None:
            used = [one.bundle.history for one in bundles]
            used += [] if shadow is None else [shadow.history]
            try:
                await self._gate.keep({one.version: one for one in used if one is not None})
            except StoreError as error:  # the next look for logged events makes up for it
                _LOG.warning("logged events wait: %s", error)
        return opened

    async def catch_up(self) -> None:
        """Applies what others logged, every `catch_up_s`, until it is cancelled."""
        while True:
            await asyncio.sleep(self._config.catch_up_s)
            try:
                await self.gate.catch_up()
            except LlactrError as error:  # the watch says what the store does
                _LOG.info("logged events wait: %s", error)
            except Exception:
                _LOG.exception("looking for logged events failed")

    async def close(self) -> None:
        """Lets go of the store."""
        if self._gate is not None:
            await self._gate.close()

    def _open(self, main: LoadedBundle) -> bool:
        if not {"user", "item"} <= set(main.spec.entities):
            return False
        with suppress(NotReadyError):  # this store cannot take events
            self._gate = EventGate(
                Workspace.at(self._config.workspace),
                main.spec,
                feast_config=self._config.feast_config,
                metrics=self._metrics,
                changed=self._forget_items,
            )
        return self._gate is not None

    def _forget_items(self, items: Iterable[str]) -> None:
        if self._shadow is not None:
            self._shadow.pushed(items)
        for loaded in self._bundles:
            if loaded.scorer.past is not None:
                loaded.scorer.past.pushed(items)
