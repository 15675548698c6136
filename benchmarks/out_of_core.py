"""Training from Parquet that memory need not hold: rows per CPU-second and peak memory, against the model's own size.

python -m benchmarks.out_of_core --rows 20000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.click_log import FIELDS, ClickLog

RESERVED_IDS = 3
HELD_OUT_ROWS = 100_000


def main() -> None:
    """Writes the rows in one process, trains in another, and prints one object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--backbone", default="fm")
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--step", choices=["write", "train"], help="one of the two, in this process")
    arguments = parser.parse_args()
    place = arguments.folder.absolute() / f"rows-{arguments.rows}"
    if arguments.step == "write":
        write(place, arguments.rows)
    elif arguments.step == "train":
        print(json.dumps(train_from(place, arguments.backbone)))
    else:
        command = [sys.executable, "-m", "benchmarks.out_of_core", *sys.argv[1:], "--step"]
        if not (place / "held_out").exists():
            subprocess.run([*command, "write"], check=True)
        subprocess.run([*command, "train"], check=True)


def write(place: Path, rows: int) -> None:
    """Training rows and validation rows as the trainer reads them; a chunk of the log at a time."""
    from llactr.ctr.training.batches import HeldOut
    from llactr.ctr.training.stream import write_rows

    def parts() -> Iterator[HeldOut]:
        for chunk in ClickLog().chunks(rows + HELD_OUT_ROWS):
            yield HeldOut(chunk.values + RESERVED_IDS, chunk.label, np.zeros(len(chunk.label), np.int32))

    made = parts()
    written = 0

    def training() -> Iterator[HeldOut]:
        nonlocal written
        for part in made:
            taken = min(len(part.label), rows - written)
            written += taken
            yield HeldOut(*(column[:taken] for column in part))
            if written == rows:
                rest = HeldOut(*(column[taken:] for column in part))
                write_rows(place / "held_out", [rest, *made] if len(rest.label) else made)
                return

    write_rows(place / "train", training())


def train_from(place: Path, backbone: str) -> dict[str, object]:
    """One epoch."""
    import torch

    from llactr.ctr import CTRModel, ModelConfig, TrainConfig, train
    from llactr.ctr.training.stream import StreamedRows, read_rows
    from llactr.transforms import FieldLayout

    torch.set_num_threads(1)
    layout = FieldLayout(
        tuple(shape.name for shape in FIELDS),
        tuple(shape.size + RESERVED_IDS for shape in FIELDS),
        tuple(1 for _ in FIELDS),
    )
    before_mb = _peak_mb()
    model = CTRModel(ModelConfig.model_validate({"backbone": backbone}), layout)
    numbers = sum(p.numel() for p in model.parameters())
    rows = StreamedRows(place / "train", read_rows(place / "held_out"))
    config = TrainConfig(embedding_optimizer="lazy", learning_rate=2e-3, max_epochs=1, device="cpu")
    wall, cpu = time.perf_counter(), time.process_time()
    result = train(model, rows, config)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "backbone": backbone,
        "rows": rows.row_count,
        "rows_on_disk_mb": round(sum(file.stat().st_size for file in (place / "train").glob("*.parquet")) / 1e6),
        "rows_in_memory_would_be_mb": round(rows.row_count * (4 * len(FIELDS) + 8) / 1e6),
        "model_and_moments_mb": round(3 * 4 * numbers / 1e6),
        "libraries_mb": before_mb,
        "peak_rss_mb": _peak_mb(),
        "rows_per_cpu_second": round(rows.row_count / cpu),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "validation_auc": result.validation.auc,
    }


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


if __name__ == "__main__":
    main()
