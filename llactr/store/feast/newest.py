"""The newest row of every key of a view, in the offline store: how many there are, and whether they are online."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.type_map import python_values_to_proto_values
from feast.utils import _get_column_names

from llactr.errors import StoreError

__all__ = ["NewestRows"]

SAMPLED_KEYS = 200
_ROUNDING = timedelta(seconds=1)  # SQLite keeps whole seconds


class NewestRows:
    """What a materialization of a view between two moments should bring online.

    Works on offline stores whose jobs are ibis expressions, as the DuckDB stores' are; others count as zero rows.

    Args:
        store: the feature store.
        view: a feature view's name.
        start: rows from this moment on.
        end: rows up to this moment.
    """

    def __init__(self, store: FeatureStore, view: str, *, start: datetime, end: datetime) -> None:
        self._store = store
        self._view = store.get_feature_view(view)
        self._range = start, end

    def count(self) -> int:
        """How many keys have a row; reads the columns of keys and timestamps."""
        rows = self._rows
        if rows is None:
            return 0
        return int(rows.select(*self._keys).distinct().count().execute()) if self._keys else 1

    def keys(self) -> pa.Table | None:
        """The distinct keys, a text column per join key under Feast's names; None where the offline store hides them.

        Memory: the keys.
        """
        if self._rows is None:
            return None
        if not self._keys:
            return pa.table({})
        mapping = self._view.batch_source.field_mapping or {}
        found = self._rows.select(*self._keys).distinct().to_pyarrow()
        return found.rename_columns([mapping.get(key, key) for key in found.column_names])

    def after(self, moment: datetime) -> tuple[int, datetime | None]:
        """How many rows lie after a moment, and the first one's event time; reads the column of timestamps."""
        if self._rows is None:
            return 0, None
        time = self._rows[self._view.batch_source.timestamp_field]
        latest = time.max().execute()
        if latest is None or latest != latest or _utc(latest) <= moment:  # NaT is not itself
            return 0, None
        later = self._rows.filter(time > moment)
        first = later[self._view.batch_source.timestamp_field].min().execute()
        return int(later.count().execute()), _utc(first.to_pydatetime())

    def check_online(self) -> None:
        """Reads some keys back from the online store.

        Feast's Ray engine logs a failed write in the worker's log and reports success; this is where it is noticed.

        Raises:
            StoreError: a key is missing, or an older row of it is there.
        """
        sample = self._sample()
        if not sample.num_rows:
            return
        mapping = self._view.batch_source.field_mapping or {}
        names = [mapping.get(key, key) for key in self._keys]
        types = {column.name: column.dtype.to_value_type() for column in self._view.entity_columns}
        columns = [
            python_values_to_proto_values(sample[key].to_pylist(), types[name])
            for key, name in zip(self._keys, names, strict=True)
        ]
        keys = [EntityKeyProto(join_keys=names, entity_values=values) for values in zip(*columns, strict=True)]
        features = [feature.name for feature in self._view.features]
        found = self._store.provider.online_read(self._store.config, self._view, keys, features)
        expected = sample[self._view.batch_source.timestamp_field].to_pylist()
        lost = sum(
            moment is None or _utc(moment) < _utc(newest) - _ROUNDING
            for (moment, _), newest in zip(found, expected, strict=True)
        )
        if lost:
            raise StoreError(
                f"the engine reported that {self._view.name!r} was materialized, but of {len(keys)} keys read back "
                f"{lost} are missing or old: see the log of the engine's workers, and run 'llactr materialize' again"
            )

    def _sample(self) -> pa.Table:
        """The newest moment of some keys, spread over all of them."""
        time = self._view.batch_source.timestamp_field
        if self._rows is None or not self._keys:
            return pa.table({})
        newest = self._rows.group_by(self._keys).agg(**{time: self._rows[time].max()})
        spread = newest.order_by([newest[key].hash() for key in self._keys])
        return spread.limit(SAMPLED_KEYS).to_pyarrow()

    @property
    def _keys(self) -> list[str]:
        keys: list[str] = self._columns[0]
        return keys

    @cached_property
    def _columns(self) -> Any:
        store = self._store
        entities = [store.registry.get_entity(name, store.project) for name in self._view.entities]
        return _get_column_names(self._view, entities)

    @cached_property
    def _rows(self) -> Any:
        """All rows in the range, keys and timestamp: an ibis expression, or None."""
        store, (keys, _, timestamp, _) = self._store, self._columns
        job = store.provider.offline_store.pull_all_from_table_or_query(
            config=store.config,
            data_source=self._view.batch_source,
            join_key_columns=keys,
            feature_name_columns=[],
            timestamp_field=timestamp,
            start_date=self._range[0],
            end_date=self._range[1],
        )
        return getattr(job, "table", None)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
