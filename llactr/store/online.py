"""Reads what the online service needs from Feast's online store, in the types that training rows have.

`get_online_features` spends most of its time on building responses; the provider's `online_read` is the same contract
one level below: entity keys in, protobuf values out, one call per view.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from feast import FeatureStore, FeatureView
from feast.errors import FeatureViewNotFoundException
from numpy.typing import NDArray

from llactr.columns import (
    DATASET,
    DESCRIPTION,
    ENCODER,
    EVENT_TIMESTAMP,
    FIELD,
    HISTORY_VERSION,
    SEMANTICS_VERSION,
    STATE,
    TIMESTAMP,
    VALUE,
    VECTOR,
)
from llactr.errors import DataError, NotReadyError
from llactr.history import NEWER_ITEMS, NewerItems
from llactr.spec import DatasetSpec, EntityOwner, Field
from llactr.store.feast.failures import store_failures
from llactr.store.feast.messages import EntityKey, Value, bytes_of, decoder, entity_key, text_of, vector_of
from llactr.store.feast.open import open_store
from llactr.store.field_vectors import assemble_field_vectors
from llactr.store.history.requests import history_of_rows
from llactr.store.marks import Marks
from llactr.store.names import PhysicalNames
from llactr.store.raw import raw_values
from llactr.store.repository.features import repository_features
from llactr.store.tables import FIELD_SEMANTICS, SEMANTICS_RELEASE, VALUE_SEMANTICS
from llactr.transforms import normalize_key, raw_column, raw_type
from llactr.workspace import Workspace

if TYPE_CHECKING:
    from llactr.history import HistoryDefinition
    from llactr.semantics import FieldVectors

__all__ = ["OnlineReader"]

Row = dict[str, Value] | None
_KEYS_PER_READ = 10_000  # SQLite binds at most 32766 values in a statement


class OnlineReader:
    """Features, field vectors and the current release of one dataset, from the online store.

    The views are looked up once, here: make a new reader after an apply that changed them. Reads may run in several
    threads.

    Args:
        workspace: an applied and materialized workspace.
        spec: the dataset's resolved spec.
        config: see `open_store`.

    Raises:
        NotReadyError: the dataset's views are not registered.
        StoreError: the registry cannot be read.
    """

    def __init__(self, workspace: Workspace, spec: DatasetSpec, *, config: Path | None = None) -> None:
        self.spec = spec
        self._names = PhysicalNames(spec)
        self._store = open_store(workspace, config=config)
        self._views = {
            owner: self._view(self._names.view(owner)) for owner in spec.entities if self._names.stored_fields(owner)
        }
        self._repository = repository_features(workspace, spec, config=config)
        self._releases = self._view(SEMANTICS_RELEASE)
        self._vectors = self._view(FIELD_SEMANTICS)
        self._lock = threading.Lock()
        self._provider: Any = None

    @property
    def store(self) -> FeatureStore:
        """The feature store that is read."""
        return self._store

    def features(self, requests: pa.Table) -> pa.Table:
        """The raw table of some requests: the same columns, types and values as training rows, without a label.

        Distinct entities are read once, in one call per view. An entity that the store does not know has nulls.

        Args:
            requests: join keys, `event_timestamp`, and the context fields by name; integers and the like are
                normalised as ingest does.

        Returns:
            join keys, `event_timestamp`, and a column per field in its raw type; rows in the order of the requests.

        Raises:
            DataError: a column is missing or cannot be read.
            StoreError: the store did not answer.
        """
        columns: dict[str, pa.ChunkedArray] = {}
        features: dict[str, pa.ChunkedArray] = {}
        for owner, entity in self.spec.entities.items():
            keys = normalize_key(_column(requests, entity.join_key), entity.join_key).combine_chunks()
            columns[entity.join_key] = pa.chunked_array([keys])
            if owner in self._views:
                features |= self._entity_features(owner, keys)
        columns[EVENT_TIMESTAMP] = _event_timestamps(_column(requests, EVENT_TIMESTAMP))
        for field in self.spec.fields:
            if field.feature is not None:
                continue
            if field.owner == "context":
                name = raw_column(field)
                source = columns[name] if name in columns else _column(requests, name)
            elif field.name in features:
                source = features[field.name]
            else:
                source = columns[self.spec.entities[field.owner].join_key]
            columns[raw_column(field)] = raw_values(source, field)
        if self._repository is not None:
            columns |= self._repository.current(pa.table(columns))
        return pa.table(columns)

    def require_whole(self, *, history: bool = False) -> None:
        """Checks that all views of the dataset were brought online whole; `features` of one that was not has nulls.

        Args:
            history: whether states of history are read as well.

        Raises:
            NotReadyError: one was never filled, or its first filling has not ended.
            StoreError: the store did not answer.
        """
        views = [*(view.name for view in self._views.values()), FIELD_SEMANTICS]
        if history:
            views += [self._view(self._names.history_view(owner)).name for owner in ("user", "item")]
        with store_failures("reading what is online", then="run 'llactr materialize'"):
            self._online()
            marks = Marks(self._store.config, self._store.provider.online_store).read(views)
        if self._repository is not None:
            self._repository.require_online()
        for name, mark in marks.items():
            if mark is None or not mark.run:
                raise NotReadyError(f"{name!r} is not online as a whole: run 'llactr materialize' first")

    def missing_features(self) -> list[str]:
        """Fields of the spec that the registered views no longer have, by name."""
        return [
            field.name
            for owner, view in self._views.items()
            for field in self._names.stored_fields(owner)
            if self._names.features[field.name] not in {feature.name for feature in view.features}
        ]

    def current_release(self) -> str | None:
        """The version released last, as materialized; None before the first release."""
        row = self._read(self._releases, [entity_key({DATASET: self.spec.name})], [SEMANTICS_VERSION])[0]
        return text_of(row[SEMANTICS_VERSION]) if row else None

    def field_vectors(self, version: str) -> FieldVectors:
        """A version's vectors of all fields, in the spec's order.

        Raises:
            NotReadyError: the online store does not hold them all.
            StoreError: the store did not answer.
        """
        fields = self.spec.field_names
        keys = [entity_key({DATASET: self.spec.name, FIELD: field, SEMANTICS_VERSION: version}) for field in fields]
        found = self._read(self._vectors, keys, [VECTOR, DESCRIPTION, ENCODER])
        rows: list[dict[str, object]] = []
        for row in found:
            vector = vector_of(row[VECTOR]) if row else None
            described = {name: text_of(row[name]) if row else None for name in (DESCRIPTION, ENCODER)}
            rows.append({VECTOR: vector, **described})
        return assemble_field_vectors(
            self.spec.name, version, fields, rows, place="the online store", first_run="llactr materialize"
        )

    def value_vectors(
        self, version: str, values: Mapping[str, Sequence[str]]
    ) -> dict[str, dict[str, NDArray[np.float32]]]:
        """The vectors of some values: field -> value -> (L,) float32. A value that has none yet is left out.

        Args:
            version: the values' semantics version, as a bundle is pinned to it.
            values: field -> distinct values.

        Raises:
            NotReadyError: the view is not registered.
            StoreError: the store did not answer.
        """
        wanted = [(field, value) for field, some in values.items() for value in some]
        if not wanted:
            return {}
        keys = [
            entity_key({DATASET: self.spec.name, FIELD: field, VALUE: value, SEMANTICS_VERSION: version})
            for field, value in wanted
        ]
        found: dict[str, dict[str, NDArray[np.float32]]] = {}
        view = self._view(VALUE_SEMANTICS)
        for (field, value), row in zip(wanted, self._read(view, keys, [VECTOR]), strict=True):
            vector = vector_of(row[VECTOR]) if row else None
            if vector is not None:
                found.setdefault(field, {})[value] = vector
        return found

    def history(self, definition: HistoryDefinition, rows: pa.Table) -> NDArray[np.float32]:
        """(N, H) history numbers of rows that `features` gave, from the states of the definition's version.

        Raises:
            NotReadyError: the views of states are not registered.
            StoreError: the store did not answer, or a state is damaged.
        """

        def read(owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
            return self.history_states(definition.version, owner, keys)

        if definition.form is not None:
            definition = definition.with_newer(NewerItems.from_bytes(read("item", [NEWER_ITEMS])[0]))
        return history_of_rows(self.spec, definition, rows, read)

    def history_states(self, version: str, owner: EntityOwner, keys: Sequence[str]) -> list[bytes | None]:
        """The states of some keys' history: `llactr.history.KeyState.to_bytes`; None for a key that has none.

        With the version bound it is the `ReadStates` that `llactr.history.request_history` takes; any other reader of
        the online store offers the same: (owner, distinct keys) -> bytes or None, in that order.

        Args:
            version: of the history definition, as a bundle is pinned to it.
            owner: whose.
            keys: distinct join keys.

        Raises:
            NotReadyError: the view is not registered.
            StoreError: the store did not answer.
        """
        name = self._names.join_key(owner)
        asked = [entity_key({name: key, HISTORY_VERSION: version}) for key in keys]
        rows = self._read(self._view(self._names.history_view(owner)), asked, [STATE])
        return [bytes_of(row.get(STATE)) if row else None for row in rows]

    def _entity_features(self, owner: EntityOwner, keys: pa.Array) -> dict[str, pa.ChunkedArray]:
        """The stored fields of a user or item for a column of keys, which may repeat or be null."""
        fields = self._names.stored_fields(owner)
        encoded = keys.dictionary_encode()
        name = self._names.join_key(owner)
        distinct = [entity_key({name: key}) for key in encoded.dictionary.to_pylist()]
        rows = self._read(self._views[owner], distinct, [self._names.features[field.name] for field in fields])
        columns = {}
        for field in fields:
            values = _values(rows, self._names.features[field.name], field)
            columns[field.name] = pa.chunked_array([values.take(encoded.indices)])
        return columns

    def _read(self, view: FeatureView, keys: list[EntityKey], features: Sequence[str]) -> list[Row]:
        with store_failures(
            f"reading {len(keys)} keys of {view.name!r} online",
            then="see that the online store runs and is materialized",
        ):
            read = self._online()
            return [
                row
                for start in range(0, len(keys), _KEYS_PER_READ)
                # The list is a copy: Feast's Redis store appends to the one that it is given.
                for _, row in read(self._store.config, view, keys[start : start + _KEYS_PER_READ], list(features))
            ]

    def _online(self) -> Callable[..., list[tuple[Any, Row]]]:
        with self._lock:
            if self._provider is None:
                self._provider = self._store.provider
            return self._provider.online_read

    def _view(self, name: str) -> FeatureView:
        with store_failures("reading the registry", then="run 'llactr apply'"):
            try:
                return self._store.get_feature_view(name)
            except FeatureViewNotFoundException:
                pass
        raise NotReadyError(f"feature view {name!r} of {self.spec.name!r} is not registered: run 'llactr apply' first")


def _values(rows: list[Row], feature: str, field: Field) -> pa.Array:
    """One feature of the distinct entities as an array of the field's raw type; what is missing is null."""
    kind = raw_type(field)
    decode = decoder(kind)
    return pa.array([decode(row.get(feature) if row else None) for row in rows], kind)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    found = table.schema.get_all_field_indices(name)
    if len(found) != 1:
        raise DataError(
            f"the requests have {len(found)} columns {name!r}, expected one: "
            f"they have {', '.join(table.column_names) or 'none'}"
        )
    return table.column(found[0])


def _event_timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not (pa.types.is_timestamp(column.type) and column.type.tz):
        raise DataError(f"event_timestamp has type {column.type}, expected timestamps with a zone")
    return column.cast(TIMESTAMP, safe=False)
