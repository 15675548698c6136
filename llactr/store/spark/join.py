"""The point-in-time join in Spark: when each row of a view is in sight, then one join by key and time.

Of a key's rows with timestamp <= the entity row's, the newest; of several with one timestamp, the one created last (a
null creation time is the oldest); of several created at one time, the one stored last. With the cut-off, a row is seen
from `greatest(timestamp, created)` on. These are the rules of `llactr.store.asof.match`.

A view's rows become spans `[sighted, until)` that do not overlap within a key, so that an entity row finds one at most:
no row is multiplied, none has to be put together again. A view with few keys, such as the releases, is broadcast by
Spark, and a key that all rows share costs no shuffle. Cost, n entity rows and v versions a key: n * v comparisons, in
joins by hash or by sorted keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from llactr.errors import DataError
from llactr.store.asof.plan import ViewPlan, refuse_ambiguous_columns
from llactr.store.spark.sources import SparkTable, column, open_table

__all__ = ["MOMENT", "join"]

MOMENT = "__llactr_ts"
"""The entity rows' column of moments, in microseconds of UTC."""
_TS, _CREATED, _SIGHTED, _UNTIL, _RANK, _BEST = (
    f"__llactr_{name}" for name in ("at", "created", "sighted", "until", "rank", "best")
)


def join(
    session: SparkSession,
    entities: DataFrame,
    plans: Sequence[ViewPlan],
    *,
    shown: Sequence[str],
    last_us: int | None,
    repo_path: Path | None,
) -> DataFrame:
    """Entity rows with the features that each of them sees: as many rows, in no order.

    Args:
        session: Spark's.
        entities: the rows, with their moments in `MOMENT`; null ones see nothing.
        plans: what to join, in the order of the result's columns.
        shown: columns of the result that are not features, which no feature may be called like.
        last_us: the last of the moments, where it is known: later rows of views are not read.
        repo_path: where relative paths of sources start.

    Returns:
        the columns of `entities` and the features.

    Raises:
        DataError: a column is missing, of the wrong type, or has a name that another one has.
        NotReadyError: a source has no file.
    """
    refuse_ambiguous_columns(shown, plans)
    for plan in plans:
        table = open_table(session, plan.source, repo_path)
        _refuse_other_types(entities, table, plan)
        spans = _spans(table, plan, last_us=last_us)
        match = (column(MOMENT) >= F.col(_SIGHTED)) & (F.col(_UNTIL).isNull() | (column(MOMENT) < F.col(_UNTIL)))
        if plan.ttl_us is not None:
            match &= column(MOMENT) - F.col(_TS) <= F.lit(plan.ttl_us)
        for i, key in enumerate(plan.entity_columns):
            match &= column(key) == F.col(_key(i))
        kept = [column(name) for name in entities.columns]
        features = [F.col(_feature(i)).alias(name) for i, (_, name) in enumerate(plan.features)]
        entities = entities.join(spans, match, "left").select(*kept, *features)
    return entities


def _spans(table: SparkTable, plan: ViewPlan, *, last_us: int | None) -> DataFrame:
    """When each row of a view is the one to see: keys, `_TS`, `_SIGHTED`, `_UNTIL` (null: still), features."""
    moment = table.moment(plan.timestamp)
    created = F.unix_micros(table.moment(plan.created)) if plan.created else F.lit(None).cast("bigint")
    keys = [_key(i) for i in range(len(plan.join_keys))]
    rows = table.frame
    if last_us is not None:
        rows = rows.filter(moment <= F.timestamp_micros(F.lit(last_us)))
    places = [f"__llactr_place{i}" for i in range(len(table.place))]
    rows = rows.select(
        *(table.column(name).alias(key) for (name, _), key in zip(plan.join_keys, keys, strict=True)),
        F.unix_micros(moment).alias(_TS),
        created.alias(_CREATED),
        *(place.alias(name) for place, name in zip(table.place, places, strict=True)),
        *(table.column(name).alias(_feature(i)) for i, (name, _) in enumerate(plan.features)),
    )
    rows = rows.filter(_all_known([_TS, *keys]))
    by_key = Window.partitionBy(*(keys or [F.lit(0)]))
    if plan.cut_off:
        rows = rows.filter(F.col(_CREATED).isNotNull())
        rows = rows.withColumn(_SIGHTED, F.greatest(_TS, _CREATED))
        rows = rows.withColumn(_RANK, F.struct(_TS, _CREATED, *places))
        # Of what comes into sight, only what beats all that was seen before is ever seen.
        so_far = by_key.orderBy(_SIGHTED, _RANK).rowsBetween(Window.unboundedPreceding, Window.currentRow)
        rows = rows.withColumn(_BEST, F.max(_RANK).over(so_far)).filter(F.col(_RANK) == F.col(_BEST))
    else:
        rows = rows.withColumn(_SIGHTED, F.col(_TS))
    oldest_first = [F.col(_SIGHTED), F.col(_TS), F.col(_CREATED).asc_nulls_first(), *(F.col(name) for name in places)]
    rows = rows.withColumn(_UNTIL, F.lead(_SIGHTED).over(by_key.orderBy(*oldest_first)))
    # The last of those that come into sight at one moment.
    rows = rows.filter(F.col(_UNTIL).isNull() | (F.col(_UNTIL) > F.col(_SIGHTED)))
    return rows.drop(_CREATED, _RANK, _BEST, *places)


def _refuse_other_types(entities: DataFrame, table: SparkTable, plan: ViewPlan) -> None:
    types = dict(entities.dtypes)
    for key, shown in plan.join_keys:
        ours, theirs = types[shown], table.type_of(key)
        if "void" not in (ours, theirs) and (ours == "string") != (theirs == "string"):
            raise DataError(
                f"view {plan.name!r} is joined by {key!r} ({theirs}), but the entity frame's {shown!r} is {ours}: "
                "convert the column of the frame"
            )


def _all_known(names: Sequence[str]) -> Column:
    known = F.lit(True)
    for name in names:
        known &= F.col(name).isNotNull()
    return known


def _key(number: int) -> str:
    return f"__llactr_key{number}"


def _feature(number: int) -> str:
    return f"__llactr_feature{number}"
