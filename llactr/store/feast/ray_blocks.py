"""The DuckDB store for Feast's Ray engine: what is materialized reaches Ray in blocks, which its workers share.

In feature_store.ray.yaml:

```yaml
offline_store:
  type: llactr.store.feast.ray_blocks.RayBlocksDuckDBOfflineStore
batch_engine:
  type: ray.engine
materialization:
  pull_latest_features: true
```

Feast's Ray engine takes a DuckDB result as one Arrow table, hence as one block, which one worker writes. It asks a
retrieval job for `to_ray_dataset` first; here there is one, which streams blocks into Ray's object store (Ray spills it
to disk). The newest row of each key is found by DuckDB, before the blocks are cut: Ray itself would keep the newest of
each block, and another block's older version may be written last.
"""

from __future__ import annotations

import importlib
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.repo_config import RepoConfig

from llactr.store.asof.offline_store import AsofDuckDBOfflineStore, AsofDuckDBOfflineStoreConfig

__all__ = ["RayBlocksDuckDBOfflineStore", "RayBlocksDuckDBOfflineStoreConfig"]


class RayBlocksDuckDBOfflineStoreConfig(AsofDuckDBOfflineStoreConfig):
    """The `offline_store` section of feature_store.ray.yaml."""

    type: str = "llactr.store.feast.ray_blocks.RayBlocksDuckDBOfflineStore"


class RayBlocksDuckDBOfflineStore(AsofDuckDBOfflineStore):
    """See the module's text; joins are those of the parent."""

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The parent's newest rows, which Ray reads in blocks of `online_write_batch_size` rows."""
        job: Any = AsofDuckDBOfflineStore.pull_latest_from_table_or_query(
            config=config,
            data_source=data_source,
            join_key_columns=join_key_columns,
            feature_name_columns=feature_name_columns,
            timestamp_field=timestamp_field,
            created_timestamp_column=created_timestamp_column,
            start_date=start_date,
            end_date=end_date,
        )
        rows = config.materialization_config.online_write_batch_size or 10_000
        job.to_ray_dataset = partial(_dataset, job.table, rows)
        return job


def _dataset(table: Any, rows: int) -> Any:
    """An ibis expression's rows as a Ray dataset of blocks; one block is held at a time here."""
    ray = importlib.import_module("ray")  # the extra [ray], which only this engine needs
    data = importlib.import_module("ray.data")
    blocks = [
        ray.put(pa.Table.from_batches([batch])) for batch in table.to_pyarrow_batches(chunk_size=rows) if batch.num_rows
    ]
    return data.from_arrow_refs(blocks or [ray.put(table.limit(0).to_pyarrow())])
