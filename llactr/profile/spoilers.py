"""What would spoil a result: columns that know the label, rows twice, one class in a split, too few clicks."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from llactr.profile.facts import Column
from llactr.sql import quote_identifier

__all__ = [
    "KNOWS",
    "TEST_POSITIVES",
    "SplitCounts",
    "knows_label",
    "repeated_rows",
    "roc_auc",
    "split_counts",
    "unseen_later",
    "words_tell",
]

KNOWS = 0.95
"""AUC of one column alone from which on it is taken to know the label."""
_WORDS = 1 << 14
TEST_POSITIVES = 100
"""Fewer clicks in the test split, and an AUC says little."""


def roc_auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve of N scores, ties counted half; .5 where there is one class (Mann-Whitney's U)."""
    positives = int(labels.sum())
    if positives in {0, len(labels)}:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    total = float(ranks[inverse][labels].sum())
    return (total - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


def knows_label(connection: duckdb.DuckDBPyConnection, rows: str, column: Column, label: str) -> tuple[float, str]:
    """How well a column alone tells the label, and how it does.

    Half of the rows say what each value means, the other half test it. Numbers are tried as they are too, and so is
    whether there is a value at all.

    Args:
        connection: holds the rows.
        rows: a table with the column and the label, in no order.
        column: of it.
        label: SQL of 0 or 1.

    Returns:
        the AUC, .5 or more, and `its value` or `whether it is empty`.
    """
    if not column.filled:
        return 0.5, ""
    name = quote_identifier(column.name)
    found = connection.execute(
        f"SELECT coalesce(hash(CAST({name} AS VARCHAR)) % 9007199254740992, -1) AS v, {label} AS y, "
        f"{name} IS NULL OR CAST({name} AS VARCHAR) = '' AS gone FROM {rows}"
    ).fetchnumpy()
    values, gone = np.asarray(found["v"]).astype(np.int64), np.asarray(found["gone"]).astype(bool)
    y = np.asarray(found["y"]).astype(float) > 0.5
    if len(y) < 20 or y.all() or not y.any():
        return 0.5, ""
    best = _of_means(values, y)
    if column.type in {"integer", "number"}:
        raw = connection.execute(
            f"SELECT {column.value} AS v, {label} AS y FROM {rows} WHERE {column.value} IS NOT NULL"
        ).fetchnumpy()
        numbers = np.ma.filled(raw["v"], np.nan).astype(float)
        kept = np.isfinite(numbers)
        if kept.sum() >= 0.5 * len(y):
            auc = roc_auc(numbers[kept], np.asarray(raw["y"])[kept].astype(float) > 0.5)
            best = max(best, auc, 1 - auc)
    empty = roc_auc(gone.astype(float), y)
    if max(empty, 1 - empty) >= best - 0.02 and 0.01 < gone.mean() < 0.99:
        return max(empty, 1 - empty), "whether it is empty"
    one_sided = min(gone[y].mean(), gone[~y].mean()) < 0.001 and max(gone[y].mean(), gone[~y].mean()) > 0.3
    if one_sided and 0.01 < gone.mean() < 0.99:
        return max(best, KNOWS), "whether it is empty: of one class it never is"
    return best, "its value"


def _of_means(values: NDArray[np.int64], labels: NDArray[np.bool_]) -> float:
    """AUC on one half of the rows of what the label was, value by value, in the other half."""
    half = np.arange(len(values)) % 2 == 0
    distinct, codes = np.unique(values, return_inverse=True)
    seen = np.bincount(codes[half], minlength=len(distinct))
    clicked = np.bincount(codes[half], weights=labels[half], minlength=len(distinct))
    prior = labels[half].mean()
    rates = (clicked + prior) / (seen + 1)
    auc = roc_auc(rates[codes[~half]], labels[~half])
    return max(auc, 0.5)


def words_tell(connection: duckdb.DuckDBPyConnection, rows: str, column: str, label: str) -> float:
    """How well a text's words tell the label: AUC of naive Bayes on hashed words, learned on half of 20,000 rows."""
    name = quote_identifier(column)
    found = connection.execute(
        f"SELECT lower(CAST({name} AS VARCHAR)), {label} FROM {rows} WHERE {name} IS NOT NULL LIMIT 20000"
    ).fetchall()
    labels = np.array([y > 0.5 for _, y in found], bool)
    if len(labels) < 200 or labels.all() or not labels.any():
        return 0.5
    bags = [sorted({zlib.crc32(w.encode()) % _WORDS for w in re.findall(r"\w+", text)[:200]}) for text, _ in found]
    sizes = np.array([len(bag) for bag in bags])
    tokens = np.array([word for bag in bags for word in bag], np.int64)
    row_of = np.repeat(np.arange(len(bags)), sizes)
    half = np.arange(len(bags)) % 2 == 0
    rates = []
    for one in (True, False):
        counts = np.bincount(tokens[(half & (labels == one))[row_of]], minlength=_WORDS) + 0.5
        rates.append(np.log(counts / ((half & (labels == one)).sum() + 1)))
    odds = np.bincount(row_of, weights=(rates[0] - rates[1])[tokens], minlength=len(bags))
    return roc_auc(odds[~half], labels[~half])


def unseen_later(connection: duckdb.DuckDBPyConnection, rows: str, column: str, time: str) -> float:
    """Share of the last tenth of the rows, in the order of time, whose value the first eight tenths do not have."""
    name = quote_identifier(column)
    found = connection.execute(
        f"WITH ranked AS (SELECT CAST({name} AS VARCHAR) AS v, percent_rank() OVER (ORDER BY {time}) AS p FROM {rows}) "
        "SELECT avg(CASE WHEN v IN (SELECT v FROM ranked WHERE p < 0.8 AND v IS NOT NULL) THEN 0.0 ELSE 1.0 END) "
        "FROM ranked WHERE p >= 0.9 AND v IS NOT NULL"
    ).fetchone()
    return float(found[0]) if found and found[0] is not None else 0.0


def repeated_rows(connection: duckdb.DuckDBPyConnection, rows: str, columns: tuple[str, ...]) -> int:
    """Rows that equal an earlier one in these columns."""
    if not columns:
        return 0
    names = ", ".join(map(quote_identifier, columns))
    found = connection.execute(
        f"SELECT count(*) - (SELECT count(*) FROM (SELECT DISTINCT {names} FROM {rows})) FROM {rows}"
    )
    row = found.fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True)
