"""Reads what a batch of requests needs from the offline store, point in time: the other half of `OnlineReader`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.history import Events, HistoryDefinition, history_rows
from llactr.spec import DatasetSpec
from llactr.store.feast.open import open_store
from llactr.store.history import events_of, with_newer_items
from llactr.store.repository.features import repository_features
from llactr.store.training import events_table, rows_as_of_their_time
from llactr.store.value_vectors import find_value_vectors
from llactr.workspace import Workspace

__all__ = ["OfflineReader"]


class OfflineReader:
    """Features of one dataset as they were when each row was requested.

    Args:
        workspace: an applied workspace.
        spec: the dataset's resolved spec.
        config: see `open_store`.
    """

    def __init__(self, workspace: Workspace, spec: DatasetSpec, *, config: Path | None = None) -> None:
        self.spec = spec
        self._workspace, self._config = workspace, config
        self._store = open_store(workspace, config=config)
        self._repository = repository_features(workspace, spec, config=config)

    def features(self, requests: pa.Table) -> pa.Table:
        """The raw table of some requests, each as of its own `event_timestamp`; see `OnlineReader.features`.

        Cost: one point-in-time join.

        Raises:
            StoreError: Feast failed.
        """
        return rows_as_of_their_time(self._store, self.spec, requests, repository=self._repository)

    def value_vectors(
        self, version: str, values: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """The vectors of some values: field -> value -> (L,) float32; those that have none are left out.

        Raises:
            StoreError: Feast failed.
        """
        return find_value_vectors(self._workspace, self.spec, version, values, config=self._config)

    def history(self, definition: HistoryDefinition, rows: pa.Table) -> NDArray[np.float32]:
        """(N, H) history numbers of rows that `features` gave, each by the events that counted at its moment.

        Cost: one pass over all events of the dataset.
        """
        keys = {owner: rows[entity.join_key].to_pylist() for owner, entity in self.spec.entities.items()}
        users, items = (["" if key is None else key for key in keys[owner]] for owner in ("user", "item"))
        moments = rows[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
        asked = Events.of(users, items, moments, np.zeros(len(moments), np.float32))
        placed = with_newer_items(self._workspace, self.spec, definition, config=self._config)
        return history_rows(placed, self._events, asked, neighbour_steps=0)

    @cached_property
    def _events(self) -> Events:
        """All events of the dataset."""
        return events_of(self.spec, events_table(self._workspace, self.spec))
