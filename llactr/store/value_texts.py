"""The texts of all values that the offline tables hold."""

from __future__ import annotations

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.datasets import table_files
from llactr.semantics.texts import value_texts
from llactr.spec import DatasetSpec
from llactr.store.tables import read_files
from llactr.store.training import events_table, with_repository_fields
from llactr.workspace import Workspace

__all__ = ["read_texts"]


def read_texts(workspace: Workspace, spec: DatasetSpec) -> dict[str, dict[str, str]]:
    """Field -> value -> text of everything that the dataset's offline tables hold now.

    Of a key whose text changed in the course of time, the first one counts, as corrected last: a value has one vector
    for all events, and a later text would tell the earlier ones what came after them.
    """
    events = with_repository_fields(workspace, spec, events_table(workspace, spec))
    entities = {}
    for owner in spec.entities:
        folder = workspace.offline_table(spec.name, owner)
        if table_files(folder):
            table = read_files(folder, first_run="llactr ingest")
            # Of several rows of a key the last one counts.
            order = [(EVENT_TIMESTAMP, "descending"), (CREATED_TIMESTAMP, "ascending")]
            entities[str(owner)] = table.sort_by(order)
    return value_texts(spec, events, entities)
