"""Scores rows with features and vectors from a feature store, weights and vocabularies from a bundle.

Legend: N rows, C columns of ids (a field has one, a multi-valued one several).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.ctr.bundle import Bundle
from llactr.ctr.find import find_bundle
from llactr.ctr.model import predict
from llactr.ctr.request_ids import request_ids
from llactr.datasets.rows import request_table
from llactr.history import HistoryDefinition
from llactr.spec import DatasetSpec
from llactr.store import OnlineReader
from llactr.store.ingested import dataset_spec
from llactr.store.offline import OfflineReader
from llactr.workspace import Workspace

__all__ = ["FeatureSource", "RowScorer", "ScoredRows", "ScorerPlace", "score_features"]


class ScoredRows(BaseModel):
    """Click probabilities of rows, in their order, to seven digits.

    Attributes:
        bundle: the id of the bundle that scored.
        semantics_version: the version that it is pinned to.
        unseen_values_placed: distinct values that training never saw and that were placed by their vectors.
        out_of_vocabulary: field -> rows that hold a value of it that training never saw.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    semantics_version: str
    rows: int
    unseen_values_placed: int
    out_of_vocabulary: dict[str, int] = {}
    scores: tuple[float, ...]

    @property
    def doubts(self) -> str:
        """Which fields hold values that training never saw, in a sentence; empty for none."""
        said = [f"{name} in {count:,} of {self.rows:,} rows" for name, count in self.out_of_vocabulary.items()]
        return f"values that training never saw: {', '.join(said)}" if said else ""


class FeatureSource(Protocol):
    """A store that features and value vectors are read from: `OnlineReader` or `OfflineReader`."""

    def features(self, requests: pa.Table) -> pa.Table:
        """The raw table of requests, one column per field; rows in their order."""

    def value_vectors(
        self, version: str, values: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """Field -> value -> (L,) float32 of those that have a vector."""

    def history(self, definition: HistoryDefinition, rows: pa.Table) -> NDArray[np.float32]:
        """(N, H) history numbers of rows that `features` gave, as of their moments."""


@dataclass(frozen=True)
class ScorerPlace:
    """Where a scorer was opened, so that another process can open it too."""

    workspace: Workspace
    dataset: str
    bundle: Path
    online: bool

    def open(self) -> RowScorer:
        """The scorer; see `RowScorer.online` and `RowScorer.offline`."""
        of = RowScorer.online if self.online else RowScorer.offline
        return of(self.workspace, self.dataset, str(self.bundle))


@dataclass(frozen=True)
class RowScorer:
    """A bundle and the store that the features of rows come from, opened once for any number of rows.

    Attributes:
        name: the bundle's id.
        bundle: weights and vocabularies.
        spec: the dataset's, as it was ingested last.
        source: where features are read.
        place: where it was opened; None for one that was put together by hand.
    """

    name: str
    bundle: Bundle
    spec: DatasetSpec
    source: FeatureSource
    place: ScorerPlace | None = None

    @classmethod
    def online(cls, workspace: Workspace, dataset: str, bundle: str | None = None) -> RowScorer:
        """Scores with what the online store holds now.

        Args:
            workspace: where.
            dataset: which.
            bundle: its name; see `llactr.ctr.find`.

        Raises:
            BundleError: the bundle is damaged, or is not the online store's.
            NotReadyError: nothing has been trained or materialized.
            StoreError: the online store does not answer.
        """
        spec, folder = dataset_spec(workspace, dataset), find_bundle(workspace, dataset, bundle)
        loaded = Bundle.load(folder)
        reader = OnlineReader(workspace, spec)
        reader.require_whole(history=loaded.history is not None)
        loaded.check_vectors(reader.field_vectors(loaded.version))
        return cls(folder.name, loaded, spec, reader, ScorerPlace(workspace, dataset, folder.absolute(), online=True))

    @classmethod
    def offline(cls, workspace: Workspace, dataset: str, bundle: str | None = None) -> RowScorer:
        """Scores with what the offline store says was known when each row was requested.

        Raises:
            BundleError: the bundle is damaged, or is another dataset's.
            NotReadyError: nothing has been trained.
            StoreError: the registry cannot be read.
        """
        spec, folder = dataset_spec(workspace, dataset), find_bundle(workspace, dataset, bundle)
        loaded = Bundle.load(folder)
        loaded.check_dataset(dataset)
        place = ScorerPlace(workspace, dataset, folder.absolute(), online=False)
        return cls(folder.name, loaded, spec, OfflineReader(workspace, spec), place)

    def score(self, rows: pa.Table) -> ScoredRows:
        """Scores rows.

        Args:
            rows: join keys and context fields, and `event_timestamp` if it is not now; see `llactr.datasets.rows`.

        Raises:
            DataError: the rows lack a column, or have one that is not asked for.
            StoreError: the store does not answer.
        """
        return self.score_requests(request_table(rows, self.spec))

    def score_requests(self, requests: pa.Table) -> ScoredRows:
        """`score`, of what `request_table` gave."""
        ids, scores, placed = score_features(self.bundle, self.source, self.source.features(requests))
        return ScoredRows(
            bundle=self.name,
            semantics_version=self.bundle.version,
            rows=len(scores),
            unseen_values_placed=placed,
            out_of_vocabulary=self.bundle.transform.out_of_vocabulary(ids),
            scores=tuple(round(float(score), 7) for score in scores),
        )


def score_features(
    loaded: Bundle, source: FeatureSource, features: pa.Table
) -> tuple[NDArray[np.int32], NDArray[np.float32], int]:
    """Ids (N, C) and scores (N,) of raw rows, and how many values that training never saw were placed by vectors.

    What the model reads of the past comes from the same source, as of the rows' moments.
    """
    ids = request_ids(loaded.transform, loaded.spec, features)
    past = None if loaded.history is None else source.history(loaded.history, features)
    unseen = loaded.unseen_values()
    if unseen is None:
        return ids, predict(loaded.model, loaded.rows(ids, past)), 0
    held = unseen.find(ids, features)
    wanted = {name: one.values for name, one in held.items()}
    rows = unseen.rows_of(source.value_vectors(unseen.projections.version, wanted))
    return ids, unseen.score(ids, held, rows, past), sum(map(len, rows.values()))
