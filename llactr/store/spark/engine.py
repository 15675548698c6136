"""Feast's Spark engine, so that what `feast materialize` brings online is known to be whole.

In feature_store.yaml:

```yaml
batch_engine:
  type: llactr.store.spark.MarkingSparkComputeEngine
  partitions: 2
```

Executors write, as with `type: spark.engine`. On top of it:

- the session is that of the offline store's `spark_conf`: Feast's engine starts one of its own first, without any;
- llactr's views are marked before and after, and some keys are read back, as `llactr materialize` does: without the
  mark the service refuses a view;
- states of history are written by llactr's engine, from the driver: no other leaves newer ones alone.
"""

from __future__ import annotations

from typing import Any

from feast import FeatureStore
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.spark.compute import SparkComputeEngine, SparkComputeEngineConfig
from feast.infra.compute_engines.spark.job import SparkMaterializationJob
from feast.infra.offline_stores.contrib.spark_offline_store.spark import SparkOfflineStoreConfig
from feast.infra.registry.base_registry import BaseRegistry

from llactr.errors import StoreError
from llactr.store.events.filling import is_history
from llactr.store.feast.newest import NewestRows
from llactr.store.feast.streaming import Marking, StreamingComputeEngine
from llactr.store.marks import is_marked_elsewhere
from llactr.store.repository.ours import ours
from llactr.store.spark.session import spark_session

__all__ = ["MarkingSparkComputeEngine", "MarkingSparkComputeEngineConfig"]


class MarkingSparkComputeEngineConfig(SparkComputeEngineConfig):
    """The `batch_engine` section of feature_store.yaml."""

    type: str = "llactr.store.spark.MarkingSparkComputeEngine"


class MarkingSparkComputeEngine(SparkComputeEngine):
    """See the module's text."""

    def _materialize_one(self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any) -> Any:
        view = task.feature_view
        if is_history(view):
            streaming = StreamingComputeEngine(
                repo_config=self.repo_config, offline_store=self.offline_store, online_store=self.online_store
            )
            return streaming._materialize_one(registry, task, **kwargs)
        if isinstance(self.repo_config.offline_store, SparkOfflineStoreConfig):
            spark_session(self.repo_config.offline_store)
        if is_marked_elsewhere() or not view.online or not ours(view):
            return super()._materialize_one(registry, task, **kwargs)
        marking = Marking(self.repo_config, self.online_store, view.name)
        job = super()._materialize_one(registry, task, **kwargs)
        if job.status() != MaterializationJobStatus.SUCCEEDED:
            return job
        store = FeatureStore(config=self.repo_config)
        newest = NewestRows(store, view.name, start=task.start_time, end=task.end_time)
        try:
            newest.check_online()
        except StoreError as error:  # Feast's contract: an engine hands its error over
            return SparkMaterializationJob(job_id=job.job_id(), status=MaterializationJobStatus.ERROR, error=error)
        keys = newest.keys()
        if keys is not None:
            marking.wrote(keys)
        marking.complete()
        return job
