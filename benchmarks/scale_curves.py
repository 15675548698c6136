"""How cost grows: CPU against rows, fields, vocabulary, versions, value texts and pasts, with fitted exponents.

    python -m benchmarks.scale_curves --plot docs/scale-curves.svg       # about fifteen minutes of CPU
    python -m benchmarks.scale_curves --short                            # about two

One axis is moved at a time. A point is the median CPU time of a few calls in one thread, after a call that warms up.
The exponent of a curve is its slope over the last three points on logarithmic axes: 1 is linear, 2 is quadratic. A
constant share, such as start-up or a query's plan, makes it smaller than what the curve tends to. On a busy machine
curves are rough: the lowest and highest of each point are told and drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa

from benchmarks import history_curves as past
from benchmarks.curve_pages import exponent, plot, table

__all__ = ["CURVES", "exponent", "main", "measure_curve", "plot"]

Point = Callable[[int], "contextlib.AbstractContextManager[Callable[[], Any]]"]
"""Prepares a point of a curve and hands out the call to be timed."""

BATCH, DIM = 4096, 32


@contextlib.contextmanager
def ingested_rows(rows: int) -> Iterator[Callable[[], Any]]:
    """Ingest: a log of so many events, sorted and written."""
    from benchmarks.ingest import measure, write_log

    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder), rows)
        yield lambda: measure(Path(folder))


@contextlib.contextmanager
def transformed_rows(rows: int) -> Iterator[Callable[[], Any]]:
    """Transform: raw values of 11 categorical fields to ids."""
    yield _transform(rows=rows, fields=11, vocabulary=5_000)


@contextlib.contextmanager
def transformed_fields(fields: int) -> Iterator[Callable[[], Any]]:
    """Transform: 100,000 rows of so many fields."""
    yield _transform(rows=100_000, fields=fields, vocabulary=5_000)


@contextlib.contextmanager
def transformed_vocabulary(vocabulary: int) -> Iterator[Callable[[], Any]]:
    """Transform: 200,000 rows of two fields with so many values each."""
    yield _transform(rows=200_000, fields=2, vocabulary=vocabulary)


def _transform(*, rows: int, fields: int, vocabulary: int) -> Callable[[], Any]:
    from llactr.transforms import Transform

    spec = _spec(fields)
    random = np.random.default_rng(0)
    values = pa.array([f"value-{number}" for number in range(vocabulary)])
    columns = {f.name: values.take(pa.array(random.integers(0, vocabulary, rows))) for f in spec.fields}
    table = pa.table(columns)
    fitted = Transform.fit(spec, table)
    return lambda: fitted.ids(table)


def _spec(fields: int) -> Any:
    from llactr.spec import DatasetSpec

    return DatasetSpec.model_validate(
        {
            "name": "made-up",
            "sources": {"events": {"path": "none.parquet", "format": "parquet"}},
            "events": "events",
            "timestamp": {"column": "time"},
            "label": {"column": "clicked"},
            "entities": {"user": {"join_key": "user_id"}, "item": {"join_key": "item_id"}},
            "fields": [
                {"name": f"field_{k}", "description": f"field {k}", "owner": "context", "kind": "categorical"}
                for k in range(fields)
            ],
        }
    )


def trained(backbone: str, *, enhanced: bool = False) -> Point:
    """Training: four steps of 4096 rows, so many fields of 1,000 values."""

    @contextlib.contextmanager
    def point(fields: int) -> Iterator[Callable[[], Any]]:
        yield _step(backbone, (1_000,) * fields, enhanced=enhanced, lazy=False)

    return point


def trained_vocabulary(*, lazy: bool) -> Point:
    """Training: four steps of FM with 4096 rows, 10 fields, so many rows in the embedding table."""

    @contextlib.contextmanager
    def point(vocabulary: int) -> Iterator[Callable[[], Any]]:
        yield _step("fm", (vocabulary // 10,) * 10, enhanced=False, lazy=lazy)

    return point


def _step(backbone: Any, vocabularies: tuple[int, ...], *, enhanced: bool, lazy: bool) -> Callable[[], Any]:
    import torch

    from llactr.ctr import CTRModel, EnhancementConfig, ModelConfig, TrainConfig
    from llactr.ctr.training.batches import Batch
    from llactr.ctr.training.parallel import Processes
    from llactr.ctr.training.step import TrainingStep
    from llactr.transforms import FieldLayout

    torch.set_num_threads(1)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    fields = len(vocabularies)
    layout = FieldLayout(tuple(f"field {k}" for k in range(fields)), vocabularies, (1,) * fields)
    enhancement = EnhancementConfig() if enhanced else None
    config = ModelConfig(backbone=backbone, embedding_dim=DIM, enhancement=enhancement)
    vectors = torch.nn.functional.normalize(torch.randn(fields, 384), dim=1) if enhanced else None
    model = CTRModel(config, layout, vectors)
    model.train()
    optimizer = "lazy" if lazy else "dense"
    step = TrainingStep(
        model, TrainConfig.of(backbone).model_copy(update={"embedding_optimizer": optimizer}), Processes()
    )

    def batch() -> Batch:
        ids = [3 + ((size - 3) * random.random(BATCH) ** 3).astype(np.int32) for size in vocabularies]
        label = torch.from_numpy((random.random(BATCH) < 0.2).astype(np.float32))
        ids_tensor = torch.from_numpy(np.stack(ids, axis=1))
        return Batch(ids=ids_tensor, label=label, version=torch.zeros(BATCH, dtype=torch.int32))

    batches = [batch() for _ in range(4)]
    return lambda: [step(rows) for rows in batches]


def joined(store: str) -> Point:
    """Point-in-time join: 20,000 events, 2,000 users with so many versions each."""

    @contextlib.contextmanager
    def point(versions: int) -> Iterator[Callable[[], Any]]:
        from benchmarks.materialization import REPOSITORY, prepare
        from llactr import store as feature_store
        from llactr.workspace import Workspace

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, 10)
            workspace = Workspace.at(folder / "workspace")
            users, events = _histories(workspace.offline_table("people", "user"), versions)
            text = (REPOSITORY / "feature_repo" / "feature_store.yaml").read_text().splitlines()
            start = text.index("offline_store:")
            stop = next(n for n in range(start + 1, len(text)) if not text[n].startswith((" ", "#")))
            config = folder / "join.yaml"
            config.write_text("\n".join([*text[:start], f"offline_store: {{type: {store}}}", *text[stop:]]))
            feature_store.apply(workspace, config=config)
            feast_store = feature_store.open_store(workspace, config=config)
            features = [f"people__user:{feature}" for feature in ("city", "age", "spend")]
            frame = pa.table({"user_id": users, "event_timestamp": events}).to_pandas()
            yield lambda: feast_store.get_historical_features(entity_df=frame, features=features).to_arrow()

    return point


def _histories(folder: Path, versions: int) -> tuple[pa.Array, pa.Array]:
    """Replaces a table by one of 2,000 users with so many versions each; returns 20,000 events."""
    import pyarrow.parquet as pq

    for old in folder.glob("*.parquet"):
        old.unlink()
    random = np.random.default_rng(0)
    day_us, users, stamp = 86_400_000_000, 2_000, pa.timestamp("us", "UTC")
    keys = pa.array(np.tile(np.arange(users), versions)).cast(pa.string())
    moments = pa.array(np.repeat(np.arange(versions), users) * (100 * day_us // versions)).cast(stamp)
    texts = pa.array([str(number) for number in range(50)])
    columns = {n: texts.take(pa.array(random.integers(0, 50, len(keys)))) for n in ("city", "age", "gender")}
    columns |= dict.fromkeys(("occupation", "device"), columns["city"])
    spend = pa.array(random.random(len(keys)))
    moment_columns = {"event_timestamp": moments, "created_timestamp": moments}
    pq.write_table(
        pa.table({"user_id": keys, **columns, "spend": spend} | moment_columns), folder / "part-00000.parquet"
    )
    events = np.sort(random.integers(0, 100 * day_us, 20_000))
    return pa.array(random.integers(0, users, 20_000)).cast(pa.string()), pa.array(events).cast(stamp)


@contextlib.contextmanager
def encoded(texts: int) -> Iterator[Callable[[], Any]]:
    """Encoding: so many value texts by the packaged MiniLM."""
    import torch

    from llactr.semantics import EncoderConfig, load_encoder

    torch.set_num_threads(1)
    encoder = load_encoder(EncoderConfig())
    words = ["crime", "drama", "comedy", "war", "love", "night", "city", "river", "gold", "king", "stone", "winter"]
    random = np.random.default_rng(0)
    batch = [f"The film is: {' '.join(random.choice(words, 6))} ({1900 + number})." for number in range(texts)]
    yield lambda: encoder.encode(batch, batch_size=32)


class Curve:
    """One line of the picture.

    Args:
        axis: what is moved.
        label: what is done.
        point: makes the call of a point.
        full, short: the points.
        counts_bytes: the call gives the cost itself, in bytes.
    """

    def __init__(
        self,
        axis: str,
        label: str,
        point: Point,
        full: Sequence[int],
        short: Sequence[int],
        *,
        counts_bytes: bool = False,
    ) -> None:
        self.axis, self.label, self.point, self.full, self.short = axis, label, point, tuple(full), tuple(short)
        self.counts_bytes = counts_bytes


_ROWS = ([50_000, 100_000, 200_000, 400_000, 800_000], [20_000, 40_000, 80_000])
_FIELDS = ([5, 10, 20, 40], [5, 10, 20])
_KEPT = ([12, 25, 50, 100, 200], [12, 50])
_PAST = ([10, 40, 160, 640, 2_560], [10, 40])
_TABLE = ([10_000, 100_000, 1_000_000, 4_000_000], [10_000, 100_000, 1_000_000])
ASOF = "llactr.store.asof.AsofDuckDBOfflineStore"
CURVES = (
    Curve("rows", "ingest", ingested_rows, *_ROWS),
    Curve("rows", "transform, 11 fields", transformed_rows, *_ROWS),
    Curve("rows", "history, 13 numbers", past.rows_pass, *_ROWS),
    Curve("fields", "transform, 100,000 rows", transformed_fields, *_FIELDS),
    Curve("fields", "FM, 4 steps", trained("fm"), *_FIELDS),
    Curve("fields", "FM enhanced, 4 steps", trained("fm", enhanced=True), *_FIELDS),
    Curve("fields", "FwFM, 4 steps", trained("fwfm"), *_FIELDS),
    Curve("fields", "DeepFM, 4 steps", trained("deepfm"), *_FIELDS),
    Curve("vocabulary", "transform, 200,000 rows of 2", transformed_vocabulary, *_TABLE),
    Curve("vocabulary", "FM, 4 steps, dense Adam", trained_vocabulary(lazy=False), *_TABLE),
    Curve("vocabulary", "FM, 4 steps, lazy Adam", trained_vocabulary(lazy=True), *_TABLE),
    Curve("versions a key", "join, Feast's DuckDB store", joined("duckdb"), [1, 4, 16, 64], [1, 4, 16]),
    Curve("versions a key", "join, ASOF store", joined(ASOF), [1, 4, 16, 64, 256], [1, 4, 16]),
    Curve("value texts", "encode, MiniLM", encoded, [32, 64, 128, 256, 512], [32, 64]),
    Curve("events kept", "history of 40,000 rows", past.kept_pass, *_KEPT),
    Curve("events kept", "2,000 pushes", past.kept_push, *_KEPT),
    Curve("events kept", "DeepFM with attention over them, 4 steps", past.attended, [5, 12, 25, 50, 100], [5, 12]),
    Curve("past events a user", "history of 40,000 rows", past.past_pass, *_PAST),
    Curve("past events a user", "2,000 pushes", past.past_push, *_PAST),
    Curve("events of a user", "a user's state, all kept", past.kept_bytes, *_KEPT, counts_bytes=True),
    Curve("events of a user", "a user's state, 50 kept", past.past_bytes, *_PAST, counts_bytes=True),
)


def measure_curve(curve: Curve, *, short: bool, repeats: int) -> dict[str, Any]:
    """Times a curve's points: median, lowest and highest CPU milliseconds of a call."""
    points = []
    for size in curve.short if short else curve.full:
        times = []
        with curve.point(size) as call, contextlib.redirect_stdout(io.StringIO()):
            first = call()
            if curve.counts_bytes:
                points.append({"size": size, "bytes": int(first)})
                continue
            for _ in range(repeats):
                start = time.process_time()
                call()
                times.append((time.process_time() - start) * 1000)
        cost = {"cpu_ms": statistics.median(times), "lowest": min(times), "highest": max(times)}
        points.append({"size": size, **{name: round(value, 3) for name, value in cost.items()}})
    return {"axis": curve.axis, "label": curve.label, "points": points, "exponent": round(exponent(points), 2)}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measures the curves, prints a table, and returns the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="fewer and smaller points")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--axes", nargs="+", help="only these axes")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--plot", type=Path, help="a file for the picture: .svg or .png")
    parser.add_argument("--redraw", type=Path, help="measure nothing, draw the figures of this file")
    parser.add_argument("--beside", type=Path, help="figures of another run: its curves where they are not measured")
    asked = parser.parse_args(arguments)
    if asked.redraw:
        figures: dict[str, Any] = json.loads(asked.redraw.read_text())
    else:
        chosen = [curve for curve in CURVES if not asked.axes or curve.axis in asked.axes]
        curves = [measure_curve(curve, short=asked.short, repeats=asked.repeats) for curve in chosen]
        if asked.beside:
            measured = {(curve["axis"], curve["label"]) for curve in curves}
            others = json.loads(asked.beside.read_text())["curves"]
            curves += [one for one in others if (one["axis"], one["label"]) not in measured]
            order = [(curve.axis, curve.label) for curve in CURVES]
            curves.sort(key=lambda one: order.index((one["axis"], one["label"])))
        figures = {"benchmark": "scale_curves", "repeats": asked.repeats, "curves": curves}
    print(table(figures["curves"]))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    if asked.plot:
        plot(figures["curves"], asked.plot)
    return figures


if __name__ == "__main__":
    main()
