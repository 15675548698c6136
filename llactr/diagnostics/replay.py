"""Does a service that learns event by event say what the offline join says, whatever dies meanwhile?

A scratch workspace is given the history before the test split, and a service of its own. Each of the first test rows
is scored over HTTP, then pushed; in the middle every process of the service is killed, and it is started again. Ids,
history numbers and scores are then those of the offline pass over the same events: ids and counts exactly, the rest to
a millionth. The online store is the configured one, under a project name of its own; nothing of it is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from feast.utils import get_default_yaml_file_path
from numpy.typing import NDArray

from llactr.columns import LABEL
from llactr.ctr import Bundle, predict
from llactr.ctr.find import find_bundle
from llactr.ctr.request_ids import request_ids
from llactr.ctr.training.join import join
from llactr.diagnostics.agreement import TOLERANCE, placed_offline
from llactr.diagnostics.service_agreement import ask, finite_rows, request_rows
from llactr.errors import ConsistencyError, InputError, StepError, StoreError
from llactr.history import HistoryDefinition, history_rows
from llactr.spec import DatasetSpec, WindowField
from llactr.steps import Job
from llactr.store import REPOSITORY, apply, events_table, materialize, open_store
from llactr.store.history import events_of, with_newer_items, write_states
from llactr.store.ingested import dataset_spec
from llactr.store.training import current_rows
from llactr.workspace import Workspace

__all__ = ["replay", "replay_sentence"]

_START_S = 120.0


def replay(
    job: Job, dataset: str, *, rows: int, bundle: str | None = None, workers: int = 2, kill: bool = True
) -> dict[str, Any]:
    """Replays the first test rows through a service, each scored and then pushed.

    Args:
        job: where.
        dataset: which.
        rows: how many test rows, in the order of time.
        bundle: one that reads history; the one trained last by default.
        workers: processes of the service.
        kill: whether all of them are killed in the middle.

    Raises:
        InputError: the bundle reads no history, there are no test rows, or the spec reads the user's own repository.
        StepError: the service does not start.
        ConsistencyError: an id, a number or a score differs.
    """
    spec = dataset_spec(job.workspace, dataset)
    if spec.repository_fields:
        raise InputError(
            f"dataset {dataset!r} reads a Feast repository of your own, which a replay on stores of its own cannot "
            "fill: use 'llactr check', and 'llactr skew' on what was served"
        )
    folder = find_bundle(job.workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    definition = loaded.history
    if definition is None:
        raise InputError(
            f"the bundle {folder.name} reads no history to replay: train one, such as --arm 'history taste'"
        )
    _, training_set = join(job, dataset)
    events = events_table(job.workspace, spec)
    first = int(training_set.data.split.test.min())
    window = events.slice(first, rows)
    if not window.num_rows or not finite_rows(window, spec).all():
        raise InputError("there are no test rows to replay, or they hold infinite numbers, which JSON cannot carry")
    with _scratch(job.workspace, spec, definition, folder, events.slice(0, first)) as scratch:
        found = _replayed(scratch, spec, window, workers=workers, kill=kill)
        numbers = history_rows(
            with_newer_items(scratch.workspace, spec, definition, config=scratch.config),
            events_of(spec, events.slice(0, first + window.num_rows)),
            events_of(spec, window),
            neighbour_steps=0,
        )
        raw = current_rows(scratch.workspace, spec, window, moment=datetime.now(UTC), config=scratch.config)
    ids = request_ids(loaded.transform, loaded.spec, raw)
    unseen = loaded.unseen_values()
    if unseen is None:
        scores = predict(loaded.model, loaded.rows(ids, numbers))
    else:
        scores = placed_offline(job.workspace, spec, unseen, ids, unseen.find(ids, raw), numbers).scores
    result = _compared(definition, found, ids, numbers, scores)
    result |= {"bundle": folder.name, "workers": workers, "killed": kill, "store": found.store}
    if not result["holds"]:
        raise ConsistencyError(f"what was served and what the offline join gives disagree: {replay_sentence(result)}")
    return result


def replay_sentence(found: dict[str, Any]) -> str:
    """What was found, in a sentence without its full stop."""
    return (
        f"{found['rows']:,} test rows scored, then pushed, on {found['store']} with {found['workers']} workers"
        f"{', all killed in the middle' if found['killed'] else ''}: {found['rows_with_other_ids']} with other ids, "
        f"{found['rows_with_other_counts']} with other counts, numbers within {found['max_number_difference']:.1e}, "
        f"scores within {found['max_score_difference']:.1e} (tolerance {found['tolerance']:.0e})"
    )


@dataclass(frozen=True)
class _Scratch:
    workspace: Workspace
    config: Path
    bundle: Path


@dataclass(frozen=True)
class _Found:
    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]
    scores: NDArray[np.float32]
    store: str


def _compared(
    definition: HistoryDefinition,
    found: _Found,
    ids: NDArray[np.int32],
    numbers: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> dict[str, Any]:
    counted = {
        field.name
        for field in definition.spec.fields
        if isinstance(field, WindowField) and field.measure != "rate" and field.half_life is None
    }
    counts = [at for at, name in enumerate(definition.spec.columns) if name in counted]
    missing = np.isnan(found.numbers) != np.isnan(numbers)
    gaps = np.abs(np.nan_to_num(found.numbers) - np.nan_to_num(numbers))
    gap = float(np.where(missing, np.inf, gaps).max()) if gaps.size else 0.0
    other_ids = int((found.ids != ids).any(axis=1).sum())
    other_counts = int((found.numbers[:, counts] != numbers[:, counts]).any(axis=1).sum()) if counts else 0
    score_gap = float(np.abs(found.scores - scores).max())
    return {
        "rows": len(ids),
        "rows_with_other_ids": other_ids,
        "rows_with_other_counts": other_counts,
        "max_number_difference": gap,
        "max_score_difference": score_gap,
        "tolerance": TOLERANCE,
        "holds": other_ids == 0 and other_counts == 0 and gap <= TOLERANCE and score_gap <= TOLERANCE,
    }


def _replayed(scratch: _Scratch, spec: DatasetSpec, window: pa.Table, *, workers: int, kill: bool) -> _Found:
    ids, numbers, scores = [], [], []
    rows, outcomes = request_rows(window, spec), window[LABEL].to_pylist()
    service = _Service(scratch, workers)
    try:
        service.start()
        for number, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
            if kill and number == len(rows) // 2:
                service.kill()
                service.start()
            answer = service.ask("/v1/predict", {"rows": [row], "return_ids": True, "return_features": True})
            ids.append(answer["ids"][0])
            scores.append(answer["scores"][0])
            numbers.append([np.nan if one[0] is None else one[0] for one in answer["history"].values()])
            service.ask("/v1/events", {**row, "outcome": int(outcome)})
    finally:
        service.kill()
    store = open_store(scratch.workspace, config=scratch.config).config.online_store.type
    name = "SQLite" if "sqlite" in str(store).lower() else str(store).title()
    return _Found(np.asarray(ids, np.int32), np.asarray(numbers, np.float32), np.asarray(scores, np.float32), name)


class _Service:
    """A service of the scratch workspace, in a process group of its own."""

    def __init__(self, scratch: _Scratch, workers: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._log = scratch.workspace.root / "service.log"
        self._command = [
            sys.executable, "-m", "llactr.jobs.cli", "serve", "--workspace", str(scratch.workspace.root),
            "--bundle", str(scratch.bundle), "--port", str(self._port), "--workers", str(workers), "--anyway",
            "--history-freshness-s", "0",
        ]  # fmt: skip
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LLACTR_A")}
        self._environment = kept | {"FEAST_FS_YAML_FILE_PATH": str(scratch.config)}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(StoreError, InputError):
                ask(f"http://127.0.0.1:{self._port}/readyz", None, None)
                return
            time.sleep(0.1)
        said = self._log.read_text(encoding="utf-8", errors="replace")[-500:]
        raise StepError(f"the service for the replay does not start: {said}")

    def kill(self) -> None:
        """Kills every process of it, as nothing can be prepared for."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """An answer; asked once more where a worker is not there yet."""
        deadline = time.monotonic() + _START_S
        while True:
            try:
                return ask(f"http://127.0.0.1:{self._port}{path}", body, None)
            except StoreError:
                if path == "/v1/events" or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


@contextlib.contextmanager
def _scratch(
    workspace: Workspace, spec: DatasetSpec, definition: HistoryDefinition, bundle: Path, before: pa.Table
) -> Iterator[_Scratch]:
    """A workspace whose events end before the test split, its views online under a project name of its own."""
    root = Path(tempfile.mkdtemp(prefix="llactr-replay-"))
    project = f"llactr_replay_{uuid.uuid4().hex[:8]}"
    made = Workspace.at(root)
    try:
        shutil.copytree(workspace.dataset(spec.name), made.dataset(spec.name))
        (root / "offline" / spec.name / "events").mkdir(parents=True)
        pq.write_table(before, root / "offline" / spec.name / "events" / "part-00000.parquet")
        for owner in spec.entities:
            table = workspace.offline_table(spec.name, owner)
            if table.is_dir():
                (root / "offline" / spec.name / owner).symlink_to(table)
        (root / "offline" / "semantics").symlink_to(workspace.root / "offline" / "semantics")
        content = yaml.safe_load(get_default_yaml_file_path(REPOSITORY).read_text(encoding="utf-8"))
        config = root / "feature_store.yaml"
        config.write_text(yaml.safe_dump(content | {"project": project}), encoding="utf-8")
        write_states(made, spec, definition)
        apply(made, config=config)
        materialize(made, config=config)
        yield _Scratch(made, config, bundle)
    finally:
        with contextlib.suppress(Exception):
            _forget(made, root / "feature_store.yaml", project)
        shutil.rmtree(root, ignore_errors=True)


def _forget(workspace: Workspace, config: Path, project: str) -> None:
    """Deletes what a Redis holds of the scratch project; a SQLite goes with its folder."""
    store = open_store(workspace, config=config)
    if store.config.online_store.type != "redis":
        return
    online: Any = store.provider.online_store
    client = online._get_client(store.config.online_store)
    for pattern in (f"*{project}", f"llactr:history:{project}:*"):
        for key in client.scan_iter(match=pattern, count=1000):
            client.delete(key)
