"""The feature store: definitions made from specs, releases, training rows, and the online reader.

Names are loaded on first use: none of what they need is imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader
from llactr.store.feast.lean import lean_feast

if TYPE_CHECKING:
    from llactr.columns import SEMANTICS_VERSION
    from llactr.store.feast.materialize import MaterializedView, materialize
    from llactr.store.feast.open import REPOSITORY, apply, open_store, prepare
    from llactr.store.feast.registry import NothingAppliedError, repository_workspace
    from llactr.store.field_vectors import read_field_vectors, write_field_vectors
    from llactr.store.online import OnlineReader
    from llactr.store.releases import Release, current_release, release
    from llactr.store.training import events_table, training_rows
    from llactr.store.value_vectors import find_value_vectors, read_value_vectors, stored_texts, write_value_vectors

__all__ = [
    "REPOSITORY",
    "SEMANTICS_VERSION",
    "MaterializedView",
    "NothingAppliedError",
    "OnlineReader",
    "Release",
    "apply",
    "current_release",
    "events_table",
    "find_value_vectors",
    "materialize",
    "open_store",
    "prepare",
    "read_field_vectors",
    "read_value_vectors",
    "release",
    "repository_workspace",
    "stored_texts",
    "training_rows",
    "write_field_vectors",
    "write_value_vectors",
]

lean_feast()  # before any module of this package imports feast

__getattr__ = loader(
    __name__,
    {
        "MaterializedView": "feast.materialize",
        "NothingAppliedError": "feast.registry",
        "OnlineReader": "online",
        "REPOSITORY": "feast.open",
        "Release": "releases",
        "SEMANTICS_VERSION": "training",
        "apply": "feast.open",
        "current_release": "releases",
        "events_table": "training",
        "find_value_vectors": "value_vectors",
        "materialize": "feast.materialize",
        "open_store": "feast.open",
        "prepare": "feast.open",
        "read_field_vectors": "field_vectors",
        "read_value_vectors": "value_vectors",
        "release": "releases",
        "repository_workspace": "feast.registry",
        "stored_texts": "value_vectors",
        "training_rows": "training",
        "write_field_vectors": "field_vectors",
        "write_value_vectors": "value_vectors",
    },
)
