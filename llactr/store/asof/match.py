"""Which row of a feature view each entity row sees: DuckDB's ASOF join over integers, nothing wide in it.

Of a key's rows with timestamp <= the entity row's, the newest; of several with one timestamp, the one created last (a
null creation time is the oldest); of several created at one time, the one stored last. Its ttl is judged afterwards.

With the cut-off, a row is seen from `greatest(timestamp, created)` on. ASOF asks for one inequality, so rows are put in
the order in which they came into sight, and of those only the ones that beat every row seen before are kept.

Cost, n entity rows and m rows of the view: O(n log n + m log m), whatever the number of versions a key. Join keys are
replaced by small integers first, because ASOF sorts both sides by key and time, and strings sort slowly.
"""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from llactr.errors import DataError
from llactr.sql import quote_identifier
from llactr.store.asof.entities import ROW, TS, EntityRows
from llactr.store.asof.features import ViewTable
from llactr.store.asof.plan import ViewPlan
from llactr.store.asof.source import Relation

__all__ = ["KeyCodes", "matching_rows"]

_FOREVER_US = 2**60
"""36,000 years."""
_OLDEST_US = -(10**17)
"""1,200 BC, well within DuckDB's calendar."""
_BATCH_ROWS = 500_000


class KeyCodes:
    """The distinct join keys of the entity rows, numbered; views with the same keys share one numbering."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, entities: EntityRows) -> None:
        self._connection = connection
        self._entities = entities
        described = connection.execute(f"DESCRIBE SELECT * FROM {entities.relation}").fetchall()
        self._types = {name: kind for name, kind, *_ in described}
        self._tables: dict[tuple[tuple[str, str], ...], str] = {}

    def table(self, plan: ViewPlan, source: Relation) -> str:
        """A table (k0, k1, ..., code), the keys in the type in which both sides are compared. Null keys have no code.

        Raises:
            DataError: a key is text on one side and something else on the other.
        """
        typed = tuple((shown, self._common_type(plan, source, key, shown)) for key, shown in plan.join_keys)
        if typed not in self._tables:
            name = f"__llactr_codes_{len(self._tables)}"
            keys = [f"CAST({quote_identifier(shown)} AS {kind}) AS k{i}" for i, (shown, kind) in enumerate(typed)]
            known = " AND ".join(f"{quote_identifier(shown)} IS NOT NULL" for shown, _ in typed)
            distinct = f"SELECT DISTINCT {', '.join(keys)} FROM {self._entities.relation} WHERE {known}"
            self._connection.execute(
                f"CREATE TABLE {name} AS SELECT *, CAST(row_number() OVER () AS INTEGER) AS code FROM ({distinct})"
            )
            self._tables[typed] = name
        return self._tables[typed]

    def entity_codes(self, plan: ViewPlan, source: Relation) -> str:
        """SQL of the entity rows that may match: (code, ts, entity_row)."""
        columns = f"CAST({TS} AS BIGINT) AS ts, {ROW} AS entity_row"
        if not plan.join_keys:
            return f"SELECT 0 AS code, {columns} FROM {self._entities.relation} WHERE {TS} IS NOT NULL"
        codes = self.table(plan, source)
        on = " AND ".join(f"codes.k{i} = rows.{quote_identifier(shown)}" for i, (_, shown) in enumerate(plan.join_keys))
        return (
            f"SELECT codes.code, {columns} FROM {self._entities.relation} AS rows "
            f"JOIN {codes} AS codes ON {on} WHERE {TS} IS NOT NULL"
        )

    def view_codes(self, plan: ViewPlan, source: Relation, columns: list[str]) -> str:
        """SQL of the view's rows whose keys occur among the entity rows: (code, ts, created, place..., columns...).

        Rows that no entity row can see, too new or dead before the first one, are not read.
        """
        moment = f"CAST(source.{source.quoted(plan.timestamp)} AS TIMESTAMPTZ)"
        created = f"CAST(source.{source.quoted(plan.created)} AS TIMESTAMPTZ)" if plan.created else "NULL::TIMESTAMPTZ"
        place = [f"source.{column} AS place{i}" for i, column in enumerate(source.place)]
        wanted = [f"epoch_us({moment}) AS ts", f"epoch_us({created}) AS created", *place, *columns]
        first, last = self._entities.span_us or (0, -1)
        seen = f"{moment} <= make_timestamp({last})::TIMESTAMPTZ"
        if plan.ttl_us is not None and first - plan.ttl_us > _OLDEST_US:
            seen += f" AND {moment} >= make_timestamp({first - plan.ttl_us})::TIMESTAMPTZ"
        if not plan.join_keys:
            return f"SELECT 0 AS code, {', '.join(wanted)} FROM {source.sql} AS source WHERE {seen}"
        on = " AND ".join(f"codes.k{i} = source.{source.quoted(key)}" for i, (key, _) in enumerate(plan.join_keys))
        return (
            f"SELECT codes.code, {', '.join(wanted)} FROM {source.sql} AS source "
            f"JOIN {self.table(plan, source)} AS codes ON {on} WHERE {seen}"
        )

    def _common_type(self, plan: ViewPlan, source: Relation, key: str, shown: str) -> str:
        ours, theirs = self._types[shown], source.types[source.physical(key)]
        if ours == theirs:
            return ours
        if pa.types.is_null(
            self._entities.schema.field(shown).type
        ):  # a column without any value has no type of its own, and matches nothing
            return theirs
        texts = [kind == "VARCHAR" or kind.startswith("ENUM") for kind in (ours, theirs)]
        if texts[0] != texts[1]:
            raise DataError(
                f"view {plan.name!r} is joined by {key!r} ({theirs}), but the entity frame's {shown!r} is {ours}: "
                "convert the column of the frame"
            )
        both = f"SELECT NULL::{ours} AS k UNION ALL SELECT NULL::{theirs}"
        return str(self._connection.execute(f"SELECT typeof(k) FROM ({both}) LIMIT 1").fetchall()[0][0])


def matching_rows(
    connection: duckdb.DuckDBPyConnection, plan: ViewPlan, *, entities: str, view: ViewTable, count: int
) -> npt.NDArray[np.signedinteger[Any]]:
    """The number of the view row that each entity row sees, or -1.

    Args:
        connection: where both sides live.
        plan: the view's.
        entities: SQL of (code, ts, entity_row), as `KeyCodes.entity_codes` gives it.
        view: the rows that may be seen.
        count: the number of entity rows.

    Returns:
        (count,) positions in `view`.
    """
    alive = "" if plan.ttl_us is None else f"WHERE rows.ts - seen.ts <= {min(plan.ttl_us, _FOREVER_US)}"
    reader = connection.execute(
        f"SELECT rows.entity_row, seen.view_row FROM ({entities}) AS rows "
        f"ASOF JOIN ({_sightings(view, cut_off=plan.cut_off)}) AS seen "
        f"ON rows.code = seen.code AND rows.ts >= seen.sighted {alive}"
    ).to_arrow_reader(_BATCH_ROWS)
    found: npt.NDArray[np.signedinteger[Any]] = np.full(count, -1, dtype=np.int32 if view.count < 2**31 else np.int64)
    for batch in reader:
        found[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
    return found


def _sightings(view: ViewTable, *, cut_off: bool) -> str:
    """SQL of what can be the newest at some time: (code, sighted, ts, view_row), one row per code and `sighted`."""
    newest_first = ", ".join(["created DESC NULLS LAST", *(f"{column} DESC" for column in view.stored_order)])
    if not cut_off and view.one_per_moment:
        return f"SELECT code, ts AS sighted, ts, view_row FROM {view.relation}"
    if not cut_off:
        return (
            f"SELECT code, ts AS sighted, ts, view_row FROM {view.relation} "
            f"QUALIFY row_number() OVER (PARTITION BY code, ts ORDER BY {newest_first}) = 1"
        )
    oldest_first = ", ".join(["ts", "created", *view.stored_order])
    ranked = (
        "SELECT code, ts, greatest(ts, created) AS sighted, view_row, "
        f"row_number() OVER (PARTITION BY code ORDER BY {oldest_first}) AS rank "
        f"FROM {view.relation} WHERE created IS NOT NULL"
    )
    return (
        f"SELECT code, sighted, ts, view_row FROM ({ranked}) "
        "WINDOW seen AS (PARTITION BY code ORDER BY sighted, rank), "
        "seen_so_far AS (PARTITION BY code ORDER BY sighted, rank ROWS UNBOUNDED PRECEDING) "
        "QUALIFY rank = max(rank) OVER seen_so_far AND lead(sighted) OVER seen IS DISTINCT FROM sighted"
    )
