"""Scores what is larger than memory: rows come in batches, features are read for each, and go out as Parquet.

The service, `llactr score` and the Python API share what is below: `llactr.datasets.rows` says what a row is,
`llactr.ctr.scoring` scores it. A table may have more columns than a row needs; they are named, and ignored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from llactr.atomic import writing_file
from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.ctr.scoring import RowScorer, ScoredRows, ScorerPlace, score_features
from llactr.datasets.row_batches import RowSource
from llactr.datasets.rows import request_columns, request_table
from llactr.errors import DataError, InputError
from llactr.pieces import ALONE, Begin, Seat, Workers, run_pieces
from llactr.spec import DatasetSpec
from llactr.transforms import utc_timestamps
from llactr.workspace import Workspace

__all__ = ["BATCH_ROWS", "SCORE", "RequestTimes", "ScoredFile", "open_scorer", "score_file", "score_table"]

BATCH_ROWS = 100_000
SCORE = "score"
"""The column of the scores."""


class ScoredFile(BaseModel):
    """What was scored into a file.

    Attributes:
        bundle: the id of the bundle that scored.
        semantics_version: the version that it is pinned to.
        features: `online`, or `offline` for those as of each row's moment.
        out: the Parquet file.
        rows: how many.
        unseen_values_placed: values that training never saw and that were placed by vectors, added up over batches.
        out_of_vocabulary: field -> rows that hold a value of it that training never saw.
        ignored: columns of the source that are neither asked for nor kept.
        seconds: by the clock.
        cpu_seconds: of all, those of workers included.
        model_cpu_seconds: of that, from joined features to scores.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    semantics_version: str
    features: str
    out: str
    rows: int
    unseen_values_placed: int
    out_of_vocabulary: dict[str, int]
    ignored: tuple[str, ...]
    seconds: float
    cpu_seconds: float
    model_cpu_seconds: float

    @property
    def sentence(self) -> str:
        """All of it in a sentence."""
        rate = self.rows / self.cpu_seconds if self.cpu_seconds else 0.0
        return (
            f"{self.rows:,} rows scored by {self.bundle} with {self.features} features into {self.out}: "
            f"{self.seconds:.1f} s, {rate:,.0f} rows per CPU-second"
        )

    @property
    def doubts(self) -> str:
        """What was ignored, and which fields hold values that training never saw; empty for neither."""
        said = []
        if self.ignored:
            said.append(f"columns that are not asked for were ignored: {', '.join(self.ignored)}")
        if self.out_of_vocabulary:
            fields = [f"{name} in {count:,} of {self.rows:,} rows" for name, count in self.out_of_vocabulary.items()]
            said.append(f"values that training never saw: {', '.join(fields)}")
        return "\n".join(said)


@dataclass(frozen=True)
class RequestTimes:
    """When each row is requested: at one moment, at that of a column, or, without either, at its `event_timestamp`.

    What a command or a method calls `at`; where it is given, features are those of the offline store at that time.
    """

    at: str | datetime | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def column(self) -> str | None:
        """The column that holds each row's moment."""
        return None if self.moment is not None else None if self.at is None else str(self.at)

    @property
    def moment(self) -> datetime | None:
        """The one moment of all rows.

        Raises:
            InputError: it has no zone.
        """
        if self.at is None:
            return None
        try:
            found = self.at if isinstance(self.at, datetime) else datetime.fromisoformat(self.at)
        except ValueError:
            return None
        if found.tzinfo is None:
            raise InputError(f"--at is {self.at}, which has no zone: give a time such as {found.isoformat()}+00:00")
        return found

    def of(self, table: pa.Table, spec: DatasetSpec) -> pa.ChunkedArray | None:
        """Each row's moment, timestamp[us, UTC]; None where the rows themselves are to say it.

        Raises:
            DataError: there is no such column, or it cannot be read by the spec's unit and zone.
        """
        if self.moment is not None:
            return pa.chunked_array([pa.repeat(pa.scalar(self.moment, TIMESTAMP), table.num_rows)])
        if self.column is None:
            if EVENT_TIMESTAMP in table.column_names:
                return None
            return pa.chunked_array([pa.repeat(pa.scalar(self.now, TIMESTAMP), table.num_rows)])
        if self.column not in table.column_names:
            raise DataError(
                f"--at is {self.column!r}, which is neither a time nor a column: the columns are "
                f"{', '.join(table.column_names)}"
            )
        moments = utc_timestamps(table[self.column], spec.timestamp.model_copy(update={"column": self.column}))
        if moments.null_count:
            raise DataError(f"column {self.column!r} has no time in {moments.null_count} rows: fill them in")
        return moments


