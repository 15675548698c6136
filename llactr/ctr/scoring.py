"""Scores rows with features and vectors from the online store, weights and vocabularies from a bundle.

Legend: N rows, C columns of ids (a field has one, a multi-valued one several).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.ctr.bundle import Bundle
from llactr.ctr.find import find_bundle
from llactr.ctr.model import predict
from llactr.ctr.request_ids import request_ids
from llactr.datasets.rows import request_table
from llactr.store import OnlineReader
from llactr.store.ingested import dataset_spec
from llactr.workspace import Workspace

__all__ = ["ScoredRows", "score_online", "score_rows"]


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


def score_rows(workspace: Workspace, dataset: str, rows: pa.Table, *, bundle: str | None = None) -> ScoredRows:
    """Scores rows: features and field vectors from the online store, weights and vocabularies from the bundle.

    Args:
        workspace: where.
        dataset: which.
        rows: join keys and context fields, and `event_timestamp` if it is not now; see `llactr.datasets.rows`.
        bundle: its name; see `llactr.ctr.find`.

    Raises:
        DataError: the rows lack a column, or have one that is not asked for.
        BundleError: the bundle is damaged, or is not the online store's.
        NotReadyError: nothing has been trained or materialized.
        StoreError: the online store does not answer.
    """
    spec = dataset_spec(workspace, dataset)
    folder = find_bundle(workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    requests = request_table(rows, spec)
    reader = OnlineReader(workspace, spec)
    reader.require_whole()
    loaded.check_vectors(reader.field_vectors(loaded.version))
    ids, scores, placed = score_online(loaded, reader, reader.features(requests))
    return ScoredRows(
        bundle=folder.name,
        semantics_version=loaded.version,
        rows=len(scores),
        unseen_values_placed=placed,
        out_of_vocabulary=loaded.transform.out_of_vocabulary(ids),
        scores=tuple(round(float(score), 7) for score in scores),
    )


def score_online(
    loaded: Bundle, reader: OnlineReader, features: pa.Table
) -> tuple[NDArray[np.int32], NDArray[np.float32], int]:
    """Ids (N, C) and scores (N,) of raw rows, and how many values that training never saw were placed by vectors."""
    ids = request_ids(loaded.transform, loaded.spec, features)
    unseen = loaded.unseen_values()
    if unseen is None:
        return ids, predict(loaded.model, ids), 0
    held = unseen.find(ids, features)
    wanted = {name: one.values for name, one in held.items()}
    rows = unseen.rows_of(reader.value_vectors(unseen.projections.version, wanted))
    return ids, unseen.score(ids, held, rows), sum(map(len, rows.values()))
