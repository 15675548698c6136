"""A bundle made ready to serve: checked against the store, its vectors read online, warmed up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import Bundle
from llactr.ctr.find import find_bundle, promotion_files
from llactr.ctr.history import with_history
from llactr.ctr.soundness import doubts_of_metrics
from llactr.diagnostics import Similarity
from llactr.errors import BundleError, NotReadyError
from llactr.lifecycle.monitoring.live import LiveWindow
from llactr.lifecycle.monitoring.profile import read_profile
from llactr.semantics import FieldVectors
from llactr.serving.batch import Batch
from llactr.serving.config import ServeConfig
from llactr.serving.events import caught_up
from llactr.serving.marked import MarkedReader, open_reader
from llactr.serving.metrics import ScoringMetrics
from llactr.serving.past import Past
from llactr.serving.readers.base import StoreAwayError
from llactr.serving.recent import ItemNames
from llactr.serving.repository import RepositoryFields
from llactr.serving.schemas import RequestSchemas
from llactr.serving.scorer import Scorer
from llactr.spec import DatasetSpec, EntityOwner
from llactr.store import OnlineReader
from llactr.store.events.checks import first_event
from llactr.store.repository.features import repository_features
from llactr.transforms import FIRST, FORGOTTEN
from llactr.workspace import Workspace

__all__ = [
    "LoadedBundle",
    "bundle_created",
    "bundle_folder",
    "last_promotion",
    "load_bundle",
    "scoring",
    "served_dataset",
]

_EXAMPLES = 200


class UnderWay:
    """A number of requests, and the moment when it is zero."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def begin(self) -> None:
        """One more."""
        self._count += 1
        self._none.clear()

    def end(self) -> None:
        """One less."""
        self._count -= 1
        if not self._count:
            self._none.set()

    async def ended(self) -> None:
        """Waits until there are none."""
        await self._none.wait()


@dataclass(frozen=True)
class LoadedBundle:
    """All that requests need of one bundle.

    Attributes:
        id: the bundle's name: its folder's.
        folder: where it was loaded from.
        bundle: spec, transform, model, metrics.
        vectors: the field vectors that it is pinned to, as the online store has them.
        score: (N, C) local ids to (N,) probabilities.
        scorer: scores batches.
        reader: its connection to the store.
        schemas: request models of its spec.
        release: the version released last, as the online store had it when this was loaded.
        first_event: of the dataset, as it was ingested; None where that is not known.
        requests: how many are under way with it.
        watched: gathers rows to compare with the bundle's profile; None where it has none, or nothing is compared.
        similarities: how alike the fields are, centered or not; filled when first asked for.
    """

    id: str
    folder: Path
    bundle: Bundle
    vectors: FieldVectors
    score: Callable[[NDArray[np.int32]], NDArray[np.float32]]
    scorer: Scorer
    reader: MarkedReader
    schemas: RequestSchemas
    release: str | None
    loaded_at: datetime
    first_event: datetime | None = None
    similarities: dict[bool, Similarity] = field(default_factory=dict)
    watched: LiveWindow | None = None
    requests: UnderWay = field(default_factory=lambda: UnderWay())

    @property
    def spec(self) -> DatasetSpec:
        """The bundle's resolved spec."""
        return self.bundle.spec

    @property
    def semantics_version(self) -> str:
        """The version that the bundle is pinned to."""
        return self.vectors.version

    def examples(self) -> dict[str, list[str]]:
        """Owner -> keys that training saw, the most frequent first."""
        found = {str(owner): known_keys(self.bundle, owner)[:_EXAMPLES] for owner in self.spec.entities}
        return {owner: keys for owner, keys in found.items() if keys}

    def context_values(self, name: str) -> list[str]:
        """Values of a context field that training saw, the most frequent first; none for numbers and parts of times."""
        texts = {one.name for one in self.spec.owned_by("context") if one.kind in ("categorical", "multi_valued")}
        return list(self.bundle.transform.values(name)[:_EXAMPLES]) if name in texts else []


