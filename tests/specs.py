"""Specs for tests, a field and a spec in a line each: every test says only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llactr.spec import DatasetSpec

KEYS = {"user": "person", "item": "film"}


def field(name: str, owner: str = "context", kind: str = "categorical", **more: Any) -> dict[str, Any]:
    """A field, described as "the NAME" unless `description` is given."""
    return {"name": name, "description": f"the {name}", "owner": owner, "kind": kind, **more}


def spec_of(
    *fields: dict[str, Any], name: str = "tiny", keys: Mapping[str, str] = KEYS, tables: Mapping[str, str] | None = None,
    **changes: Any,
) -> DatasetSpec:  # fmt: skip
    """A spec whose events are in `events`, with the time `at` in seconds and the label `liked`.

    Args:
        fields: as `field` makes them.
        name: of the dataset.
        keys: entity -> join key.
        tables: entity -> source of its own; one that is not named has its fields in the events.
        changes: top-level keys of the spec in the place of these.
    """
    tables = tables or {}
    entities = {owner: {"join_key": key} for owner, key in keys.items()}
    for owner, table in tables.items():
        entities[owner]["source"] = table
    content = {
        "name": name,
        "sources": {source: {"path": f"{source}.csv", "format": "csv"} for source in ("events", *tables.values())},
        "events": "events",
        "timestamp": {"column": "at", "unit": "s"},
        "label": {"column": "liked"},
        "entities": entities,
        "fields": list(fields),
    }
    return DatasetSpec.model_validate(content | changes)
