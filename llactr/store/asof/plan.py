"""What a point-in-time join has to do, read from Feast's objects once: one `ViewPlan` per requested feature view.

Column names are Feast's, that is, after the source's `field_mapping`; `llactr.store.asof.source` undoes the mapping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from feast import FeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID

from llactr.errors import DataError, InputError

__all__ = ["ViewPlan", "plan_views", "refuse_ambiguous_columns"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class ViewPlan:
    """One view's part in a join."""

    name: str
    source: DataSource
    join_keys: tuple[tuple[str, str], ...]
    """(column of the view, column of the entity frame); empty for a view without entities."""
    features: tuple[tuple[str, str], ...]
    """(column of the view, column of the result)."""
    timestamp: str
    created: str | None
    ttl_us: int | None
    """How long a value lives after its event timestamp, both ends included; None is forever, as is Feast's ttl of 0."""
    cut_off: bool
    """Whether values created after the entity row's timestamp stay unseen; null creation times stay unseen too."""

    @property
    def entity_columns(self) -> tuple[str, ...]:
        """The entity frame's columns that are matched."""
        return tuple(entity for _, entity in self.join_keys)


def plan_views(
    views: Sequence[FeatureView],
    feature_refs: Sequence[str],
    *,
    full_feature_names: bool,
    filter_by_created_timestamp: bool,
) -> list[ViewPlan]:
    """One plan per view, features in the order in which they were asked for.

    A join-key map may name some of a view's keys only; the others keep their names. (Feast's DuckDB store matches on
    the mapped ones alone, so that rows of other entities come out.)

    Raises:
        InputError: a view has no batch source.
    """
    plans = []
    for view in views:
        source = view.batch_source
        if source is None:
            raise InputError(
                f"feature view {view.name!r} has no batch source, so it has no history: give it one, or leave it out"
            )
        projection = view.projection
        prefix = f"{projection.name_to_use()}:"
        asked = dict.fromkeys(ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix))
        shown = f"{projection.name_alias or view.name}__" if full_feature_names else ""
        keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
        created = source.created_timestamp_column or None
        plans.append(
            ViewPlan(
                name=projection.name_to_use(),
                source=source,
                join_keys=tuple((key, projection.join_key_map.get(key, key)) for key in keys),
                features=tuple((feature, shown + feature) for feature in asked),
                timestamp=source.timestamp_field,
                created=created,
                ttl_us=view.ttl // _MICROSECOND if view.ttl else None,
                cut_off=filter_by_created_timestamp and created is not None,
            )
        )
    return plans


def refuse_ambiguous_columns(entity_columns: Iterable[str], plans: Iterable[ViewPlan]) -> None:
    """Checks that every column of the result has one meaning.

    Raises:
        DataError: two features, or a feature and a column of the entity frame, would share a name.
    """
    names = Counter(entity_columns)
    names.update(shown for plan in plans for _, shown in plan.features)
    double = sorted(name for name, count in names.items() if count > 1)
    if double:
        raise DataError(
            f"the result would have more than one column {', '.join(map(repr, double))}: "
            "rename the entity frame's column, or ask for full_feature_names"
        )
