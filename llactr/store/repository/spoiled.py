"""What a draft would read of a repository of the user, looked at: what knows the label, says nothing, finds no row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import yaml
from feast import FeatureStore

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.errors import LlactrError
from llactr.profile.drafting.against import knows, says_nothing
from llactr.profile.drafting.rows import LABELLED, ROW_LABEL, ROW_MOMENT
from llactr.profile.drafting.work import Draft, FieldDraft, LeftOut
from llactr.profile.facts import Column, columns_of
from llactr.profile.reading import Opened
from llactr.profile.spec_yaml import spec_yaml
from llactr.spec import DatasetSpec, NumericField
from llactr.sql import quote_identifier
from llactr.store.repository.features import RepositoryFeatures

__all__ = ["without_spoilers"]

_ROWS = 20_000
_FEW = 0.5
"""A view that fewer of the rows find a value in is told of."""


def without_spoilers(
    draft: Draft, store: FeatureStore, connection: duckdb.DuckDBPyConnection, *, held: Sequence[str]
) -> Draft:
    """The draft without features of the repository that would spoil its result, each left out with the reason.

    They are joined point in time to 20,000 rows at most, by the repository's own offline store, and each is looked at
    as a column of the events is. Where that fails, nothing is left out and the draft says so.

    Args:
        draft: with fields of the repository.
        store: the repository's.
        connection: holds the events of the sample, see `llactr.profile.drafting.rows.prepared`.
        held: fields to keep although something speaks against them.
    """
    theirs = [one for one in draft.fields if "feature" in one.settings]
    if not theirs or len(draft.fields) < 2:
        return draft
    try:
        spec = DatasetSpec.model_validate(yaml.safe_load(spec_yaml(draft, Path("spec.yaml"))))
        features = RepositoryFeatures(spec, store)
        rows, labels = _rows(connection, draft, spec)
        found = features.as_of(rows)
    except (LlactrError, ValueError) as error:
        cost = f"the repository's features were not looked at for what they know of the label ({str(error)[:300]})"
        return replace(draft, costs=(*draft.costs, cost))
    table = pa.table({**found, ROW_LABEL: labels})
    columns = _columns(connection, table)
    left, findings = list(draft.left_out), list(draft.findings)
    for one in theirs:
        spoken = says_nothing(columns[one.name]) or knows(connection, "features_of_rows", columns[one.name], ROW_LABEL)
        if spoken is None or one.name in held:
            continue
        left.append(LeftOut(one.name, one.table, spoken, columns[one.name].said(), True))
        if spoken.startswith("by "):
            findings.append(f"the feature {one.settings['feature']!r} knows the label: {spoken}")
    findings += _unmet(theirs, columns, draft)
    gone = {(one.column, one.table) for one in left}
    kept = tuple(
        replace(one, facts=columns[one.name].said()) if "feature" in one.settings else one
        for one in draft.fields
        if "feature" not in one.settings or (one.name, one.table) not in gone
    )
    return replace(draft, fields=kept, left_out=tuple(left), findings=tuple(findings))


def _rows(connection: duckdb.DuckDBPyConnection, draft: Draft, spec: DatasetSpec) -> tuple[pa.Table, pa.ChunkedArray]:
    """Some of the events as the join wants them, and their labels: keys as text, moments, context fields."""
    has = {row[0] for row in connection.execute(f"DESCRIBE {LABELLED}").fetchall()}
    selected = {EVENT_TIMESTAMP: ROW_MOMENT, ROW_LABEL: ROW_LABEL}
    for owner, entity in spec.entities.items():
        key = next(
            (one.column for one in draft.fields if one.owner == owner and one.name == entity.join_key), entity.join_key
        )
        key = entity.join_key if entity.join_key in has else key
        selected[entity.join_key] = f"CAST({quote_identifier(key)} AS VARCHAR)"
    for field in spec.owned_by("context"):
        source = next(one for one in draft.fields if one.name == field.name)
        if field.feature is not None or source.column not in has or field.name in selected:
            continue
        kind = "DOUBLE" if isinstance(field, NumericField) else "VARCHAR"
        selected[field.name] = f"TRY_CAST({source.sql or quote_identifier(source.column)} AS {kind})"
    listed = ", ".join(f"{sql} AS {quote_identifier(name)}" for name, sql in selected.items())
    found = connection.execute(f"SELECT {listed} FROM {LABELLED} LIMIT {_ROWS}").to_arrow_table()
    labels = found[ROW_LABEL]
    at = found.column_names.index(EVENT_TIMESTAMP)
    rows = found.set_column(at, EVENT_TIMESTAMP, found[EVENT_TIMESTAMP].cast(TIMESTAMP)).drop_columns([ROW_LABEL])
    return rows, labels


def _columns(connection: duckdb.DuckDBPyConnection, table: pa.Table) -> dict[str, Column]:
    """The facts of the features, as those of any table's columns."""
    connection.register("features_joined", table)
    connection.execute("CREATE OR REPLACE TABLE features_of_rows AS SELECT * FROM features_joined")
    connection.unregister("features_joined")
    kinds = {row[0]: row[1] for row in connection.execute("DESCRIBE features_of_rows").fetchall()}
    opened = Opened(
        name="features", format="parquet", files=(), scan="features_of_rows", columns=kinds, rows=table.num_rows,
        estimated=False, sampled=True, sample="features_of_rows",
    )  # fmt: skip
    return {column.name: column for column in columns_of(connection, opened)}


def _unmet(fields: Sequence[FieldDraft], columns: Mapping[str, Column], draft: Draft) -> list[str]:
    """Sentences about views in which few of the rows find anything: a key that is spelled otherwise looks like that."""
    said = []
    for view, owner in dict.fromkeys((one.table, one.owner) for one in fields if one.owner in draft.entities):
        filled = max(columns[one.name].filled / max(columns[one.name].rows, 1) for one in fields if one.table == view)
        if filled < _FEW:
            key = draft.entities[owner]["join_key"]
            said.append(
                f"{1 - filled:.0%} of the rows find no value in the view {view!r} by {key!r}: see that keys are spelled"
                " there as in the events, and that its rows reach back to them"
            )
    return said
