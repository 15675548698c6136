"""Gates of fields and pairs, guessed for a data set from its field vectors by a map that six other sets taught.

    python -m research.fields_over_sets --data FOLDER --cache DIR [--encoders minilm smollm2] [--out FILE]
    python -m research.fields_over_sets --show FILE                 # the table of what is there so far

With FILE it goes on where it was killed: about 60 CPU-seconds a set with the default of two draws. FOLDER and DIR are those of `research.datasets.tables`. Of every set the gates of a gated FM (`model`) are learned on its
training rows. Then each set in turn is one of which nothing is known but what its fields mean: the others' gates and
vectors teach a map (`mapping`), and a fresh model gets 500, 1,500 or 5,000 of its training rows, drawn at random. Arms:

    none        all gates alike: the FM
    mean        the teaching sets' mean of fields, and of pairs; no vector is needed
    vectors     guessed from the vectors of the set's field descriptions
    permuted    the same, with the vectors on the wrong fields: the placebo, another permutation a draw
    own         those that the set's own training rows gave: as good as a guess can be

Gates are held; or, with `free` after the arm's name, trained on with the rest from there. All arms of a draw share rows,
first embeddings and batches. Models stop by 2,000 rows of the validation split and are judged on the rest of it, up to
20,000 rows; the test split is cut off on loading. Differences are means over draws; intervals are t-intervals over the
sets.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from llactr.atomic import write_text
from llactr.ctr.metrics import auc
from llactr.datasets import table_files, write_offline_tables
from llactr.evaluation.evidence import t_interval
from llactr.semantics import EncoderConfig, load_encoder
from llactr.spec import DatasetSpec
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.transforms import Transform, chronological_split
from llactr.workspace import Workspace
from research.datasets.tables import names, prepared, spec_of
from research.fields_over_sets.mapping import Taught, guessed, mean_gates
from research.fields_over_sets.model import GatedFM, Gates, fitted, scored

SIZES = (500, 1500, 5000)
TAUGHT_ROWS, STOP_ROWS, JUDGED_ROWS = 60_000, 2_000, 20_000
PAIRS = (("vectors", "permuted"), ("vectors", "mean"), ("vectors", "none"), ("mean", "none"), ("own", "none"))


@dataclasses.dataclass(frozen=True)
class Log:
    """The rows before the test split in the order of time, with all raw columns."""

    spec: DatasetSpec
    table: pa.Table
    train: int

    @classmethod
    def read(cls, name: str, data: Path, cache: Path) -> Log:
        """Ingests a set's tables and joins them; what holds of an entity does not change."""
        spec = spec_of(name)
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace.at(folder)
            write_offline_tables(spec, workspace, prepared(name, data, cache))
            files = {table: table_files(workspace.offline_table(spec.name, table)) for table in ("events", *spec.entities)}
            joins = " ".join(
                f"LEFT JOIN (SELECT * EXCLUDE (event_timestamp, created_timestamp) FROM {parquet_scan(files[owner])}) "
                f"USING ({quote_identifier(entity.join_key)})"
                for owner, entity in spec.entities.items()
                if files[owner]
            )
            events = parquet_scan(files["events"], row_numbers=True)
            with connect() as connection:
                table = connection.execute(
                    f"SELECT * EXCLUDE (file_row_number) FROM {events} {joins} ORDER BY event_timestamp, file_row_number"
                ).to_arrow_table()
        split = chronological_split(len(table), spec.split)
        return cls(spec, table.slice(0, split.validation.stop), split.train.stop)

    @property
    def label(self) -> NDArray[np.float32]:
        """(N,)."""
        return self.table["label"].to_numpy().astype(np.float32)

    def held(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the validation split to stop by, and to judge by; drawn, so that both are of the same time."""
        rows = np.random.default_rng(0).permutation(np.arange(self.train, len(self.table)))
        return np.sort(rows[:STOP_ROWS]), np.sort(rows[STOP_ROWS : STOP_ROWS + JUDGED_ROWS])

    def run(
        self, rows: NDArray[np.int64], gates: Gates, *, seed: int, held: bool, batch: int, steps: int
    ) -> tuple[GatedFM, float]:
        """A model of some rows, and its AUC on the rows that judge."""
        transform = Transform.fit(self.spec, self.table.take(pa.array(rows)))
        stop, judge = self.held()
        label, ids = self.label, {}
        for name, some in (("train", rows), ("stop", stop), ("judge", judge)):
            ids[name] = transform.ids(self.table.take(pa.array(some)))
        model = GatedFM(transform.layout, gates, prior=float(label[rows].mean()), seed=seed, held=held)
        every = max(steps // 15, 1)
        model, _ = fitted(
            model, ids["train"], label[rows], (ids["stop"], label[stop]), seed=seed, batch=batch, steps=steps, every=every
        )
        return model, auc(label[judge], scored(model, ids["judge"]))

    def own_gates(self) -> tuple[Gates, float]:
        """What its latest training rows say."""
        rows = np.arange(max(0, self.train - TAUGHT_ROWS), self.train)
        model, found = self.run(rows, Gates.none(len(self.spec.fields)), seed=0, held=False, batch=1024, steps=450)
        return model.gates(), found


def few_rows(log: Log, count: int, draw: int) -> NDArray[np.int64]:
    """Training rows, with both outcomes."""
    chance = np.random.default_rng([count, draw])
    while True:
        rows = np.sort(chance.choice(log.train, count, replace=False))
        if 0 < log.label[rows].sum() < count:
            return rows


def derangement(count: int, draw: int) -> NDArray[np.int64]:
    """A permutation that leaves no field in its place."""
    chance = np.random.default_rng([7, count, draw])
    while True:
        order = chance.permutation(count)
        if (order != np.arange(count)).all():
            return order


def arms(
    sets: Sequence[Taught], own: Gates, vectors: dict[str, NDArray[np.floating[Any]]], draw: int
) -> Iterator[tuple[str, str, Gates]]:
    """Arm, encoder (empty for none) and gates."""
    fields = len(own.fields)
    yield "none", "", Gates.none(fields)
    yield "mean", "", mean_gates(sets, fields)
    yield "own", "", own
    for encoder, some in vectors.items():
        yield "vectors", encoder, guessed(of_encoder(sets, encoder), some)
        yield "permuted", encoder, guessed(of_encoder(sets, encoder), some[derangement(fields, draw)])


def of_encoder(sets: Sequence[Any], encoder: str) -> list[Taught]:
    """The teaching sets with one encoder's vectors."""
    return [Taught(one.vectors[encoder], one.gates) for one in sets]


def summary(runs: Sequence[dict[str, Any]], encoders: Sequence[str]) -> list[dict[str, Any]]:
    """Mean difference over sets of two arms, by size (0: the mean over sizes), way and encoder."""
    lines = []
    for encoder in encoders:
        for free in (False, True):
            for size in (*SIZES, 0):
                for arm, baseline in PAIRS:
                    by_set = [
                        gap for name in names() if (gap := _gap(runs, name, size, free, encoder, arm, baseline)) is not None
                    ]
                    if len(by_set) > 1:
                        lines.append({
                            "encoder": encoder, "free": free, "size": size, "arm": arm, "baseline": baseline,
                            "mean": statistics.fmean(by_set), "interval": t_interval(by_set), "by_set": by_set,
                        })  # fmt: skip
    return lines


def _gap(
    runs: Sequence[dict[str, Any]], name: str, size: int, free: bool, encoder: str, arm: str, baseline: str
) -> float | None:
    def of(wanted: str) -> dict[tuple[int, int], float]:
        return {
            (run["size"], run["draw"]): run["auc"]
            for run in runs
            if (run["set"], run["free"], run["arm"]) == (name, free, wanted)
            and run["encoder"] in ("", encoder)
            and size in (0, run["size"])
        }

    ours, theirs = of(arm), of(baseline)
    gaps = [ours[cell] - theirs[cell] for cell in ours if cell in theirs]
    return statistics.fmean(gaps) if gaps else None


def table(content: dict[str, Any]) -> str:
    """The results in words."""
    lines = [f"{'encoder':<9} {'gates':<6} {'rows':>6}  {'difference':<22} {'mean':>8}  over sets"]
    for one in content["summary"]:
        size = f"{one['size']:,}" if one["size"] else "all"
        span = "[{:+.4f}, {:+.4f}]".format(*one["interval"])
        sets = sum(gap > 0 for gap in one["by_set"])
        lines.append(
            f"{one['encoder']:<9} {'free' if one['free'] else 'held':<6} {size:>6}  "
            f"{one['arm'] + ' - ' + one['baseline']:<22} {one['mean']:+.4f}  {span}  above 0: {sets} of {len(one['by_set'])}"
        )
    return "\n".join(lines)


def kept(path: Path | None) -> dict[str, Any]:
    """What an earlier call left in the file."""
    if path is None or not path.exists():
        return {"sets": {}, "runs": [], "cpu_s": 0.0}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--sets", nargs="+", default=names(), choices=names())
    parser.add_argument(
        "--encoders", nargs="+", default=["minilm", "smollm2"], metavar="NAME", help="or NAME=FOLDER; see research.gemma"
    )
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--placebo", action="store_true", help="of further draws, held gates of vectors and permuted alone")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path)
    options = parser.parse_args()
    if options.show is not None:
        print(table(kept(options.show)))
        return
    if options.data is None or options.cache is None:
        parser.error("--data and --cache are needed, or --show")
    torch.set_num_threads(1)
    content = kept(options.out)
    spent = content["cpu_s"]
    began = time.process_time()
    logs = {name: Log.read(name, options.data, options.cache) for name in options.sets}
    vectors: dict[str, dict[str, Any]] = {name: {} for name in logs}
    named = dict(one.split("=", 1) if "=" in one else (one, one) for one in options.encoders)
    for encoder, source in named.items():
        model = load_encoder(EncoderConfig(model=source, device="cpu"))
        for name, log in logs.items():
            vectors[name][encoder] = model.encode([field.description for field in log.spec.fields]).astype(np.float64)
    taught = {}
    for name, log in logs.items():
        if name not in content["sets"]:
            gates, found = log.own_gates()
            own = {"auc_of_all_rows": found, "fields": gates.fields.tolist(), "pairs": gates.pairs.tolist()}
            content["sets"][name] = own
        own = content["sets"][name]
        gates = Gates(np.array(own["fields"]), np.array(own["pairs"]))
        taught[name] = argparse.Namespace(vectors=vectors[name], gates=gates)
        print(f"{name}: own gates, AUC {own['auc_of_all_rows']:.4f}", file=sys.stderr)
    runs: list[dict[str, Any]] = content["runs"]
    done = {(run["set"], run["size"], run["draw"], run["arm"], run["encoder"], run["free"]) for run in runs}
    for name, log in logs.items():
        others = [taught[other] for other in logs if other != name]
        for size in SIZES:
            for draw in range(options.draws):
                rows = few_rows(log, size, draw)
                for arm, encoder, gates in arms(others, taught[name].gates, vectors[name], draw):
                    for free in (False, True):
                        if options.placebo and (free or not encoder):
                            continue
                        if free and (arm == "own" or encoder not in ("", next(iter(named)))):
                            continue
                        if (name, size, draw, arm, encoder, free) in done:
                            continue
                        _, found = log.run(rows, gates, seed=draw, held=not free, batch=128, steps=150 + size // 25)
                        runs.append({"set": name, "size": size, "draw": draw, "arm": arm, "encoder": encoder,
                                     "free": free, "auc": found})  # fmt: skip
            content["cpu_s"] = round(spent + time.process_time() - began, 1)
            content["summary"] = summary(runs, list(named))
            if options.out is not None:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                write_text(options.out, json.dumps(content) + "\n")
            print(f"{name}, {size} rows: done, {content['cpu_s']:.0f} CPU-s", file=sys.stderr)
    print(table(content))


if __name__ == "__main__":
    main()
