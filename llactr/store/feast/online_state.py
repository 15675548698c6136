"""What the registry and the online store hold now: whatever a manifest says, they can be other ones, or empty."""

from __future__ import annotations

from pathlib import Path

from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from llactr.errors import NotReadyError
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_store
from llactr.store.keysets import KeySet
from llactr.store.marks import Marks
from llactr.store.repository.ours import our_views
from llactr.store.repository.place import repository_file
from llactr.workspace import Workspace

__all__ = ["lost_keys", "online_runs", "registered_views"]


def registered_views(workspace: Workspace, *, config: Path | None = None) -> list[str]:
    """The names of the registered feature views that llactr defined, sorted; empty where nothing has been applied.

    Raises:
        StoreError: the registry cannot be read.
    """
    store = open_store(workspace, config=config)
    with store_failures("reading the registry", then="run 'llactr apply --force'"):
        try:
            shared = repository_file(workspace, config) is not None
            return sorted(view.name for view in our_views(store, shared=shared))
        except NotReadyError:
            return []


def online_runs(workspace: Workspace, *, config: Path | None = None) -> dict[str, str]:
    """View -> the run that brought it online whole, for those registered views of which nothing is missing.

    A view that was never brought online, is being written, or of whose sampled keys one is missing is left out.

    Raises:
        StoreError: the online store does not answer.
    """
    store = open_store(workspace, config=config)
    views = registered_views(workspace, config=config)
    with store_failures("reading what is online", then="see that the online store runs"):
        marks = Marks(store.config, store.provider.online_store)
        marks.prepare()
        whole = {}
        for view, mark in marks.read(views).items():
            if mark is None or not mark.run or mark.writing:
                continue
            sample = marks.sample(view)
            if (sample is None and mark.parts) or (sample is not None and lost_keys(store, view, sample)):
                continue
            whole[view] = mark.run
        return whole


def lost_keys(store: FeatureStore, view: str, keys: KeySet) -> int:
    """How many of some keys of a view are not online."""
    if not len(keys):
        return 0
    names = keys.columns.column_names
    asked = [EntityKey(join_keys=names, entity_values=[Value(string_val=v) for v in row]) for row in keys.rows()]
    registered = store.get_feature_view(view)
    features = [feature.name for feature in registered.features]
    found = store.provider.online_read(store.config, registered, asked, features)
    # Redis stores answer for an unknown entity with the year 1970 and values without content.
    return sum(
        moment is None or (not moment.timestamp() and not any(v.WhichOneof("val") for v in (values or {}).values()))
        for moment, values in found
    )