def known_keys(bundle: Bundle, owner: EntityOwner) -> list[str]:
    """The keys of an owner that training saw, the most frequent first; none where the key is no field of the model."""
    join_key = bundle.spec.entities[owner].join_key
    for one in bundle.spec.owned_by(owner):
        if one.column == join_key and one.kind == "categorical":
            return [key for key in bundle.transform.values(one.name) if not key.startswith(FORGOTTEN)]
    return []


def bundle_folder(config: ServeConfig, name: str | None) -> Path:
    """The folder of a bundle as `llactr.ctr.find` has it; without a name, of the only dataset or that of the settings.

    Raises:
        BundleError: there is none of that name, or there are two.
        NotReadyError: nothing has been trained, or it is not clear of which dataset.
    """
    workspace = Workspace.at(config.workspace)
    dataset = config.dataset
    if name is None and dataset is None:
        known = workspace.datasets()
        if len(known) != 1:
            what = f"one of {', '.join(known)}" if known else "after 'llactr ingest'"
            raise NotReadyError(f"the workspace {workspace.root} holds {len(known)} datasets: give --dataset, {what}")
        dataset = known[0]
    return find_bundle(workspace, dataset or "", name)


def served_dataset(config: ServeConfig) -> str:
    """The dataset of the settings, or the only one; empty where it is not clear."""
    known = [config.dataset] if config.dataset else Workspace.at(config.workspace).datasets()
    return known[0] if len(known) == 1 else ""


def last_promotion(config: ServeConfig) -> str:
    """Which promotion of the served dataset is the last, by its record's name; empty before the first.

    Cost: a look at one folder.
    """
    records = promotion_files(Workspace.at(config.workspace), served_dataset(config))
    return records[-1].name if records else ""


async def load_bundle(folder: Path, config: ServeConfig, *, metrics: ScoringMetrics) -> LoadedBundle:
    """Loads a bundle beside whatever is served, checks it, and warms it up.

    Raises:
        InputError: the bundle is damaged, or does not fit the workspace or the store.
        StoreError: the store does not answer.
    """
    workspace = Workspace.at(config.workspace)
    bundle, vectors, release = await asyncio.to_thread(_read, folder, workspace, config)
    repository = await asyncio.to_thread(_repository, bundle, workspace, config, metrics)
    reader = open_reader(
        workspace,
        bundle.spec,
        semantics_version=vectors.version,
        history_version=None if bundle.history is None else bundle.history.version,
        feast_config=config.feast_config,
        timeout_s=config.store_timeout_s,
        spent=lambda seconds: metrics.spent("read", seconds),
    )
    try:
        await reader.connect()
        score = scoring(bundle)
        scorer = Scorer(
            bundle.spec,
            bundle.transform,
            score=score,
            reader=reader,
            metrics=metrics,
            cache_ttl_s=config.cache_ttl_s,
            cache_items=config.cache_items,
            micro_batching=config.micro_batching,
            unseen=bundle.unseen_values(),
            past=_past(bundle, config, metrics=metrics),
            repository=repository,
        )
        loaded = LoadedBundle(
            id=folder.name,
            folder=folder,
            bundle=bundle,
            vectors=vectors,
            score=score,
            scorer=scorer,
            reader=reader,
            schemas=RequestSchemas(bundle.spec, max_rows=config.max_rows),
            release=release,
            loaded_at=datetime.now(UTC),
            first_event=first_event(workspace, bundle.spec.name),
            watched=_watched(folder, bundle, config),
        )
        await _warm_up(loaded, config)
    except BaseException:
        await reader.close()
        raise
    return loaded


