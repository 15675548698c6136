"""A made-up click log of any length: 20 fields, vocabularies from 4 to a million values, known click probabilities.

What it imitates: values follow Zipf's law, attributes belong to their user or item (a city is read off the user, a
brand off the item), ids say nothing about frequency, and the click depends on weights of single values and on products
of latent factors whose strength differs from one pair of fields to the next. The log-odds are known, so the AUC of the
true probabilities, which no model can beat but by luck, is reported.

Rows come in chunks of a fixed size, each from a generator of its own: a log of 1M rows is the beginning of that of 20M
rows with the same seed, and memory does not grow with the number of rows.

    python -m benchmarks.click_log --rows 1000000 --out /tmp/clicks        # a folder of Parquet files
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["FIELDS", "ClickLog", "FieldShape", "Rows", "auc"]

CHUNK_ROWS = 250_000
_LATENT = 8
_START_US = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC
_ROWS_PER_SECOND = 10


class FieldShape(NamedTuple):
    """A field: whom it belongs to, how many values it has, and how skewed they are (exponent of Zipf's law)."""

    name: str
    owner: Literal["user", "item", "context"]
    size: int
    skew: float


FIELDS = (
    FieldShape("user_id", "user", 1_000_000, 0.8),
    FieldShape("city", "user", 5_000, 1.0),
    FieldShape("age", "user", 10, 0.4),
    FieldShape("gender", "user", 4, 0.8),
    FieldShape("occupation", "user", 24, 0.7),
    FieldShape("device", "user", 2_000, 1.1),
    FieldShape("segment", "user", 100, 0.8),
    FieldShape("language", "user", 60, 1.3),
    FieldShape("item_id", "item", 200_000, 0.9),
    FieldShape("category", "item", 300, 0.9),
    FieldShape("brand", "item", 20_000, 1.0),
    FieldShape("price", "item", 12, 0.3),
    FieldShape("seller", "item", 50_000, 1.0),
    FieldShape("colour", "item", 16, 0.8),
    FieldShape("hour", "context", 24, 0.3),
    FieldShape("weekday", "context", 7, 0.1),
    FieldShape("placement", "context", 40, 0.8),
    FieldShape("referrer", "context", 10_000, 1.1),
    FieldShape("query", "context", 100_000, 1.0),
    FieldShape("campaign", "context", 1_000, 0.9),
)


class Rows(NamedTuple):
    """N rows: `values` (N, 20) int32 from 0; `label` (N,) float32; `probability` (N,) float32, the true one."""

    values: NDArray[np.int32]
    label: NDArray[np.float32]
    probability: NDArray[np.float32]


@dataclass(frozen=True)
class _Field:
    """What a field's values mean: their cumulative frequency, names, weight and latent factors."""

    cumulative: NDArray[np.float64]  # (V,), by rank
    names: NDArray[np.int32]  # (V,), value of each rank
    weight: NDArray[np.float32]  # (V,), by value
    factors: NDArray[np.float32]  # (V, K), by value


class ClickLog:
    """The log of one seed; holds about 60 MB for the million users."""

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed
        self._fields = [_draw_field(shape, np.random.default_rng([seed, 1, k])) for k, shape in enumerate(FIELDS)]
        rng = np.random.default_rng([seed, 2])
        self._attributes = {
            k: self._zipf(k, FIELDS[0 if shape.owner == "user" else 8].size, rng)
            for k, shape in enumerate(FIELDS)
            if shape.owner != "context" and k not in (0, 8)
        }
        strength = np.triu(rng.gamma(0.4, 1.0, (len(FIELDS), len(FIELDS))) * rng.choice([-1, 1], (20, 20)), 1)
        self._strength = (strength + strength.T).astype(np.float32)  # (20, 20), of each pair of fields
        self._scale, self._bias = np.float32(1), np.float32(0)
        odds = self._odds(self._values(20_000, np.random.default_rng([seed, 3])))
        self._scale = np.float32(1.6 / odds.std())
        self._bias = np.float32(-1.2 - self._scale * np.median(odds))

    def chunks(self, rows: int) -> Iterator[Rows]:
        """The first `rows` rows, a chunk at a time."""
        for number, start in enumerate(range(0, rows, CHUNK_ROWS)):
            rng = np.random.default_rng([self.seed, 4, number])
            values = self._values(CHUNK_ROWS, rng)
            probability = 1 / (1 + np.exp(-(self._scale * self._odds(values) + self._bias)))
            label = (rng.random(CHUNK_ROWS, np.float32) < probability).astype(np.float32)
            kept = slice(0, min(CHUNK_ROWS, rows - start))
            yield Rows(values[kept], label[kept], probability[kept].astype(np.float32))

    def rows(self, rows: int) -> Rows:
        """The first `rows` rows in memory."""
        parts = list(self.chunks(rows))
        return Rows(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def write(self, folder: Path, rows: int, *, row_group_rows: int = 50_000) -> None:
        """Writes the log as Parquet files of one chunk each: the fields, `label`, `probability`, `event_timestamp`."""
        folder.mkdir(parents=True, exist_ok=True)
        start = 0
        for number, chunk in enumerate(self.chunks(rows)):
            columns: dict[str, pa.Array] = {shape.name: pa.array(chunk.values[:, k]) for k, shape in enumerate(FIELDS)}
            time_us = _START_US + np.arange(start, start + len(chunk.label)) * (10**6 // _ROWS_PER_SECOND)
            columns["label"] = pa.array(chunk.label)
            columns["probability"] = pa.array(chunk.probability)
            columns["event_timestamp"] = pa.array(time_us).cast(pa.timestamp("us", tz="UTC"))
            pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet", row_group_size=row_group_rows)
            start += len(chunk.label)

    def _zipf(self, k: int, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
        field = self._fields[k]
        return field.names[np.searchsorted(field.cumulative, rng.random(count), side="right")]

    def _values(self, count: int, rng: np.random.Generator) -> NDArray[np.int32]:
        values = np.empty((count, len(FIELDS)), np.int32)
        for k, shape in enumerate(FIELDS):
            if k in self._attributes:
                values[:, k] = self._attributes[k][values[:, 0 if shape.owner == "user" else 8]]
            else:
                values[:, k] = self._zipf(k, count, rng)
        return values

    def _odds(self, values: NDArray[np.int32]) -> NDArray[np.float32]:
        """Unscaled log-odds: sum of weights + sum over pairs of strength times the product of factors."""
        odds = np.zeros(len(values), np.float32)
        factors = np.empty((len(FIELDS), len(values), _LATENT), np.float32)
        for k, field in enumerate(self._fields):
            odds += field.weight[values[:, k]]
            factors[k] = field.factors[values[:, k]]
        mixed = np.tensordot(self._strength, factors, axes=1)  # (20, N, K)
        return odds + np.einsum("fnk,fnk->n", mixed, factors) / 2


def _draw_field(shape: FieldShape, rng: np.random.Generator) -> _Field:
    frequency = (np.arange(shape.size) + 2.0) ** -shape.skew
    cumulative = np.cumsum(frequency / frequency.sum())
    cumulative[-1] = 1.0
    return _Field(
        cumulative=cumulative,
        names=rng.permutation(shape.size).astype(np.int32),
        weight=rng.normal(0, 0.6, shape.size).astype(np.float32),
        factors=rng.normal(0, 0.45, (shape.size, _LATENT)).astype(np.float32),
    )


def auc(label: NDArray[np.float32], score: NDArray[np.float32]) -> float:
    """Probability that a click scores above a non-click, ties counting half; by ranks."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    clicks = int(label.sum())
    return float((ranks[label > 0].sum() - clicks * (clicks + 1) / 2) / (clicks * (len(label) - clicks)))


def main() -> None:
    """Writes a log and prints what it holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for Parquet files")
    arguments = parser.parse_args()
    log = ClickLog(seed=arguments.seed)
    if arguments.out is not None:
        log.write(arguments.out, arguments.rows)
    sample = log.rows(min(arguments.rows, 1_000_000))
    print(
        json.dumps(
            {
                "rows": arguments.rows,
                "fields": len(FIELDS),
                "values": sum(shape.size for shape in FIELDS),
                "click_rate": round(float(sample.label.mean()), 4),
                "auc_of_true_probabilities": round(auc(sample.label, sample.probability), 4),
                "distinct_in_first_million": [len(np.unique(sample.values[:, k])) for k in range(len(FIELDS))],
            }
        )
    )


if __name__ == "__main__":
    main()
