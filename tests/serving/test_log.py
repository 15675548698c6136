from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from llactr.errors import SpecError
from llactr.serving import served_log
from llactr.serving.batch import Batch
from llactr.serving.metrics import Metrics
from llactr.serving.scorer import Scored
from llactr.serving.served_log import ServedLog, served_schema, served_table_path
from llactr.store.tables import read_files
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import FIELDS, spec_of

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
SPEC = spec_of([field for field in FIELDS if field["name"] in {"user_id", "item_id", "hour"}])


def scored(rows: int) -> tuple[Batch, Scored]:
    batch = Batch(rows, {"user": ["u1"], "item": [str(i) for i in range(rows)]}, {}, [NOW], [{}])
    features = {
        "user": {"user_id": ["u1"]},
        "item": {"item_id": [str(i) for i in range(rows)]},
        "context": {"hour": [NOW]},
    }
    ids = np.arange(rows * 3, dtype=np.int32).reshape(rows, 3)
    return batch, Scored(ids, np.linspace(0, 1, rows, dtype=np.float32), {}, features, NOW.timestamp())


def log_of(root: Path, metrics: Metrics, **settings: float) -> ServedLog:
    given = {"rate": 1.0, "queue_rows": 100, "flush_s": 60.0, "file_rows": 1000} | settings
    return ServedLog(Workspace.at(root), metrics=metrics, **given)  # type: ignore[arg-type]


def offer(log: ServedLog, rows: int) -> bool:
    batch, result = scored(rows)
    return log.offer(SPEC, batch, result, bundle="b", semantics_version="v", request_id="r")


def value(metric: object) -> float:
    return float(metric._value.get())  # type: ignore[attr-defined]


def test_what_was_accepted_is_on_disk_after_close(tmp_path: Path) -> None:
    metrics = Metrics()
    log = log_of(tmp_path, metrics)
    log.start()
    assert offer(log, 3)
    assert offer(log, 2)
    log.close()
    table = read_files(served_table_path(Workspace.at(tmp_path), SPEC.name), first_run="x")
    assert table.schema == served_schema(SPEC)
    assert table.num_rows == 5
    assert table["item_id"].to_pylist() == ["0", "1", "2", "0", "1"]
    assert table["served_ids"].to_pylist()[:2] == [[0, 1, 2], [3, 4, 5]]
    assert table["event_timestamp"].to_pylist() == [NOW] * 5
    assert (value(metrics.log_rows), value(metrics.log_dropped)) == (5, 0)
    assert not offer(log, 1)  # nothing is taken after the end


def test_a_full_queue_drops_and_counts_and_never_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, blocked = Metrics(), threading.Event()
    real = pq.write_table

    def slow(*arguments: object, **settings: object) -> None:
        assert blocked.wait(20)
        real(*arguments, **settings)

    monkeypatch.setattr(served_log.pq, "write_table", slow)
    log = log_of(tmp_path, metrics, queue_rows=100, file_rows=50)
    log.start()
    taken = [offer(log, 10) for _ in range(30)]
    assert sum(taken) == 10  # 100 rows, those being written included
    assert value(metrics.log_dropped) == 200
    blocked.set()
    log.close()
    table = read_files(served_table_path(Workspace.at(tmp_path), SPEC.name), first_run="x")
    assert table.num_rows == 100


def test_a_disk_that_fails_costs_the_rows_and_not_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    log = log_of(tmp_path, metrics, flush_s=0.05)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(served_log.pq, "write_table", full)
        log.start()
        offer(log, 4)
        for _ in range(200):
            if value(metrics.log_failures):
                break
            threading.Event().wait(0.02)
    assert (value(metrics.log_failures), value(metrics.log_dropped)) == (1, 4)
    assert "could not be written" in caplog.text
    assert offer(log, 2)
    log.close()
    folder = served_table_path(Workspace.at(tmp_path), SPEC.name)
    assert read_files(folder, first_run="x").num_rows == 2
    assert not list(folder.glob(".*"))


def request_of(user: str | None, items: int = 3) -> Batch:
    keys = {"item": [str(i) for i in range(items)]} | ({} if user is None else {"user": [user]})
    return Batch(items, keys, {}, [NOW], [{}])