def _read(folder: Path, workspace: Workspace, config: ServeConfig) -> tuple[Bundle, FieldVectors, str | None]:
    """The bundle and, from the online store, its field vectors and the current release."""
    bundle = Bundle.load(folder)
    found = doubts_of_metrics(bundle.metrics)
    if found and not config.anyway:
        raise BundleError(
            f"the bundle {folder.name} is not fit to be served: {'; '.join(found)}: train another one, or give --anyway"
        )
    known = workspace.datasets()
    if bundle.spec.name not in known:
        raise BundleError(
            f"bundle {folder.name} is of dataset {bundle.spec.name!r}, the workspace {workspace.root} holds "
            f"{', '.join(known) or 'none'}: give the workspace that it was trained in"
        )
    online = OnlineReader(workspace, bundle.spec, config=config.feast_config)
    vectors = online.field_vectors(bundle.version)
    bundle.check_vectors(vectors)
    if bundle.history is not None:
        try:
            caught_up(workspace, bundle.spec, bundle.history, feast_config=config.feast_config)
        except NotReadyError as error:  # as a store that is away: 'llactr materialize' may be under way
            raise StoreAwayError(str(error)) from None
    return bundle, vectors, online.current_release()


def _repository(
    bundle: Bundle, workspace: Workspace, config: ServeConfig, metrics: ScoringMetrics
) -> RepositoryFields | None:
    features = repository_features(workspace, bundle.spec, config=config.feast_config)
    if features is None:
        return None
    try:
        features.require_online()
    except NotReadyError as error:  # as a store that is away: their materialization may be under way
        raise StoreAwayError(str(error)) from None
    return RepositoryFields(
        bundle.spec, bundle.transform, features, spent=lambda seconds: metrics.spent("read", seconds)
    )


def _past(bundle: Bundle, config: ServeConfig, *, metrics: ScoringMetrics) -> Past | None:
    if bundle.history is None:
        return None
    return Past(
        bundle.spec,
        bundle.history,
        metrics=metrics,
        freshness_s=config.history_freshness_s,
        capacity=config.cache_items,
        names=ItemNames(lambda: known_keys(bundle, "item")),
    )


def _watched(folder: Path, bundle: Bundle, config: ServeConfig) -> LiveWindow | None:
    profile = read_profile(folder) if config.monitor_rows else None
    if profile is None:
        return None
    return LiveWindow(profile, bundle.spec, bundle.transform.layout, rows=config.monitor_rows)


def scoring(bundle: Bundle) -> Callable[[NDArray[np.int32]], NDArray[np.float32]]:
    """The bundle's model as a function of (N, C) local ids; `llactr.ctr.predict` without set-up."""
    model = bundle.model.eval()

    def score(ids: NDArray[np.int32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = torch.sigmoid(model(torch.from_numpy(ids))).numpy()
        return scores

    return score


async def _warm_up(loaded: LoadedBundle, config: ServeConfig) -> None:
    """Scores batches of the sizes to come, so that the first request finds everything in place; checks the scores."""
    layout = loaded.bundle.transform.layout
    sizes = np.asarray(layout.vocab_sizes)[layout.slot_fields]  # (C,)
    generator = np.random.default_rng(0)
    for count in (1, 200, config.max_rows):
        ids: NDArray[np.int32] = (generator.random((count, len(sizes))) * np.maximum(sizes - FIRST, 1)).astype(np.int32)
        rows = np.minimum(ids + FIRST, sizes - 1).astype(np.int32)
        if loaded.bundle.history is not None:
            nothing = np.full((len(rows), len(loaded.bundle.history.spec.columns)), np.nan, np.float32)
            rows = with_history(rows, nothing)
        scores = await asyncio.to_thread(loaded.score, rows)
        if scores.shape != (count,) or not np.isfinite(scores).all():
            raise BundleError(f"bundle {loaded.id} does not give a finite score per row: train it again")
    examples = loaded.examples()
    keys = {str(owner): [(examples.get(str(owner)) or ["-"])[0]] for owner in loaded.spec.entities}
    contexts: list[dict[str, Any]] = [{}]
    await loaded.scorer.score(Batch.of_rows(keys, moments=[datetime.now(UTC)], contexts=contexts))


def bundle_created(folder: Path) -> str | None:
    """When the bundle was made, as its manifest says."""
    try:
        created = json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("created")
    except (OSError, ValueError, AttributeError):
        return None
    return str(created) if created else None
