"""The texts of all values that the offline tables hold."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from llactr.columns import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from llactr.datasets import table_files
from llactr.semantics.texts import value_texts
from llactr.spec import DatasetSpec
from llactr.store.tables import read_files
from llactr.store.training import events_table, with_repository_fields
from llactr.workspace import Workspace

__all__ = ["read_seen_texts", "read_texts"]


def read_texts(workspace: Workspace, spec: DatasetSpec) -> dict[str, dict[str, str]]:
    """Field -> value -> text of everything that the dataset's offline tables hold now.

    Of a key whose text changed in the course of time, the first one counts, as corrected last: a value has one vector
    for all events, and a later text would tell the earlier ones what came after them.
    """
    return read_seen_texts(workspace, spec, unseen=None)[0]


def read_seen_texts(
    workspace: Workspace, spec: DatasetSpec, *, unseen: int | None
) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """The same of users and items that events have, and of some others.

    Args:
        workspace: where.
        spec: of the dataset.
        unseen: how many keys without an event count, of each entity the newest; None for all.

    Returns:
        the texts, and owner -> how many keys were left out, where there are any.
    """
    events = with_repository_fields(workspace, spec, events_table(workspace, spec))
    entities: dict[str, pa.Table] = {}
    left: dict[str, int] = {}
    for owner, entity in spec.entities.items():
        folder = workspace.offline_table(spec.name, owner)
        if table_files(folder):
            table = read_files(folder, first_run="llactr ingest")
            # Of several rows of a key the last one counts.
            order = [(EVENT_TIMESTAMP, "descending"), (CREATED_TIMESTAMP, "ascending")]
            table = table.sort_by(order)
            if unseen is not None:
                table, gone = _seen(table, events, entity.join_key, unseen)
                left |= {str(owner): gone} if gone else {}
            entities[str(owner)] = table
    return value_texts(spec, events, entities), left


def _seen(table: pa.Table, events: pa.Table, key: str, unseen: int) -> tuple[pa.Table, int]:
    """The rows of keys that events have, and of the first `unseen` others; and how many keys are in none of them."""
    known = pc.is_in(table[key], value_set=events[key].unique())
    others = table[key].filter(pc.invert(known)).drop_null().unique()
    kept = pc.is_in(table[key], value_set=others.slice(0, unseen))
    return table.filter(pc.or_(known, kept)), max(len(others) - unseen, 0)
