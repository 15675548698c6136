"""`llactr predict`: scores rows with features and vectors from the online store, and checks that against offline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from llactr.ctr import Bundle, predict
from llactr.ctr.find import find_bundle
from llactr.ctr.training.join import join
from llactr.diagnostics.agreement import TOLERANCE, chosen_rows, offline_scores
from llactr.errors import ConsistencyError, DataError, InputError
from llactr.manifest import read_manifest
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome
from llactr.store import OnlineReader, events_table
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash
from llactr.transforms import raw_column

__all__ = ["check", "describe", "describe_check", "placed_note", "read_rows", "run"]


def read_rows(rows: Sequence[str], file: Path | None) -> pa.Table:
    """Rows to score: JSON objects, or a file of them (.json, .jsonl, .csv, .parquet).

    Raises:
        InputError: neither or both are given.
        DataError: they cannot be read.
    """
    if bool(rows) == (file is not None):
        raise InputError("give the rows to score, either by --row '{...}' or by --file, or give --check N")
    if file is None:
        return _table([_parsed(text, f"--row {number}") for number, text in enumerate(rows, 1)], "--row")
    if not file.is_file():
        raise DataError(f"no file {file}: give a .json, .jsonl, .csv or .parquet file of rows")
    try:
        if file.suffix == ".parquet":
            return pa.parquet.read_table(file)
        if file.suffix == ".csv":
            return pa.csv.read_csv(file)
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(f"the rows in {file} cannot be read: {str(error).splitlines()[0]}") from None
    if file.suffix == ".jsonl":
        lines = [line for line in text.splitlines() if line.strip()]
        return _table([_parsed(line, f"{file} line {number}") for number, line in enumerate(lines, 1)], str(file))
    if file.suffix != ".json":
        raise DataError(f"{file} has the ending {file.suffix!r}: expected .json, .jsonl, .csv or .parquet")
    content = _parsed(text, str(file))
    return _table(content if isinstance(content, list) else [content], str(file))


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f'{place} is not JSON ({error}): expected an object such as {{"user_id": "1"}}') from None


def _table(rows: list[Any], place: str) -> pa.Table:
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{place} holds no rows: expected JSON objects, one key a column")
    try:
        return pa.Table.from_pylist(rows)
    except pa.ArrowException as error:
        raise DataError(f"the rows of {place} do not have one type a column: {str(error).splitlines()[0]}") from None


def request_table(rows: pa.Table, spec: DatasetSpec) -> pa.Table:
    """Rows as the online reader takes them: join keys, context fields, and `event_timestamp`, now unless given.

    Raises:
        DataError: a join key or context field is missing, or a column is none of them.
    """
    wanted = [entity.join_key for entity in spec.entities.values()]
    wanted += [name for name in (raw_column(field) for field in spec.owned_by("context")) if name != "event_timestamp"]
    missing = [name for name in wanted if name not in rows.column_names]
    if missing:
        raise DataError(
            f"the rows have no {missing[0]!r}: expected {', '.join(wanted)}, and event_timestamp if not now"
        )
    unknown = [name for name in rows.column_names if name not in {*wanted, "event_timestamp"}]
    if unknown:
        raise DataError(
            f"the rows have a column {unknown[0]!r}, which is not asked for: features of users and items come from the "
            f"online store, give only {', '.join(wanted)} and event_timestamp"
        )
    if "event_timestamp" in rows.column_names:
        column = rows["event_timestamp"]
        if pa.types.is_string(column.type):
            column = pa.chunked_array([_moments(column.to_pylist())])
            rows = rows.set_column(rows.column_names.index("event_timestamp"), "event_timestamp", column)
        return rows
    now = pa.array([datetime.now(UTC)] * rows.num_rows, pa.timestamp("us", "UTC"))
    return rows.append_column("event_timestamp", now)


def _moments(texts: list[str | None]) -> pa.Array:
    moments = []
    for text in texts:
        try:
            moment = datetime.fromisoformat(text or "")
        except ValueError:
            moment = datetime.min
        if moment.tzinfo is None:
            raise DataError(
                f"event_timestamp {text!r} is no time with a zone: give one such as 1998-04-20T12:00:00+00:00"
            )
        moments.append(moment)
    return pa.array(moments, pa.timestamp("us", "UTC"))


def run(job: Job, dataset: str, *, bundle: str | None, rows: pa.Table) -> dict[str, Any]:
    """Scores rows: features and field vectors from the online store, weights and vocabularies from the bundle."""
    spec = dataset_spec(job.workspace, dataset)
    folder = find_bundle(job.workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    requests = request_table(rows, spec)
    reader = OnlineReader(job.workspace, spec)
    loaded.check_vectors(reader.field_vectors(loaded.version))
    features = reader.features(requests)
    _, scores, placed = score_online(loaded, reader, features)
    return {
        "bundle": folder.name,
        "semantics_version": loaded.version,
        "rows": len(scores),
        "unseen_values_placed": placed,
        "scores": [round(float(score), 7) for score in scores],
    }


def score_online(
    loaded: Bundle, reader: OnlineReader, features: pa.Table
) -> tuple[NDArray[np.int32], NDArray[np.float32], int]:
    """Ids (N, C) and scores (N,) of raw rows, and how many values that training never saw were placed by vectors."""
    ids = loaded.transform.ids(features)
    unseen = loaded.unseen_values()
    if unseen is None:
        return ids, predict(loaded.model, ids), 0
    held = unseen.find(ids, features)
    wanted = {name: one.values for name, one in held.items()}
    rows = unseen.rows_of(reader.value_vectors(unseen.projections.version, wanted))
    return ids, unseen.score(ids, held, rows), sum(map(len, rows.values()))


def check(job: Job, dataset: str, *, bundle: str | None, rows: int) -> StepOutcome:
    """Scores test rows twice, through the online store and on the offline path, and compares ids and scores.

    The rows are spread evenly over the test split. Values that training never saw are placed on both paths, by vectors
    from the online and from the offline store.

    Raises:
        ConsistencyError: an id differs, or a score by more than `TOLERANCE`.
    """
    spec = dataset_spec(job.workspace, dataset)
    folder = find_bundle(job.workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    joined, training_set = join(job, dataset)
    manifest = read_manifest(folder)

    def work(_: Path, advance: Advance) -> dict[str, Any]:
        chosen = chosen_rows(training_set, rows)
        requests = events_table(job.workspace, spec).take(pa.array(chosen)).drop_columns(["label"])
        reader = OnlineReader(job.workspace, spec)
        loaded.check_vectors(reader.field_vectors(loaded.version))
        online_ids, online_scores, placed = score_online(loaded, reader, reader.features(requests))
        offline = offline_scores(job.workspace, spec, loaded, training_set, chosen)
        other = int((online_ids != offline.ids).any(axis=1).sum())
        gap = float(np.abs(online_scores - offline.scores).max())
        advance(1, 1, f"{len(chosen):,} rows: {other} with other ids, scores within {gap:.1e}")
        return {
            "bundle": folder.name,
            "rows": len(chosen),
            "rows_with_other_ids": other,
            "max_score_difference": gap,
            "unseen_values_placed": {"online": placed, "offline": offline.placed},
            "rows_with_placed_values": offline.rows_with_placed,
            "tolerance": TOLERANCE,
            "holds": other == 0 and gap <= TOLERANCE,
        }

    # Always done anew: the online store can change behind every hash.
    outcome = replace(job, force=True).step(
        "check",
        job.workspace.artifact("checks", folder.name),
        dataset=dataset,
        config={"rows": rows, "tolerance": TOLERANCE},
        inputs={
            "bundle": manifest["key"] if manifest else folder.name,
            "training_set": joined.key,
            "dataset": dataset_hash(job.workspace, dataset),
            "releases": release_hash(job.workspace, dataset),
        },
        work=work,
    )
    if not outcome.result["holds"]:
        raise ConsistencyError(
            f"online and offline disagree: {describe_check(outcome)}: run 'llactr materialize', then check again"
        )
    return outcome


def describe(scored: dict[str, Any]) -> str:
    """One score a line."""
    return "\n".join(f"{score:.6f}" for score in scored["scores"])


def describe_check(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return (
        f"online = offline on {facts['rows']:,} test rows: {facts['rows_with_other_ids']} with other ids, "
        f"scores within {facts['max_score_difference']:.1e} (tolerance {facts['tolerance']:.0e})"
        f"{placed_note(facts)}"
    )


def placed_note(facts: dict[str, Any]) -> str:
    """How many of the rows compared hold unseen values that were placed by their vectors; empty for none."""
    rows = facts["rows_with_placed_values"]
    return f"; {rows:,} of them hold new values, placed by their texts' vectors" if rows else ""
