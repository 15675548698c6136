"""Reads the served-feature log: the newest rows, or those of a share of the users."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llactr.columns import TIMESTAMP
from llactr.errors import DataError, InputError, NotReadyError
from llactr.sampling import in_share
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

__all__ = ["SERVED_AT", "read_log"]

SERVED_AT = "served_at"


def read_log(workspace: Workspace, spec: DatasetSpec, *, since: datetime | None, limit: int, share: float) -> pa.Table:
    """Rows of the log, the newest files first.

    Args:
        workspace: where.
        spec: of the dataset.
        since: only rows whose features were read from then on.
        limit: rows at most.
        share: of the users, by the hash of their key: all logged rows of a user are among them, or none. Of a dataset
            without users, of the items.

    Raises:
        InputError: the share is not in (0, 1], or the moment has no zone.
        NotReadyError: nothing has been logged.
        DataError: a file of the log is damaged.
    """
    if not 0 < share <= 1:
        raise InputError(f"--share is {share:g}: give a share of the users above 0 and up to 1")
    if since is not None and since.tzinfo is None:
        raise InputError(f"--since {since.isoformat()} has no zone: give one, such as {since.isoformat()}Z")
    key = spec.entities["user" if "user" in spec.entities else "item"].join_key
    pieces, rows, logged = [], 0, 0
    for path in sorted(workspace.offline_table(spec.name, "served").glob("*.parquet"), reverse=True):
        try:
            piece = pq.read_table(path, partitioning=None)
            if since is not None:
                piece = piece.filter(pc.greater_equal(piece[SERVED_AT], pa.scalar(since, TIMESTAMP)))
            logged += piece.num_rows
            if share < 1:
                piece = piece.filter(pa.array(in_share(piece[key].to_pylist(), share), pa.bool_()))
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"the served-feature log's file {path} cannot be read ({reason}): remove it") from None
        pieces.append(piece)
        rows += piece.num_rows
        if rows >= limit:
            break
    if not rows:
        of = f" since {since.isoformat()}" if since else ""
        if logged:
            raise NotReadyError(f"none of the {logged:,} logged rows{of} is of the share {share:g}: give a larger one")
        raise NotReadyError(
            f"nothing has been logged of {spec.name!r}{of}: run 'llactr serve --log-rate 1' and send requests first"
        )
    return pa.concat_tables(pieces, promote_options="default").slice(0, limit)