def open_scorer(workspace: Workspace, dataset: str, bundle: str | None, times: RequestTimes) -> RowScorer:
    """A bundle with the online store, or, where a time is asked for, with the offline one.

    Raises:
        InputError: see `RowScorer.online` and `RowScorer.offline`.
    """
    of = RowScorer.online if times.at is None else RowScorer.offline
    return of(workspace, dataset, bundle)


def score_file(
    scorer: RowScorer,
    source: RowSource,
    out: Path,
    *,
    times: RequestTimes,
    keep: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
    workers: Workers = ALONE,
    progress: Callable[[int, int, str], None] | None = None,
) -> ScoredFile:
    """Scores all rows of a source into a Parquet file, which appears whole or not at all.

    It has the join keys, `event_timestamp`, the columns to keep, and `score` float32, rows in the order of the source.
    Memory grows with `batch_rows`, not with the source.

    Args:
        scorer: of `open_scorer`.
        source: the rows.
        out: the file; one that is there is replaced.
        times: when each row is requested.
        keep: columns of the source that go out as they are.
        batch_rows: rows that are in memory at a time; with several workers, times four a worker.
        workers: who scores. This process reads the source and writes the file; the scores of a batch are the same
            wherever it is scored with as many threads.
        progress: called with (rows done, 0, note) after each batch.

    Raises:
        DataError: the rows lack a column, hold none at all, or cannot be read.
        InputError: a column to keep is called `score`.
        StoreError: a store does not answer.
    """
    if SCORE in keep:
        raise InputError(f"--keep {SCORE} would hide the scores: rename that column in the source")
    kept, sums = tuple(dict.fromkeys(keep)), _Sums()
    wall, cpu = time.perf_counter(), time.process_time()
    with writing_file(out) as draft:
        writer: pq.ParquetWriter | None = None
        try:
            for batch in run_pieces(_begin(scorer, times, kept, workers), source.batches(batch_rows), workers):
                writer = writer or pq.ParquetWriter(draft, batch.table.schema)
                writer.write_table(_like(batch.table, writer.schema, source.name))
                sums.add(batch)
                if progress is not None:
                    progress(sums.rows, 0, f"{sums.rows:,} rows")
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise DataError(f"{source.name} holds no rows: give some")
    elsewhere = 0.0 if workers.alone else sums.cpu_s
    return ScoredFile(
        bundle=scorer.name,
        semantics_version=scorer.bundle.version,
        features="online" if times.at is None else "offline",
        out=str(out),
        rows=sums.rows,
        unseen_values_placed=sums.placed,
        out_of_vocabulary=sums.unknown,
        ignored=sums.ignored,
        seconds=round(time.perf_counter() - wall, 3),
        cpu_seconds=round(time.process_time() - cpu + elsewhere, 3),
        model_cpu_seconds=round(sums.model_cpu_s, 3),
    )


def _begin(scorer: RowScorer, times: RequestTimes, keep: tuple[str, ...], workers: Workers) -> Begin[pa.Table, _Scored]:
    """Others open the scorer's place anew; this process has it open."""
    if workers.alone:
        return lambda _: partial(_scored, scorer, times, keep)
    if scorer.place is None:
        raise InputError("this scorer was not opened from a workspace: score with it in one process")
    return _BeginScoring(scorer.place, times, keep)


