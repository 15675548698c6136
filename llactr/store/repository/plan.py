"""Which views of the user's own a spec reads, by which keys, and what is computed from them on demand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from feast import FeatureStore, FeatureView, OnDemandFeatureView
from feast import Field as Feature
from feast.errors import FeatureViewNotFoundException, FeatureViewVersionNotFound
from feast.feature_view_projection import FeatureViewProjection

from llactr.errors import SpecError
from llactr.spec import DatasetSpec, Field
from llactr.store.feast.failures import store_failures
from llactr.store.repository.keys import KeyColumn, key_columns
from llactr.store.repository.ours import ours
from llactr.store.repository.values import arrow_type, check_type, readable
from llactr.transforms import raw_column

__all__ = ["Demand", "Plan", "Read", "plan_fields"]

_REQUESTED = {
    "numeric": ("INT32", "INT64", "FLOAT", "DOUBLE"),
    "categorical": ("STRING",),
    "multi_valued": ("STRING",),
    "timestamp_part": ("UNIX_TIMESTAMP",),
}
"""Kind of a context field -> what an on-demand view may take it as."""
_VERSIONED = re.compile(r"(?P<view>.+)@v(?P<version>\d+)")


@dataclass(frozen=True)
class Read:
    """One view, read by some keys.

    Attributes:
        ref: the view's name, with its version where the spec names one.
        view: the view.
        keys: in the view's order.
        features: the features wanted, by name.
    """

    ref: str
    view: FeatureView
    keys: tuple[KeyColumn, ...]
    features: dict[str, Feature] = field(default_factory=dict)


@dataclass(frozen=True)
class Demand:
    """One on-demand view.

    Attributes:
        view: the view.
        reads: the name of each view that it is computed from -> how that is read.
        request: what it takes of the request -> the column of rows, and the type that it wants.
    """

    view: OnDemandFeatureView
    reads: dict[str, Read]
    request: dict[str, tuple[str, pa.DataType]]


@dataclass(frozen=True)
class Plan:
    """All that a spec reads of the repository.

    Attributes:
        reads: the views.
        demands: what is computed from them.
        fields: field name -> where its values come from, and the feature's name there.
    """

    reads: tuple[Read, ...]
    demands: tuple[Demand, ...]
    fields: dict[str, tuple[Read | Demand, str]]


def plan_fields(spec: DatasetSpec, store: FeatureStore, *, only: Sequence[Field] | None = None) -> Plan:
    """Finds the views and features of a spec's fields in the repository's registry.

    Args:
        spec: the dataset's spec.
        store: the repository's.
        only: some of its fields; all by default.

    Raises:
        SpecError: a view or feature does not exist, is of a type that cannot be read, or no entity is its key.
        StoreError: the registry cannot be read.
    """
    reads: dict[tuple[str, tuple[KeyColumn, ...]], Read] = {}
    demands: dict[tuple[str, str], Demand] = {}
    fields: dict[str, tuple[Read | Demand, str]] = {}

    def read_of(ref: str, view: FeatureView, keys: tuple[KeyColumn, ...], features: list[Feature]) -> Read:
        read = reads.setdefault((ref, keys), Read(ref, view, keys))
        read.features.update({feature.name: feature for feature in features})
        return read

    for one in spec.repository_fields if only is None else only:
        ref, _, name = str(one.feature).partition(":")
        view = _view(store, one, ref)
        feature = _feature(one, view, name)
        check_type(one, feature)
        if isinstance(view, OnDemandFeatureView):
            _check_on_demand(one, view)
            sources = {
                called: _source(store, spec, one, projection)
                for called, projection in view.source_feature_view_projections.items()
            }
            chosen = {called: read_of(v.name, v, keys, features) for called, (v, keys, features) in sources.items()}
            place = (ref, repr([(called, read.keys) for called, read in chosen.items()]))
            demand = demands.setdefault(place, Demand(view, chosen, _request(spec, one, view)))
            fields[one.name] = (demand, name)
        else:
            fields[one.name] = (read_of(ref, view, key_columns(spec, one, view), [feature]), name)
    return Plan(tuple(reads.values()), tuple(demands.values()), fields)


def _view(store: FeatureStore, one: Field, ref: str) -> FeatureView | OnDemandFeatureView:
    """The view that a field names, one of those that hold features."""
    place = Path(str(store.config.repo_path))
    versioned = _VERSIONED.fullmatch(ref)
    name = versioned["view"] if versioned else ref
    with store_failures(f"reading the registry of {place}", then="see that it is there, and run 'feast apply'"):
        try:
            if versioned and store.config.registry.enable_online_feature_view_versioning:
                found = store.registry.get_feature_view_by_version(name, store.project, int(versioned["version"]))
                found.projection.version_tag = int(versioned["version"])
            else:
                found = store.registry.get_any_feature_view(name, store.project)
        except FeatureViewVersionNotFound:
            numbers = [known["version"] for known in store.list_feature_view_versions(name)]
            raise SpecError(
                f"field {one.name!r} reads {ref!r}, and the view {name!r} has the versions "
                f"{', '.join(numbers) or 'none'}"
            ) from None
        except FeatureViewNotFoundException:
            found = None
    if versioned and not store.config.registry.enable_online_feature_view_versioning:
        raise SpecError(
            f"field {one.name!r} reads a version of the view {name!r}, and the repository {place} keeps none online: "
            "set 'enable_online_feature_view_versioning: true' under 'registry' there"
        )
    if found is None:
        known = sorted(v.name for v in store.registry.list_all_feature_views(store.project) if not ours(v))
        raise SpecError(
            f"field {one.name!r} reads the view {ref!r}, which the repository {place} does not have: it has "
            f"{', '.join(known) or 'none, run feast apply there first'}"
        )
    if not isinstance(found, FeatureView | OnDemandFeatureView):
        raise SpecError(
            f"field {one.name!r} reads {ref!r}, which is a {type(found).__name__}: a field can be a feature of a "
            "feature view, a stream feature view or an on-demand view"
        )
    return found


def _feature(one: Field, view: FeatureView | OnDemandFeatureView, name: str) -> Feature:
    for feature in view.features:
        if feature.name == name:
            return feature
    raise SpecError(
        f"field {one.name!r} reads the feature {name!r}, which the view {view.name!r} does not have: it has "
        f"{', '.join(feature.name for feature in view.features)}"
    )


def _check_on_demand(one: Field, view: OnDemandFeatureView) -> None:
    if view.aggregations:
        raise SpecError(
            f"field {one.name!r} reads the on-demand view {view.name!r}, which aggregates: only those that compute by "
            "a function can be read"
        )
    if view.mode not in {"pandas", "python"}:
        raise SpecError(
            f"field {one.name!r} reads the on-demand view {view.name!r} of mode {view.mode!r}: only pandas and python "
            "can be read"
        )


def _source(
    store: FeatureStore, spec: DatasetSpec, one: Field, projection: FeatureViewProjection
) -> tuple[FeatureView, tuple[KeyColumn, ...], list[Feature]]:
    view = _view(store, one, projection.name)
    if not isinstance(view, FeatureView):
        raise SpecError(f"field {one.name!r}: its on-demand view is computed from another one, {projection.name!r}")
    keys = key_columns(spec, one, view, mapped=dict(projection.join_key_map))
    return view, keys, [feature for feature in projection.features if readable(feature)]


def _request(spec: DatasetSpec, one: Field, view: OnDemandFeatureView) -> dict[str, tuple[str, pa.DataType]]:
    """What the view takes of the request: context fields of the spec, by the same name."""
    fields = {field.name: field for field in spec.owned_by("context")}
    wanted = {f.name: f for source in view.source_request_sources.values() for f in source.schema}
    for name in wanted:
        if name not in fields:
            raise SpecError(
                f"field {one.name!r}: the on-demand view {view.name!r} takes {name!r} of the request, which is no "
                f"context field of the spec: add a field {name!r} with owner context"
            )
    for name, feature in wanted.items():
        kind = feature.dtype.to_value_type().name
        if kind not in _REQUESTED.get(fields[name].kind, ()):
            takes = [known for known, kinds in _REQUESTED.items() if kind in kinds]
            raise SpecError(
                f"field {name!r} is {fields[name].kind}, and the on-demand view {view.name!r} takes it of the request "
                f"as {kind}: " + (f"make it {takes[0]}" if takes else "no field can give that")
            )
    return {name: (raw_column(fields[name]), arrow_type(feature)) for name, feature in wanted.items()}
