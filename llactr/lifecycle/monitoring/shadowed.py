"""What a second bundle was worth that scored beside the answers: both scores, joined with outcomes that came later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from llactr.columns import EVENT_TIMESTAMP, LABEL
from llactr.ctr.metrics import Metrics, measure
from llactr.errors import DataError
from llactr.evaluation.resampling import Resamples
from llactr.evaluation.slices import weighted_auc
from llactr.spec import DatasetSpec
from llactr.store import events_table
from llactr.workspace import Workspace

__all__ = ["Shadowed", "shadowed"]

_WITHIN = timedelta(days=1)
_RESAMPLES = 200
_COLUMNS = ["served_bundle", "served_score", "shadow_bundle", "shadow_score"]


class Shadowed(BaseModel):
    """Two bundles on the same rows.

    Attributes:
        bundle: whose scores were answered.
        shadow: whose scores were not.
        rows: logged with both scores.
        with_outcome: of these, so many had an outcome; the figures are of them.
        clicks: of these.
        auc, shadow_auc: None where all outcomes are alike.
        gain: 95 % interval of the second's AUC less the first's, over users (over rows of few users, or of none).
        logloss, shadow_logloss: None without outcomes.
        mean_difference: the second's score less the first's, on average over all rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    shadow: str
    rows: int
    with_outcome: int
    clicks: int
    auc: float | None
    shadow_auc: float | None
    gain: tuple[float, float] | None
    logloss: float | None
    shadow_logloss: float | None
    mean_difference: float


def shadowed(
    workspace: Workspace, spec: DatasetSpec, bundle: str, *, within: timedelta = _WITHIN
) -> tuple[Shadowed, ...]:
    """Both bundles' figures, for each that scored beside the answers of one.

    A row's outcome is the first event of its keys from its moment on, within some time; an event is the outcome of the
    last row before it.

    Args:
        workspace: where.
        spec: of the dataset.
        bundle: whose answers.
        within: how long an outcome may take.

    Raises:
        DataError: a file of the log cannot be read.
    """
    keys = [entity.join_key for entity in spec.entities.values()]
    log = _logged(workspace, spec, bundle, keys)
    return tuple(
        _figures(bundle, name, rows, _outcomes(rows, workspace, spec, keys, within), spec) for name, rows in log
    )


def _logged(workspace: Workspace, spec: DatasetSpec, bundle: str, keys: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """Rows with both scores, by the second bundle's name."""
    pieces = []
    for path in sorted(workspace.offline_table(spec.name, "served").glob("[!.]*.parquet")):
        try:
            if "shadow_bundle" not in pq.read_schema(path).names:
                continue
            table = pq.read_table(path, columns=[*keys, EVENT_TIMESTAMP, *_COLUMNS], partitioning=None)
        except (pa.ArrowException, OSError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            raise DataError(f"the file {path} cannot be read ({said}): remove it, or restore it from a copy") from None
        pieces.append(
            table.filter(pc.and_(pc.equal(table["served_bundle"], bundle), table["shadow_bundle"].is_valid()))
        )
    if pieces:
        table = pa.concat_tables(pieces)
        for name in sorted(pc.unique(table["shadow_bundle"]).to_pylist()):
            yield name, table.filter(pc.equal(table["shadow_bundle"], name))


def _outcomes(
    rows: pa.Table, workspace: Workspace, spec: DatasetSpec, keys: list[str], within: timedelta
) -> NDArray[np.float64]:
    """(N,) the label that each row turned out to have; NaN for none yet."""
    events = events_table(workspace, spec).select([*keys, EVENT_TIMESTAMP, LABEL]).to_pandas()
    served = rows.select([*keys, EVENT_TIMESTAMP]).to_pandas().assign(row=np.arange(rows.num_rows))
    served = served.sort_values(EVENT_TIMESTAMP, kind="stable")
    found = pd.merge_asof(events, served, on=EVENT_TIMESTAMP, by=keys, tolerance=pd.Timedelta(within)).dropna()
    first = found.drop_duplicates("row")
    label = np.full(rows.num_rows, np.nan)
    label[first["row"].to_numpy(np.int64)] = first[LABEL].to_numpy(np.float64)
    return label


def _figures(bundle: str, name: str, rows: pa.Table, outcome: NDArray[np.float64], spec: DatasetSpec) -> Shadowed:
    first, second = (rows[column].to_numpy().astype(np.float32) for column in ("served_score", "shadow_score"))
    known = ~np.isnan(outcome)
    label = outcome[known].astype(np.float32)
    one, other = measure(label, first[known]), measure(label, second[known])
    users = None
    if "user" in spec.entities:
        column = rows[spec.entities["user"].join_key].combine_chunks()
        users = column.dictionary_encode().indices.to_numpy(zero_copy_only=False)[known].astype(np.int64)
    return Shadowed(
        bundle=bundle,
        shadow=name,
        rows=rows.num_rows,
        with_outcome=int(known.sum()),
        clicks=one.clicks,
        auc=one.auc,
        shadow_auc=other.auc,
        gain=_gain(one, label, first[known], second[known], users),
        logloss=one.logloss,
        shadow_logloss=other.logloss,
        mean_difference=float((second.astype(np.float64) - first).mean()),
    )


def _gain(
    found: Metrics,
    label: NDArray[np.float32],
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    users: NDArray[np.int64] | None,
) -> tuple[float, float] | None:
    if found.auc is None:
        return None
    drawn = Resamples.of(len(label), _RESAMPLES, users=users)
    every = np.ones(len(label), bool)
    gains = weighted_auc(label, second, drawn.weights(every)) - weighted_auc(label, first, drawn.weights(every))
    low, high = np.nanpercentile(gains, [2.5, 97.5])
    return float(low), float(high)