class _Sums:
    """What a run has scored so far."""

    def __init__(self) -> None:
        self.rows, self.placed, self.cpu_s, self.model_cpu_s = 0, 0, 0.0, 0.0
        self.unknown: dict[str, int] = {}
        self.ignored: tuple[str, ...] = ()

    def add(self, batch: _Scored) -> None:
        """Adds a batch's part."""
        self.rows += batch.table.num_rows
        self.placed += batch.placed
        self.cpu_s += batch.cpu_s
        self.model_cpu_s += batch.model_cpu_s
        for name, count in batch.unknown.items():
            self.unknown[name] = self.unknown.get(name, 0) + count
        self.ignored = batch.ignored


def score_table(scorer: RowScorer, table: pa.Table, times: RequestTimes) -> ScoredRows:
    """Scores of rows in memory; a column that is not asked for is refused.

    Raises:
        DataError: the rows lack a column, or have one too many.
        StoreError: a store does not answer.
    """
    moments = times.of(table, scorer.spec)
    if moments is not None:
        given = [name for name in table.column_names if name not in {EVENT_TIMESTAMP, times.column}]
        table = table.select(given).append_column(EVENT_TIMESTAMP, moments)
    return scorer.score(table)


@dataclass(frozen=True)
class _Scored:
    """A scored batch: keys, times, kept columns and scores; its part of what `ScoredFile` tells."""

    table: pa.Table
    placed: int
    unknown: dict[str, int]
    ignored: tuple[str, ...]
    cpu_s: float
    model_cpu_s: float


@dataclass(frozen=True)
class _BeginScoring:
    """Opens the bundle and its store; a piece is a batch of the source."""

    place: ScorerPlace
    times: RequestTimes
    keep: tuple[str, ...]

    def __call__(self, seat: Seat) -> Callable[[pa.Table], _Scored]:
        seat.take(self.place.workspace.root)
        return partial(_scored, self.place.open(), self.times, self.keep)


def _scored(scorer: RowScorer, times: RequestTimes, keep: tuple[str, ...], table: pa.Table) -> _Scored:
    spec, began = scorer.spec, time.process_time()
    asked, ignored = _asked(table, spec, times, keep)
    requests = request_table(asked, spec)
    features = scorer.source.features(requests)
    joined = time.process_time()
    ids, scores, placed = score_features(scorer.bundle, scorer.source, features)
    ended = time.process_time()
    keys = [entity.join_key for entity in spec.entities.values()]
    columns = {name: requests[name] for name in (*keys, EVENT_TIMESTAMP)}
    return _Scored(
        table=pa.table(columns | {name: table[name] for name in keep} | {SCORE: pa.array(scores)}),
        placed=placed,
        unknown=scorer.bundle.transform.out_of_vocabulary(ids),
        ignored=ignored,
        cpu_s=time.process_time() - began,
        model_cpu_s=ended - joined,
    )


def _asked(
    table: pa.Table, spec: DatasetSpec, times: RequestTimes, keep: tuple[str, ...]
) -> tuple[pa.Table, tuple[str, ...]]:
    """What a row needs of a batch, and the names of the rest."""
    names = table.column_names
    missing = [name for name in keep if name not in names]
    if missing:
        raise DataError(f"--keep {missing[0]}: there is no such column, the columns are {', '.join(names)}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise DataError(f"the rows have the column {twice[0]!r} twice: rename one of them")
    wanted = [name for name in (*request_columns(spec), EVENT_TIMESTAMP) if name in names]
    used = {*wanted, *keep, times.column}
    ignored = tuple(name for name in names if name not in used)
    moments = times.of(table, spec)
    asked = table.select([name for name in wanted if moments is None or name != EVENT_TIMESTAMP])
    return (asked if moments is None else asked.append_column(EVENT_TIMESTAMP, moments)), ignored


def _like(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """A batch in the types of the first: a kept column of nulls alone has none of its own."""
    try:
        return table.cast(schema)
    except (pa.ArrowException, ValueError) as error:
        said = str(error).splitlines()[0]
        raise DataError(
            f"a kept column of {name} changes its type on the way ({said}): leave it out of --keep"
        ) from None
