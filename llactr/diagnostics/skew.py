"""Skew: what the service logged, compared with what the offline store says it should have read.

Each logged row is joined point-in-time with the offline store at the moment its features were read, value by value, and
scored again from the offline values. On an unchanged store everything agrees. A mismatch is a value that was stale or
missing online, or was corrected offline afterwards.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.ctr import Bundle, predict
from llactr.ctr.request_ids import request_ids
from llactr.diagnostics.agreement import placed_offline
from llactr.errors import DataError, InputError, NotReadyError
from llactr.spec import DatasetSpec
from llactr.store.ingested import dataset_spec
from llactr.store.moments import features_as_of
from llactr.workspace import Workspace

__all__ = ["measure_skew"]

_EXAMPLES = 3
_SERVED_AT = "served_at"


def measure_skew(
    workspace: Workspace,
    dataset: str,
    *,
    since: datetime | None = None,
    limit: int = 1_000_000,
    feast_config: Path | None = None,
) -> dict[str, Any]:
    """Mismatch rates by field, and differences of scores.

    Args:
        workspace: where.
        dataset: whose log.
        since: only rows whose features were read from then on.
        limit: rows at most, the newest files first.
        feast_config: the feature_store.yaml of the service; decides nothing but the registry.

    Returns:
        `rows`, `fields` (name -> compared, mismatches, rate, examples), `scores` by bundle, and `holds`.

    Raises:
        NotReadyError: nothing has been logged.
        DataError: a file of the log is damaged.
    """
    if since is not None and since.tzinfo is None:
        raise InputError(f"--since {since.isoformat()} has no zone: give one, such as {since.isoformat()}Z")
    log = _read_log(workspace, dataset, since, limit)
    fields: dict[str, dict[str, Any]] = {}
    scores = []
    for bundle_id in sorted(pc.unique(log["served_bundle"]).to_pylist()):
        rows = log.filter(pc.equal(log["served_bundle"], bundle_id))
        bundle = _bundle(workspace, bundle_id)
        spec = bundle.spec if bundle is not None else dataset_spec(workspace, dataset)
        keys = {entity.join_key: rows[entity.join_key] for entity in spec.entities.values()}
        moments = pa.table(keys | {EVENT_TIMESTAMP: rows[_SERVED_AT]})
        offline = features_as_of(workspace, spec, moments, config=feast_config)
        for name, values in offline.items():
            _compare(fields, name, rows, values, spec)
        scores.append(_rescored(workspace, bundle_id, bundle, rows, offline))
    mismatches = sum(entry["mismatches"] for entry in fields.values())
    other = sum(entry["rows_with_other_ids"] or 0 for entry in scores)
    return {
        "dataset": dataset,
        "rows": log.num_rows,
        "requests": len(pc.unique(log["served_request"])),
        "from": pc.min(log[_SERVED_AT]).as_py().isoformat(),
        "to": pc.max(log[_SERVED_AT]).as_py().isoformat(),
        "fields": fields,
        "scores": scores,
        "holds": mismatches == 0 and other == 0,
    }


def _read_log(workspace: Workspace, dataset: str, since: datetime | None, limit: int) -> pa.Table:
    folder = workspace.offline_table(dataset, "served")
    pieces, rows = [], 0
    for path in sorted(folder.glob("*.parquet"), reverse=True):
        try:
            piece = pq.read_table(path, partitioning=None)
            if since is not None:
                piece = piece.filter(pc.greater_equal(piece[_SERVED_AT], pa.scalar(since, TIMESTAMP)))
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"the served-feature log's file {path} cannot be read ({reason}): remove it") from None
        pieces.append(piece)
        rows += piece.num_rows
        if rows >= limit:
            break
    if not rows:
        raise NotReadyError(
            f"nothing has been logged of {dataset!r}{f' since {since.isoformat()}' if since else ''}: "
            "run 'llactr serve --log-rate 1' and send requests first"
        )
    return pa.concat_tables(pieces, promote_options="default").slice(0, limit)


def _bundle(workspace: Workspace, bundle_id: str) -> Bundle | None:
    folder = workspace.artifact("bundles", bundle_id)
    return Bundle.load(folder) if folder.is_dir() else None


def _compare(
    fields: dict[str, dict[str, Any]], name: str, rows: pa.Table, offline: pa.ChunkedArray, spec: DatasetSpec
) -> None:
    """Adds one field's comparison; two nulls are equal."""
    if name not in rows.column_names:
        return
    served = rows[name].cast(offline.type)
    equal = pc.fill_null(pc.equal(served, offline), False)
    same = pc.or_(equal, pc.and_(pc.is_null(served), pc.is_null(offline)))
    other = np.flatnonzero(~same.to_numpy(zero_copy_only=False))
    key = spec.entities[spec.field(name).owner].join_key  # type: ignore[index]
    entry = fields.setdefault(name, {"compared": 0, "mismatches": 0, "rate": 0.0, "examples": []})
    entry["compared"] += len(served)
    entry["mismatches"] += len(other)
    entry["rate"] = entry["mismatches"] / entry["compared"]
    for row in other[: _EXAMPLES - len(entry["examples"])].tolist():
        entry["examples"].append(
            {"key": rows[key][row].as_py(), "served": served[row].as_py(), "offline": offline[row].as_py()}
        )


def _rescored(
    workspace: Workspace, bundle_id: str, bundle: Bundle | None, rows: pa.Table, offline: dict[str, pa.ChunkedArray]
) -> dict[str, Any]:
    if bundle is None:
        nothing: dict[str, Any] = dict.fromkeys(("rows_with_other_ids", "mean_difference", "max_difference"))
        return {"bundle": bundle_id, "rows": rows.num_rows, **nothing}
    table = rows
    for name, values in offline.items():
        table = table.set_column(table.column_names.index(name), name, values)
    for field in bundle.spec.fields:
        if field.owner != "context" and field.name not in table.column_names:  # another name for the join key
            table = table.append_column(field.name, rows[bundle.spec.entities[field.owner].join_key])
    ids = request_ids(bundle.transform, bundle.spec, table)
    served_ids = np.asarray(rows["served_ids"].combine_chunks().flatten()).reshape(rows.num_rows, -1)
    unseen = bundle.unseen_values()
    if unseen is None:
        scores = predict(bundle.model, ids)
    else:
        scores = placed_offline(workspace, bundle.spec, unseen, ids, unseen.find(ids, table)).scores
    gap = np.abs(scores - rows["served_score"].to_numpy())
    return {
        "bundle": bundle_id,
        "rows": rows.num_rows,
        "rows_with_other_ids": int((ids != served_ids).any(axis=1).sum()),
        "mean_difference": float(gap.mean()),
        "max_difference": float(gap.max()),
    }
