"""What history costs: the pass for training, snapshots of states, a push, and a request of 200 candidates.

    python -m benchmarks.history                              # 1M events
    python -m benchmarks.history --rows 1000000 5000000 20000000 --parts pass

Events are made up: an item and a user are drawn by a power law (the busiest user has a few thousand events), 20 events
a user in the mean. Eight windows, taste by vectors of 24 dimensions (level, regression, uncertainty, similarity,
nearest) and the last 50 events. Parts:

- `pass`: history fields of all events, as training reads them;
- `item-item`: the same with that field;
- `snapshots`: states of all users and items as bytes, written to Parquet, read again and made into fields;
- `push`: events one by one, from bytes to bytes;
- `request`: fields of 200 candidates from bytes.

Each is a process of its own, compiled code is loaded or made before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from llactr.history import (
    Event,
    Events,
    HistoryDefinition,
    ItemVectors,
    KeyState,
    features,
    history_rows,
    push,
    snapshots,
    states_from_bytes,
)
from llactr.spec import HistorySpec, TasteField, WindowField

__all__ = ["definition_of", "drawn_events", "main", "measure"]

PARTS = ("pass", "item-item", "snapshots", "push", "request")
ITEMS, RANK, CANDIDATES = 20_000, 24, 200
_DAY_US = 86_400_000_000
_REPOSITORY = Path(__file__).resolve().parents[1]


def definition_of(*, item_item: bool = False) -> HistoryDefinition:
    """Eight windows, five numbers of taste, the last 50."""

    def window(owner: Any, measure: Any, suffix: str = "", **settings: Any) -> WindowField:
        name = f"{owner}_{measure}{suffix}"
        return WindowField(name=name, description=name, kind="window", owner=owner, measure=measure, **settings)

    windows = [window(owner, measure) for owner in ("user", "item") for measure in ("count", "rate")]
    windows += [window(owner, "clicks", "_week", last="7d") for owner in ("user", "item")]
    windows += [window(owner, "rate", "_month", half_life="30d") for owner in ("user", "item")]
    measures: list[Any] = ["level", "regression", "uncertainty", "similarity", "nearest"]
    tastes = [TasteField(name=m, description=m, kind="taste", vectors="text", measure=m) for m in measures]
    if item_item:
        both: Any = "item_item"
        tastes.append(TasteField(name=both, description=both, kind="taste", vectors=both, measure="similarity"))
    random = np.random.default_rng(0)
    hashes = np.sort(random.integers(0, 2**64, ITEMS, np.uint64))
    vectors = ItemVectors(hashes, (random.standard_normal((ITEMS, RANK)) / RANK**0.5).astype(np.float32))
    return HistoryDefinition(HistorySpec(last=50, rank=RANK, fields=(*windows, *tastes)), 0.3, {"text": vectors})


def drawn_events(definition: HistoryDefinition, rows: int) -> Events:
    """Events in the order of time."""
    random = np.random.default_rng(1)
    users = max(rows // 20, 1)
    hashes = random.integers(0, 2**64, users, np.uint64)
    of_users = (users * random.random(rows) ** 3).astype(np.int64)
    of_items = (ITEMS * random.random(rows) ** 2).astype(np.int64)
    times = np.sort(random.integers(1_700_000_000_000_000, 1_700_000_000_000_000 + 180 * _DAY_US, rows))
    clicked = (random.random(rows) < 0.3).astype(np.float32)
    return Events(hashes[of_users], definition.vectors["text"].items[of_items], times, clicked)


def measure(part: str, rows: int) -> dict[str, Any]:
    """CPU seconds and memory of one part, in this process."""
    definition = definition_of(item_item=part == "item-item")
    events = drawn_events(definition, rows)
    _PARTS[part](definition, drawn_events(definition, 2000))
    before, started = _peak_mb(), time.process_time()
    done = _PARTS[part](definition, events)
    seconds = time.process_time() - started
    found = {"part": part, "rows": rows, "cpu_seconds": round(seconds, 2), "per_cpu_second": round(done / seconds)}
    return found | {"peak_rss_mb": round(_peak_mb()), "rss_before_mb": round(before)}


def _pass(definition: HistoryDefinition, events: Events) -> int:
    found = history_rows(definition, events)
    assert np.isfinite(found[-len(found) // 2 :, 0]).all()
    return len(found)


def _snapshots(definition: HistoryDefinition, events: Events) -> int:
    """Every snapshot is read again, beside the first candidate of its moment; those of items come second."""
    with tempfile.TemporaryDirectory() as name:
        for owner in ("user", "item"):
            path, writer = Path(name) / f"{owner}.parquet", None
            for piece in snapshots(definition, events, owner=owner):  # type: ignore[arg-type]
                writer = writer or pq.ParquetWriter(path, piece.schema, compression="lz4", use_dictionary=False)
                writer.write_table(piece)
            assert writer is not None
            writer.close()
        columns = {owner: pq.ParquetFile(Path(name) / f"{owner}.parquet") for owner in ("user", "item")}
        pieces = {owner: file.iter_batches(batch_size=4096, columns=["state"]) for owner, file in columns.items()}
        seen = 0
        for users, items in zip(pieces["user"], pieces["item"], strict=False):
            count = min(len(users), len(items))
            states = [
                states_from_bytes(definition, layout, batch.column(0)[:count].to_pylist(), _DAY_US * 20_000)
                for layout, batch in ((definition.user, users), (definition.item, items))
            ]
            features(definition, *states, events.item[seen : seen + count], _DAY_US * 20_000)
            seen += count
    return len(events)


def _push(definition: HistoryDefinition, events: Events) -> int:
    count = min(len(events), 50_000)
    stored: dict[tuple[str, int], bytes] = {}

    def state(owner: Any, key: int) -> KeyState:
        layout, content = getattr(definition, owner), stored.get((owner, key))
        return (
            KeyState.empty(definition, layout) if content is None else KeyState.from_bytes(definition, layout, content)
        )

    columns = (events.user[:count], events.item[:count], events.time[:count], events.outcome[:count])
    for user, item, moment, outcome in zip(*(column.tolist() for column in columns), strict=True):
        pushed = push(definition, state("user", user), state("item", item), Event(user, item, moment, outcome))
        stored["user", user], stored["item", item] = pushed.user.to_bytes(), pushed.item.to_bytes()
    return count


def _request(definition: HistoryDefinition, events: Events) -> int:
    user, item = KeyState.empty(definition, definition.user), KeyState.empty(definition, definition.item)
    for at in range(60):
        moment = int(events.time[at])
        item, user = item.add(at, moment, float(at % 2)), user.add(int(events.item[at]), moment, 0.5 - at % 2)
    blobs, blob, now = [item.to_bytes()] * CANDIDATES, user.to_bytes(), int(events.time[-1]) + 1
    candidates = definition.vectors["text"].items[:CANDIDATES].copy()
    for _ in range(200):
        users = states_from_bytes(definition, definition.user, [blob], now)
        items = states_from_bytes(definition, definition.item, blobs, now)
        features(definition, users, items, candidates, now)
    return 200


_PARTS = {"pass": _pass, "item-item": _pass, "snapshots": _snapshots, "push": _push, "request": _request}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measures what the arguments ask for, prints a table, and returns the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, help="a file for the figures")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.measure:
        print(json.dumps(measure(asked.measure[0], int(asked.measure[1]))))
        return []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    found = []
    print("| part | events | CPU-s | per CPU-s | peak RSS, MB | before, MB |\n|---|---:|---:|---:|---:|---:|")
    for rows in asked.rows:
        for part in asked.parts:
            command = [sys.executable, "-m", "benchmarks.history", "--measure", part, str(rows)]
            done = subprocess.run(command, env=environment, cwd=_REPOSITORY, check=True, stdout=subprocess.PIPE)
            row = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{row[name]:,}" for name in ("rows", "cpu_seconds", "per_cpu_second", "peak_rss_mb")]
            cells.append(f"{row['rss_before_mb']:,}")
            print(f"| {part} | {' | '.join(cells)} |", flush=True)
            found.append(row)
    if asked.json:
        asked.json.write_text(json.dumps({"benchmark": "history", "results": found}, indent=2) + "\n")
    return found


if __name__ == "__main__":
    main()
