"""Drafts a spec from a table of events and the views of the user's own Feast repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
from feast import FeatureStore, FeatureView, OnDemandFeatureView
from feast import Field as Feature
from feast.feature_view import DUMMY_ENTITY_ID

from llactr.errors import InputError
from llactr.profile import StartOptions, start_spec
from llactr.profile.drafting.work import Draft, FieldDraft, LeftOut
from llactr.profile.names import words
from llactr.profile.start import Ask, Describe, Drafted
from llactr.store.feast.failures import store_failures
from llactr.store.feast.open import open_repository_file
from llactr.store.repository.ours import ours
from llactr.store.repository.place import named_repository
from llactr.store.repository.spoiled import without_spoilers

__all__ = ["draft_from_repository"]

_KINDS = {
    "INT32": "numeric", "INT64": "numeric", "FLOAT": "numeric", "DOUBLE": "numeric", "STRING": "categorical",
    "BOOL": "categorical", "UNIX_TIMESTAMP": "timestamp_part", "STRING_LIST": "multi_valued",
    "INT32_LIST": "multi_valued", "INT64_LIST": "multi_valued",
}  # fmt: skip
_SEPARATOR = "|"
_SUFFIXES = ("_id", "_key", "_uuid", "id")


def draft_from_repository(
    repository: Path, events: Sequence[str], options: StartOptions, *, ask: Ask | None = None,
    describe: Describe | None = None, model: str = "",
) -> Drafted:  # fmt: skip
    """Drafts a spec whose events are a table, and whose other fields are features of the repository's views.

    A column of the events that is a join key of the repository becomes an entity, with the name that it has there; one
    that the options call the user or the item has that role. All features of views whose keys are all there become
    fields, where their type allows it and nothing speaks against them.

    Args:
        repository: its folder, or its feature_store.yaml.
        events: the table; see `llactr.profile.start_spec`.
        options: what is known already.
        ask: answers questions about what is unsure.
        describe: see `start_spec`, as `model`.

    Raises:
        InputError: there is no such repository, nothing is registered there, or no column is a join key of it.
        DataError: as for `start_spec`.
    """
    path = named_repository(repository)
    store = open_repository_file(path)
    with store_failures(f"reading the registry of {path.parent}", then="run 'feast apply' there"):
        views = [
            view for view in store.list_batch_feature_views() + store.list_stream_feature_views() if not ours(view)
        ]
        computed = store.list_on_demand_feature_views()
        names = {entity.join_key: entity.name for entity in store.list_entities() if not ours(entity)}
    if views and not events:
        raise InputError(
            "name the table of events, too: a row for each thing that was shown, with what became of it, its moment, "
            f"and keys of {path.parent}: {', '.join(sorted(names))}"
        )
    if not views:
        raise InputError(f"the Feast repository {path.parent} has no feature view: run 'feast apply' there first")
    keys = {column.name for view in views for column in view.entity_columns if column.name != DUMMY_ENTITY_ID}
    held = replace(options, keep=(*options.keep, *_columns(events, keys)))
    roles = replace(held, user=options.user or "none", item=options.item or "none")

    def amend(draft: Draft, columns: Sequence[str], rows: duckdb.DuckDBPyConnection) -> Draft:
        whole = _with_views(draft, columns, store, views, computed, names, repository=path.parent)
        return without_spoilers(whole, store, rows, held=options.keep)

    return start_spec(events, roles, ask=ask, describe=describe, model=model, amend=amend)


def _columns(events: Sequence[str], keys: set[str]) -> list[str]:
    """All spellings of the keys that a column may have; those that are none are kept by nobody."""
    return sorted({spelled for key in keys for spelled in (key, _bare(key))})


def _bare(key: str) -> str:
    lower = key.lower()
    for suffix in _SUFFIXES:
        if lower.endswith(suffix) and len(lower) > len(suffix):
            return lower.removesuffix(suffix).rstrip("_")
    return lower


def _with_views(
    draft: Draft,
    columns: Sequence[str],
    store: FeatureStore,
    views: Sequence[FeatureView],
    computed: Sequence[OnDemandFeatureView],
    names: dict[str, str],
    *,
    repository: Path,
) -> Draft:
    """The draft with the repository's entities and features in it."""
    wanted = [column.name for view in views for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    found = _matched(dict.fromkeys(wanted), columns)
    if not found:
        raise InputError(
            f"no column of the events is a join key of the repository's views: the keys are "
            f"{', '.join(sorted(set(wanted)))}, the events have {', '.join(columns)}; name one of them so"
        )
    entities, owners, fields, notes = dict(draft.entities), {}, list(draft.fields), dict(draft.notes)
    for key, column in found.items():
        owner = next((role for role, one in draft.entities.items() if one.get("join_key") == column), None)
        if owner is None:
            owner = _owner_name(names.get(key, key), entities)
            entities[owner] = {"join_key": column}
            fields = [one for one in fields if one.column != column]
            fields.insert(0, _key_field(column, owner, draft.events))
        if key != column:
            entities[owner] = {**entities[owner], "repository_key": key}
        notes[owner] = f"the join key {key!r} of the repository"
        owners[key] = owner
    left, costs = list(draft.left_out), list(draft.costs)
    taken = {one.name.lower() for one in fields} | {entity["join_key"].lower() for entity in entities.values()}
    seen: set[tuple[str, str]] = set()
    for view in views:
        missing = [c.name for c in view.entity_columns if c.name != DUMMY_ENTITY_ID and c.name not in owners]
        if missing:
            left.append(LeftOut("", view.name, f"the events have no column {missing[0]!r}, by which the view is read"))
            continue
        owner = next((owners[c.name] for c in view.entity_columns if c.name in owners), "context")
        _view_fields(view, owner, fields, left, taken, seen)
    fields = _as_requested(fields, computed)
    have = {one.name for one in fields if one.owner == "context"}
    for view in computed:
        request = [f.name for source in view.source_request_sources.values() for f in source.schema]
        sources = [store.get_feature_view(p.name) for p in view.source_feature_view_projections.values()]
        keys = [c.name for one in sources for c in one.entity_columns if c.name != DUMMY_ENTITY_ID]
        lacking = [name for name in request if name not in have] + [key for key in keys if key not in owners]
        if lacking:
            left.append(LeftOut("", view.name, f"the events have no column {lacking[0]!r}, of which it is computed"))
            continue
        owner = next((owners[key] for key in keys), "context")
        _view_fields(view, owner, fields, left, taken, seen)
    if not {"user", "item"} <= set(entities):
        costs = [one for one in costs if not one.startswith("no column says the")]
        costs.append("no columns are said to be the user and the item (--user, --item): no history, no cold starts")
    order = {owner: place for place, owner in enumerate([*entities, "context"])}
    return replace(
        draft,
        entities=entities,
        fields=tuple(sorted(fields, key=lambda one: order[one.owner])),
        left_out=tuple(one for one in left if one.column not in found.values()),
        notes=notes,
        costs=tuple(costs),
        repository=str(repository),
    )


def _as_requested(fields: Sequence[FieldDraft], computed: Sequence[OnDemandFeatureView]) -> list[FieldDraft]:
    """Context fields that an on-demand view takes have the kind of the type that it wants."""
    wanted = {f.name: f for v in computed for source in v.source_request_sources.values() for f in source.schema}
    kinds = {name: _KINDS.get(feature.dtype.to_value_type().name) for name, feature in wanted.items()}
    return [
        replace(one, kind=kind, reason=f"an on-demand view takes it as {wanted[one.name].dtype}", settings={})
        if one.owner == "context" and (kind := kinds.get(one.name)) in {"numeric", "categorical"} and kind != one.kind
        else one
        for one in fields
    ]


def _matched(keys: Sequence[str] | dict[str, None], columns: Sequence[str]) -> dict[str, str]:
    """Join key -> the column of the events that has its name, or its name without an ending such as _id."""
    found = {}
    for key in keys:
        exact = next((column for column in columns if column.lower() == key.lower()), None)
        column = exact or next((column for column in columns if _bare(column) == _bare(key)), None)
        if column is not None:
            found[key] = column
    return found


def _owner_name(name: str, taken: dict[str, dict[str, str]]) -> str:
    plain = "".join(char if char.isalnum() and char.isascii() else "_" for char in name.lower()).strip("_")
    plain = plain if plain and plain[0].isalpha() else f"entity_{plain}".rstrip("_")
    return plain if plain not in {*taken, "user", "item", "context"} else f"{plain}_entity"


def _key_field(column: str, owner: str, table: str) -> FieldDraft:
    return FieldDraft(
        name=column, column=column, table=table, owner=owner, kind="categorical",
        described=f"which {' '.join(words(owner))} it is", reason="the join key", facts="", sure=True, sql="",
        plain=True,
    )  # fmt: skip


def _view_fields(
    view: FeatureView | OnDemandFeatureView, owner: str, fields: list[FieldDraft], left: list[LeftOut],
    taken: set[str], seen: set[tuple[str, str]],
) -> None:  # fmt: skip
    source = getattr(view, "batch_source", None)
    for feature in view.features:
        kind = _KINDS.get(feature.dtype.to_value_type().name)
        same = (source.name if source is not None else view.name, feature.name)
        if kind is None:
            left.append(LeftOut(feature.name, view.name, f"no kind of field reads {feature.dtype}"))
            continue
        if same in seen:
            left.append(LeftOut(feature.name, view.name, "another view has it from the same source"))
            continue
        seen.add(same)
        name = feature.name if feature.name.lower() not in taken else f"{view.name}_{feature.name}"
        taken.add(name.lower())
        fields.append(_feature_field(view.name, feature, name, owner, kind))


def _feature_field(view: str, feature: Feature, name: str, owner: str, kind: str) -> FieldDraft:
    settings: dict[str, object] = {"feature": f"{view}:{feature.name}"}
    if kind == "timestamp_part":
        settings["part"] = "month"
    elif kind == "multi_valued":
        settings["separator"] = _SEPARATOR
    said = feature.description.strip()
    whose = "of the request" if owner == "context" else f"of the {' '.join(words(owner))}"
    return FieldDraft(
        name=name, column=name, table=view, owner=owner, kind=kind,
        described=said if len(said) >= 3 else f"the {' '.join(words(feature.name))} {whose}",
        reason=f"of type {feature.dtype}" + ("" if said else "; the view describes it not: say what it means"),
        facts="", sure=bool(said) and kind != "timestamp_part", sql="", plain=True, settings=settings,
    )  # fmt: skip