def test_sampling_keeps_its_share_and_all_requests_of_a_user(tmp_path: Path) -> None:
    never, always, some = (log_of(tmp_path, Metrics(), rate=rate) for rate in (0.0, 1.0, 0.3))
    requests = [request_of(f"u{n}") for n in range(20_000)]
    assert not any(never.sampled(one) is not None for one in requests[:100])
    assert all(always.sampled(one).tolist() == [True] * 3 for one in requests[:100])  # type: ignore[union-attr]
    chosen = [some.sampled(one) is not None for one in requests]
    assert 0.27 < sum(chosen) / 20_000 < 0.33
    assert [some.sampled(one) is not None for one in requests[:1000]] == chosen[:1000], "a user's next request"
    without = [some.sampled(request_of(None)) is not None for _ in range(20_000)]
    assert 0.27 < sum(without) / 20_000 < 0.33


def test_of_rows_of_several_users_those_of_the_share_are_kept(tmp_path: Path) -> None:
    log = log_of(tmp_path, Metrics(), rate=0.5)
    users = [f"u{n % 7}" for n in range(20)]
    batch = Batch.of_rows({"user": users, "item": ["1"] * 20}, moments=[NOW] * 20, contexts=[{}] * 20)
    mine = {user: log.sampled(request_of(user)) is not None for user in set(users)}
    kept = log.sampled(batch)
    assert kept is not None
    assert kept.tolist() == [mine[user] for user in users]
    assert 0 < kept.sum() < 20
    features = {
        "user": {"user_id": list(batch.keys["user"])},
        "item": {"item_id": ["1"]},
        "context": {"hour": [NOW] * 20},
    }
    ids = np.zeros((20, 3), np.int32)
    log.start()
    scores = np.linspace(0, 1, 20, dtype=np.float32)
    log.offer(
        SPEC, batch, Scored(ids, scores, {}, features, NOW.timestamp()),
        bundle="b", semantics_version="v", request_id="r", kept=kept,
    )  # fmt: skip
    log.close()
    table = read_files(served_table_path(Workspace.at(tmp_path), SPEC.name), first_run="x")
    assert table["user_id"].to_pylist() == [user for user in users if mine[user]]
    assert table["served_score"].to_pylist() == scores[kept].tolist()


def test_a_field_with_a_name_of_the_log_is_refused() -> None:
    field = {"name": "served_score", "description": "a clash", "owner": "context", "kind": "numeric"}
    with pytest.raises(SpecError, match="'served_score' is also a column of the served-feature log"):
        served_schema(spec_of([*FIELDS, field]))


def test_requests_are_logged_as_they_were_scored(workspace: Workspace) -> None:
    body = {
        "user": "u1",
        "items": ["2", "0", "nope"],
        "timestamp": "2024-01-02T03:04:05Z",
        "context": {"Device (type)": "tv", "seconds": 2},
        "return_ids": True,
    }
    with started(workspace, log_rate=1.0) as asgi:
        answer = asgi.ask("POST", "/v1/rank", body, x_request_id="one").json
        rows = [{"user": "u2", "item": "5"}, {"user": "u1", "item": "5"}]
        asgi.ask("POST", "/v1/predict", {"rows": rows}, x_request_id="two")
    table = read_files(served_table_path(workspace, "shop"), first_run="x")
    one = [row for row in table.to_pylist() if row["served_request"] == "one"]
    assert [row["item_id"] for row in one] == ["2", "0", "nope"]
    assert [row["served_ids"] for row in one] == answer["ids"]
    assert [row["served_score"] for row in one] == pytest.approx(answer["scores"], abs=1e-7)
    assert [row["title"] for row in one] == ["title 1", "title 0", None]
    assert {(row["Device (type)"], row["seconds"], row["event_timestamp"]) for row in one} == {("tv", 2.0, NOW)}
    assert {row["served_bundle"] for row in one} == {"first"}
    two = [row for row in table.to_pylist() if row["served_request"] == "two"]
    assert [(row["user_id"], row["item_id"]) for row in two] == [("u2", "5"), ("u1", "5")]