class SplitCounts:
    """Rows and clicks of the three splits."""

    rows: tuple[int, int, int]
    clicks: tuple[int, int, int]

    def troubles(self) -> list[str]:
        """Sentences about splits of one class, and about too few clicks to test on."""
        said = []
        for name, rows, clicks in zip(("train", "validation", "test"), self.rows, self.clicks, strict=True):
            if rows == 0:
                said.append(f"the {name} split has no rows: give a table with more")
            elif clicks in {0, rows}:
                said.append(
                    f"all {rows:,} rows of the {name} split are {'clicks' if clicks else 'no clicks'}: a model needs"
                    " both"
                )
        few = min(self.clicks[2], self.rows[2] - self.clicks[2])
        if 0 < few < TEST_POSITIVES:
            what = "clicks" if few == self.clicks[2] else "rows without a click"
            said.append(f"the test split has {few} {what}, fewer than {TEST_POSITIVES}: its AUC says little")
        return said


def split_counts(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    *,
    label: str,
    time: str,
    train: float,
    validation: float,
    total: int,
) -> SplitCounts:
    """Rows and clicks of the splits, scaled from a sample to all rows.

    Args:
        rows: a table.
        label: SQL of 0 or 1; `time` likewise of the order.
        train: share of the first rows, `validation` of the next.
        total: rows in all.
    """
    ends = [train, train + validation]
    found = connection.execute(
        f"WITH ranked AS (SELECT {label} AS y, (row_number() OVER (ORDER BY {time}, row_of_sample) - 1) / (SELECT"
        f" count(*) FROM {rows}) AS p FROM {rows}) SELECT CASE WHEN p < {ends[0]} THEN 0 WHEN p < {ends[1]} THEN 1 ELSE"
        " 2 END AS part, count(*), sum(y) FROM ranked GROUP BY 1"
    ).fetchall()
    counts = {int(part): (int(count), int(clicks or 0)) for part, count, clicks in found}
    seen = sum(count for count, _ in counts.values())
    scale = total / max(seen, 1)
    train_part, validation_part, test_part = (counts.get(part, (0, 0)) for part in range(3))
    rows_of, clicks_of = zip(train_part, validation_part, test_part, strict=True)
    return SplitCounts(_scaled(rows_of, scale), _scaled(clicks_of, scale))


def _scaled(counts: tuple[int, ...], scale: float) -> tuple[int, int, int]:
    train, validation, test = (round(count * scale) for count in counts)
    return train, validation, test
