"""The running service's state: the bundle in use, its exchange for another, and whether requests can be scored."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llactr.errors import BundleError, LlactrError, StoreError
from llactr.lifecycle.forgetting.receipts import cleared_up_to
from llactr.lifecycle.running import Registration
from llactr.serving.answers import ReloadResponse
from llactr.serving.config import ServeConfig
from llactr.serving.control import NEWEST, Control
from llactr.serving.drifting import DriftWatch
from llactr.serving.events import EventGate
from llactr.serving.keeping import EventKeeper
from llactr.serving.loaded import LoadedBundle, bundle_folder, last_promotion, load_bundle, served_dataset
from llactr.serving.metrics import Metrics, ShadowMetrics
from llactr.serving.problems import Problem
from llactr.serving.readers.base import StoreAwayError
from llactr.serving.schemas import RequestSchemas
from llactr.serving.scorer import Scored
from llactr.serving.served_log import ServedLog, served_schema
from llactr.serving.shadow import Shadow
from llactr.workspace import Workspace

__all__ = ["Service"]

_LOG = logging.getLogger(__name__)
_FOLLOW_S = 0.5
_RETRY_S = 5.0


class Service:
    """One worker process.

    Attributes:
        config: the settings.
        metrics: counts.
        log: the served-feature log.
        shadow: the bundle that scores beside the answers; None where there is none.
    """

    def __init__(self, config: ServeConfig, *, control: Control | None = None) -> None:
        self.config = config
        self._control = control
        self.metrics = Metrics(control.folder if control else None)
        self._drift = DriftWatch(self.metrics)
        self.log = ServedLog(
            Workspace.at(config.workspace),
            rate=config.log_rate,
            queue_rows=config.log_queue_rows,
            flush_s=config.log_flush_s,
            file_rows=config.log_file_rows,
            metrics=self.metrics,
            shadowed=config.shadow is not None,
        )
        self.shadow = (
            None
            if config.shadow is None
            else Shadow(config, metrics=ShadowMetrics(self.metrics.registry), log=self.log)
        )
        self._main: LoadedBundle | None = None
        self._compare: LoadedBundle | None = None
        self._keeper = EventKeeper(config, self.metrics)
        self._wanted = _named((control.target() if control else None) or config.bundle)
        self._started = False
        self._not_ready = "the bundle is being loaded"
        self._reloading = asyncio.Lock()
        workspace = Workspace.at(config.workspace)
        self._registration = Registration(workspace, follows=config.bundle is None)
        self._followed = ""
        self._cleared = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Loads the bundle and watches the store. A store that is away delays readiness; a bad bundle is an error.

        Raises:
            InputError: the bundle cannot be served.
        """
        if self._started:
            return
        self._started = True
        self.metrics.ready.set(0)
        self._followed = last_promotion(self.config)  # before the look: a promotion meanwhile is followed
        self._cleared = cleared_up_to(Workspace.at(self.config.workspace), served_dataset(self.config))
        folder = bundle_folder(self.config, self._wanted)
        try:
            async with self._reloading:  # a SIGHUP meanwhile waits
                await self._load_both(folder)
        except StoreError as error:
            self._unready(str(error))
        except BaseException:
            if self.shadow is not None:
                await self.shadow.close()
            raise
        self.log.start()
        self.background(self._watch())
        self.background(self._follow())

    async def stop(self) -> None:
        """Ends the watch, lets go of the store, and writes what the log has accepted."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.shadow is not None:
            await self.shadow.close()
        await asyncio.to_thread(self.log.close)
        await asyncio.to_thread(self._registration.close)
        await self._keeper.close()
        for loaded in (self._main, self._compare):
            if loaded is not None:
                await loaded.reader.close()

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine beside the requests, until `stop`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def main(self) -> LoadedBundle:
        """The bundle in use; a Problem while requests cannot be scored."""
        if self._main is None or self._not_ready:
            raise Problem.unavailable(self._not_ready or "no bundle is loaded", kind="not-ready")
        return self._main

    @property
    def name(self) -> str:
        """What is served, for people."""
        return f"bundle {self._main.id}" if self._main else f"no bundle yet ({self._not_ready})"

    @property
    def schemas(self) -> RequestSchemas | None:
        """Request models of the bundle in use."""
        return self._main.schemas if self._main else None

    @property
    def described(self) -> LoadedBundle:
        """The bundle in use, whether or not the store answers."""
        if self._main is None:
            raise Problem.unavailable(self._not_ready, kind="not-ready")
        return self._main

    @property
    def compare(self) -> LoadedBundle | None:
        """The second bundle, if there is one."""
        return self._compare

    @property
    def events(self) -> EventGate:
        """What takes pushed events; a Problem where nothing can."""
        return self._keeper.gate

    def watch(self, loaded: LoadedBundle, scored: Scored) -> None:
        """Gathers scored rows; one full window a second is compared with the bundle's profile, beside the requests."""
        window = None if loaded.watched is None else loaded.watched.add(scored.ids, scored.scores)
        if window is not None and self._drift.is_due():
            self.background(self._drift.judge(loaded, window))

    @property
    def not_ready(self) -> str:
        """Why requests cannot be scored; empty when they can."""
        return self._not_ready

    def store_failed(self, error: StoreAwayError) -> Problem:
        """Notes that a read failed: from now on requests are refused at once, until the watch sees the store again."""
        self.metrics.store_failures.inc()
        self._unready(str(error))
        return Problem.unavailable(str(error))

    @contextmanager
    def in_use(self) -> Iterator[LoadedBundle]:
        """The bundle in use, as `main`; its store stays connected while the block runs."""
        loaded = self.main
        loaded.requests.begin()
        try:
            yield loaded
        finally:
            loaded.requests.end()

    async def reload(self, name: str | None = None, *, signalled: bool = False, anew: bool = False) -> ReloadResponse:
        """Loads a bundle beside the one in use and switches to it, or keeps the old one.

        Args:
            name: a bundle's id; by default the one promoted last, or trained last where none ever was, whatever was
                named before.
            anew: load the bundle in use again, from its folder, which has changed; `name` is not looked at.
            signalled: by SIGHUP, which in a worker means what the workers were told to load.

        Raises:
            LlactrError: the new bundle cannot be served; nothing has changed.
        """
        async with self._reloading:
            began = time.perf_counter()
            old = self._main
            if signalled and self._control is not None:
                name = _named(self._control.target())
            try:
                promotion = last_promotion(self.config)
                folder = old.folder if anew and old is not None else bundle_folder(self.config, name)
                if old is not None and folder == old.folder and not anew:
                    self._wanted, self._followed = name, promotion
                    self.metrics.reloads.labels("unchanged").inc()
                    return ReloadResponse(
                        previous=old.id, bundle=old.id, changed=False, seconds=time.perf_counter() - began
                    )
                new = await self._successor(folder) if old is not None else await self._load_both(folder)
            except LlactrError as error:
                self.metrics.reloads.labels("refused").inc()
                await self._register()
                _LOG.error("reload refused, %s stays: %s", old.id if old else "no bundle", error)
                raise
            if old is not None:
                new.scorer.warm(old.scorer)
                await self._keep_up(new)  # before it answers: what was acknowledged meanwhile is in its states
                self._switch(new)
            if not anew:
                self._wanted, self._followed = name, promotion
            await self._register()
            await self._keep_up()
            if old is not None:
                self.background(_retire(old))
            self.metrics.reloads.labels("switched").inc()
            _LOG.info("serving bundle %s in place of %s", new.id, old.id if old else "none")
            return ReloadResponse(
                previous=old.id if old else "",
                bundle=new.id,
                changed=True,
                seconds=round(time.perf_counter() - began, 3),
            )

    def reloaded(self, outcome: ReloadResponse) -> None:
        """Tells the other workers of a reload that this one was asked for."""
        if outcome.changed and self._control is not None:
            self._control.spread(outcome.bundle)

    async def _successor(self, folder: Path) -> LoadedBundle:
        """A bundle that may take the place of the one in use."""
        new = await self._load(folder)
        try:
            self._check_successor(new)
        except BaseException:
            await new.reader.close()
            raise
        return new

    async def _load_both(self, folder: Path) -> LoadedBundle:
        """Loads the first bundle, and those beside it that were asked for; from then on they are in use."""
        main = await self._load(folder)
        try:
            if self.config.log_rate or self.config.shadow:
                served_schema(main.spec)
            if self.config.compare_bundle is not None and self._compare is None:
                compare = await self._load(bundle_folder(self.config, self.config.compare_bundle), main)
                if compare.spec.name != main.spec.name:
                    await compare.reader.close()
                    raise BundleError(
                        f"bundle {compare.id} is of dataset {compare.spec.name!r}, {main.id} of {main.spec.name!r}: "
                        "bundles to compare must be of one dataset"
                    )
                self._compare = compare
            if self.shadow is not None and self.shadow.folder is None:
                beside = bundle_folder(self.config, self.config.shadow)
                await self._register(folder, beside)
                await self.shadow.load(beside, main)
        except BaseException:
            await main.reader.close()
            raise
        self._switch(main)
        await self._keep_up()
        return main

    async def _keep_up(self, *more: LoadedBundle) -> None:
        """Events change the states of the bundles in use, and of those that are about to be."""
        used = [one for one in (self._main, self._compare, *more) if one is not None]
        if await self._keeper.keep(used, self.shadow):
            self.background(self._keeper.catch_up())

    async def _load(self, folder: Path, *loaded: LoadedBundle) -> LoadedBundle:
        """Loads a bundle, after it was said that it is in use: what is collected as garbage is not loaded."""
        await self._register(folder, *(one.folder for one in loaded))
        return await load_bundle(folder, self.config, metrics=self.metrics)

    async def _register(self, *more: Path) -> None:
        """Says which bundles are in use, and which will be."""
        folders = [one.folder for one in (self._main, self._compare, self.shadow) if one is not None and one.folder]
        dataset = self._main.spec.name if self._main is not None else served_dataset(self.config)
        if not await asyncio.to_thread(self._registration.tell, dataset, [*folders, *more], cleared=self._cleared):
            _LOG.info("the workspace cannot be written: 'llactr gc' does not see this service")

    async def _follow(self) -> None:
        """Goes along when another bundle is promoted; while that one cannot be served, the old one stays."""
        while True:
            await asyncio.sleep(_FOLLOW_S)
            try:
                if self._main is None:
                    continue
                await self._clear(self._main.spec.name)
                if self.config.bundle is not None or last_promotion(self.config) == self._followed:
                    continue
                await self.reload()
                if self._control is not None:
                    await asyncio.to_thread(self._control.follow)
            except LlactrError:  # said in the log
                await asyncio.sleep(_RETRY_S)
            except Exception:
                _LOG.exception("looking for promotions failed")
                await asyncio.sleep(_RETRY_S)

    async def _clear(self, dataset: str) -> None:
        """Lets go of users that were forgotten: bundles are loaded anew, what waits for the served log is written."""
        number = cleared_up_to(Workspace.at(self.config.workspace), dataset)
        if number <= self._cleared:
            return
        if self._main is not None:
            await self.reload(anew=True)
        async with self._reloading:
            if self._compare is not None:
                old, self._compare = self._compare, await self._load(self._compare.folder)
                self.background(_retire(old))
            if self.shadow is not None:
                await self._clear_shadow(self.shadow)
            await self._keep_up()
        await asyncio.to_thread(self.log.flush)
        self._cleared = number
        await self._register()

    async def _clear_shadow(self, shadow: Shadow) -> None:
        """Its bundle is loaded anew too, after what it had taken is in the log; one that cannot be is let go of."""
        await shadow.drain()
        if shadow.folder is not None and self._main is not None:
            try:
                await shadow.load(shadow.folder, self._main)
            except LlactrError as error:
                _LOG.error("nothing is scored beside the answers any more: %s", error)
                shadow.drop()

    def _switch(self, new: LoadedBundle) -> None:
        if self._main is not None:
            self.metrics.bundle.labels(self._main.id, self._main.semantics_version).set(0)
        self._main = new
        self.metrics.bundle.labels(new.id, new.semantics_version).set(1)
        self._ready()

    def _check_successor(self, new: LoadedBundle) -> None:
        if self.config.log_rate or self.config.shadow:
            served_schema(new.spec)
        if self._main is not None and new.spec.name != self._main.spec.name:
            raise BundleError(
                f"bundle {new.id} is of dataset {new.spec.name!r}, this service serves {self._main.spec.name!r}: "
                "start another service for it"
            )

    async def _watch(self) -> None:
        """Looks at the store every `probe_interval_s`; loads the bundle once a store that was away is back."""
        while True:
            await asyncio.sleep(self.config.probe_interval_s)
            try:
                if self._main is None:
                    async with self._reloading:
                        if self._main is None:  # a reload may have come first
                            await self._load_both(bundle_folder(self.config, self._wanted))
                for loaded in (self._main, self._compare):
                    if loaded is not None:
                        await self._probe(loaded)
            except LlactrError as error:
                self._unready(str(error))
            except Exception:
                _LOG.exception("looking at the online store failed")
                self._unready("the online store cannot be looked at: the log says why")
            else:
                self._ready()

    async def _probe(self, loaded: LoadedBundle) -> None:
        try:
            await loaded.reader.probe()
        except LlactrError:
            if any(loaded is one for one in (self._main, self._compare)):  # else it was let go of meanwhile
                raise

    def _ready(self) -> None:
        if self._not_ready:
            _LOG.warning("ready: bundle %s", self._main.id if self._main else "none")
        self._not_ready = ""
        self.metrics.ready.set(1)

    def _unready(self, reason: str) -> None:
        if not self._not_ready:
            _LOG.warning("not ready: %s", reason)
        self._not_ready = reason
        self.metrics.ready.set(0)


async def _retire(old: LoadedBundle) -> None:
    """Lets go of a bundle when the requests that began with it have ended."""
    await old.requests.ended()
    await old.reader.close()


def _named(name: str | None) -> str | None:
    return None if name == NEWEST else name
