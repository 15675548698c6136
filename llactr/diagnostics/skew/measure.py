"""Skew: what the service logged, compared with what the offline store says it should have read.

Each logged row is joined point-in-time with the offline store at the moment its features were read, value by value, and
scored again from the offline values. The past that a model read is compared with the one that the dataset's events give
at the request's own moment. On an unchanged store everything agrees. A mismatch is a value that was stale or
missing online, or was corrected offline afterwards.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP
from llactr.ctr import Bundle, predict
from llactr.ctr.request_ids import request_ids
from llactr.diagnostics.agreement import placed_offline
from llactr.diagnostics.skew.fields import FieldSkew, ListSkew
from llactr.diagnostics.skew.histories import HistorySkew, compare_numbers, offline_numbers
from llactr.diagnostics.skew.log import SERVED_AT, read_log
from llactr.history import Events
from llactr.spec import DatasetSpec, MultiValuedField
from llactr.store import events_table
from llactr.store.history import events_of, with_newer_items
from llactr.store.ingested import dataset_spec
from llactr.store.moments import features_as_of
from llactr.transforms import raw_column, split_values
from llactr.workspace import Workspace

__all__ = ["measure_skew"]


def measure_skew(
    workspace: Workspace,
    dataset: str,
    *,
    since: datetime | None = None,
    limit: int = 1_000_000,
    share: float = 1.0,
    feast_config: Path | None = None,
) -> dict[str, Any]:
    """Four figures by field and by kind of past, and differences of scores.

    Args:
        workspace: where.
        dataset: whose log.
        since: only rows whose features were read from then on.
        limit: rows at most, the newest files first.
        share: of the users, by the hash of their key; all logged rows of a user are compared, or none.
        feast_config: the feature_store.yaml of the service; decides nothing but the registry.

    Returns:
        `rows`, `fields` (name -> compared, equal, different, missing, extra, mismatches, rate, examples; of lists
        length and edit_distance), `histories` (user and item -> the same; None where no bundle read a past), `scores`
        by bundle, and `holds`.

    Raises:
        InputError: `since` has no zone, or the share is none.
        NotReadyError: nothing has been logged.
        DataError: a file of the log is damaged.
    """
    log = read_log(workspace, dataset_spec(workspace, dataset), since=since, limit=limit, share=share)
    fields: dict[str, FieldSkew] = {}
    histories, events, scores = HistorySkew(), None, []
    for bundle_id in sorted(pc.unique(log["served_bundle"]).to_pylist()):
        rows = log.filter(pc.equal(log["served_bundle"], bundle_id))
        bundle = _bundle(workspace, bundle_id)
        spec = bundle.spec if bundle is not None else dataset_spec(workspace, dataset)
        keys = {entity.join_key: rows[entity.join_key] for entity in spec.entities.values()}
        given = {name: rows[name] for name in map(raw_column, spec.owned_by("context")) if name != EVENT_TIMESTAMP}
        moments = pa.table(keys | given | {EVENT_TIMESTAMP: rows[SERVED_AT]})
        offline = features_as_of(workspace, spec, moments, config=feast_config)
        for name, values in offline.items():
            _compare(fields, name, rows, values, spec)
        numbers = None
        if bundle is not None and bundle.history is not None:
            if events is None:
                events = events_of(spec, events_table(workspace, spec))
            past = with_newer_items(workspace, spec, bundle.history, config=feast_config)
            numbers = offline_numbers(spec, past, events, rows)
            _compare_past(fields, histories, bundle, events, rows, numbers)
        scores.append(_rescored(workspace, bundle_id, bundle, rows, offline, numbers))
    mismatches = sum(entry.mismatches for entry in fields.values()) + histories.mismatches
    other = sum(entry["rows_with_other_ids"] or 0 for entry in scores)
    return {
        "dataset": dataset,
        "rows": log.num_rows,
        "requests": len(pc.unique(log["served_request"])),
        "share": share,
        "from": pc.min(log[SERVED_AT]).as_py().isoformat(),
        "to": pc.max(log[SERVED_AT]).as_py().isoformat(),
        "fields": {name: entry.as_json() for name, entry in fields.items()},
        "histories": histories.as_json() if histories.item.compared else None,
        "scores": scores,
        "holds": mismatches == 0 and other == 0,
    }


def _bundle(workspace: Workspace, bundle_id: str) -> Bundle | None:
    folder = workspace.artifact("bundles", bundle_id)
    return Bundle.load(folder) if folder.is_dir() else None


def _compare(
    fields: dict[str, FieldSkew], name: str, rows: pa.Table, offline: pa.ChunkedArray, spec: DatasetSpec
) -> None:
    """Adds one field's comparison; of a field with several values also that of its lists."""
    if name not in rows.column_names:
        return
    one, served = spec.field(name), rows[name]
    entry = fields.setdefault(name, FieldSkew(lists=ListSkew() if isinstance(one, MultiValuedField) else None))
    whose = one.owner if one.owner in spec.entities else next(iter(spec.entities))
    keys = rows[spec.entities[whose].join_key].to_pylist()
    other = set(entry.add(served, offline, keys).tolist())
    if isinstance(one, MultiValuedField):
        assert entry.lists is not None
        pairs = zip(served.to_pylist(), offline.to_pylist(), strict=True)
        for row, (here, there) in enumerate(pairs):
            lists = ([] if text is None else split_values(text, one.separator) for text in (here, there))
            entry.lists.add(*lists, equal=row not in other)


def _compare_past(
    fields: dict[str, FieldSkew],
    histories: HistorySkew,
    bundle: Bundle,
    events: Events,
    rows: pa.Table,
    numbers: NDArray[np.float32],
) -> None:
    """Adds the comparison of what a bundle read of the past; rows that were logged without it are left out."""
    assert bundle.history is not None
    if "served_history" not in rows.column_names:
        return
    told = rows["served_history"].is_valid()
    rows, numbers = rows.filter(told), numbers[told.to_numpy()]
    if not rows.num_rows:
        return
    keys = rows[bundle.spec.entities["user"].join_key].to_pylist()
    compare_numbers(fields, bundle.history, rows, numbers, keys)
    histories.add(bundle.spec, bundle.history, events, rows)


def _rescored(
    workspace: Workspace,
    bundle_id: str,
    bundle: Bundle | None,
    rows: pa.Table,
    offline: dict[str, pa.ChunkedArray],
    numbers: NDArray[np.float32] | None,
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
        scores = predict(bundle.model, bundle.rows(ids, numbers))
    else:
        scores = placed_offline(workspace, bundle.spec, unseen, ids, unseen.find(ids, table), numbers).scores
    gap = np.abs(scores - rows["served_score"].to_numpy())
    return {
        "bundle": bundle_id,
        "rows": rows.num_rows,
        "rows_with_other_ids": int((ids != served_ids).any(axis=1).sum()),
        "mean_difference": float(gap.mean()),
        "max_difference": float(gap.max()),
    }
