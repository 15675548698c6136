"""What a client may do to the service, and what it may not: memory, keys, reloads, damaged vectors."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from feast.protos.feast.types.Value_pb2 import Value
from safetensors.torch import load_file, save_file

from llactr.ctr.bundle import _refuse_not_finite
from llactr.ctr.request_ids import request_ids
from llactr.errors import BundleError
from llactr.serving import codec
from llactr.serving.access import Access
from llactr.serving.codec import FieldCodec
from llactr.serving.config import ServeConfig
from llactr.serving.control import NEWEST, Control
from llactr.serving.problems import Problem
from llactr.serving.unseen import parse_vector
from llactr.transforms import OOV, Transform
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import FIELDS, spec_of

ADMIN, KEY = "a" * 24, "k" * 24
KEYS = {"environment": {"LLACTR_ADMIN_KEY": ADMIN}}
BODY = {"user": "u1", "items": ["1", "2", "3"], "timestamp": "2024-01-02T03:00:00Z"}


def test_a_reload_without_a_name_goes_to_the_newest_whatever_was_named_before(workspace: Workspace) -> None:
    with started(workspace, **KEYS) as asgi:
        asgi.ask("POST", "/v1/admin/reload", {"bundle": "second"}, x_api_key=ADMIN)
        outcome = asgi.ask("POST", "/v1/admin/reload", {}, x_api_key=ADMIN).json
        assert (outcome["previous"], outcome["bundle"]) == ("second", "first")


def test_sighup_from_outside_means_the_newest_and_from_a_worker_its_bundle(tmp_path: Any, monkeypatch: Any) -> None:
    sent: list[int] = []
    monkeypatch.setattr("llactr.serving.control.os.kill", lambda pid, number: sent.append(pid))
    worker, parent = Control(tmp_path, 4711), Control(tmp_path, 4711)
    worker.spread("second")
    assert sent == [4711]
    parent.hangup()
    assert worker.target() == "second"
    parent.hangup()
    assert worker.target() == NEWEST


def test_a_request_under_way_keeps_its_bundles_store_over_a_reload(workspace: Workspace) -> None:
    with started(workspace, **KEYS) as asgi:

        async def work() -> bool:
            with asgi.service.in_use() as loaded:
                await asgi.service.reload("second")
                await asyncio.sleep(0.2)
                await loaded.reader.probe()  # closed, it would raise
            return asgi.service.main.id == "second"

        assert asgi.runner.run(work())


class Opened:
    """A loaded bundle of some dataset that counts how often its reader is closed."""

    def __init__(self, name: str) -> None:
        self.spec = spec_of(name=name)
        self.id = name
        self.folder = Path(name)
        self.reader = self
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


def test_a_comparison_of_another_dataset_does_not_leak_readers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every probe a reader was opened that nobody closed."""
    from llactr.serving import service as module

    opened: list[Opened] = []

    async def load(*_: Any, **__: Any) -> Any:
        opened.append(Opened("shop" if len(opened) % 2 == 0 else "other"))
        return opened[-1]

    monkeypatch.setattr(module, "load_bundle", load)
    config = ServeConfig.of(environment={}, workspace=workspace.root, compare_bundle="second")
    service = module.Service(config)
    for _ in range(3):
        with pytest.raises(BundleError, match="bundles to compare must be of one dataset"):
            asyncio.run(service._load_both(workspace.artifact("bundles", "first")))
    assert [one.closed for one in opened] == [1] * 6


@pytest.mark.parametrize("stored", [b"\xff\xff\xff", Value(string_val="x").SerializeToString(), "short", "nan"])
def test_a_damaged_value_vector_is_none(stored: Any) -> None:
    if stored == "short":
        value = Value()
        value.float_list_val.val.extend([1.0, 2.0])
        stored = value.SerializeToString()
    elif stored == "nan":
        value = Value()
        value.float_list_val.val.extend([1.0, 2.0, float("nan")])
        stored = value.SerializeToString()
    assert parse_vector(stored, 3) is None


def test_a_damaged_value_vector_is_scored_as_cold_and_counted(unseen_workspace: Workspace) -> None:
    body = {"user": "u1", "items": ["new-1", "new-2", "1"], "timestamp": "2024-01-02T03:00:00Z"}
    from tests.serving.unseen_workspace import write_vectors

    write_vectors(unseen_workspace, [("item_id", "new-1"), ("item_id", "new-2")])
    from llactr.store import materialize

    materialize(unseen_workspace)
    with sqlite3.connect(unseen_workspace.feast / "online.db") as connection:
        changed = connection.execute(
            "UPDATE llactr_value_semantics SET value = ? WHERE feature_name = 'vector' AND instr(entity_key, ?) > 0",
            (b"\xff\xff\xff", b"new-1"),
        ).rowcount
    assert changed == 1
    with started(unseen_workspace) as asgi:
        answer = asgi.ask("POST", "/v1/rank", body)
        assert answer.status == 200
        assert answer.json["unseen"]["cold"]["item_id"] == 1
        assert answer.json["unseen"]["placed"]["item_id"] == 1
        assert np.isfinite(answer.json["scores"]).all()
        assert asgi.metric("llactr_damaged_vectors_total") == 1


def test_one_nan_row_of_an_embedding_is_refused_when_a_bundle_is_loaded(workspace: Workspace) -> None:
    path = workspace.artifact("bundles", "first") / "model.safetensors"
    weights = load_file(path)
    name = next(name for name, tensor in weights.items() if tensor.ndim == 2 and len(tensor) > 20)
    weights[name][17, 0] = torch.nan
    save_file(weights, path)
    with pytest.raises(BundleError, match=r"1 weights in .* that are not finite: run 'llactr train' again"):
        _refuse_not_finite(load_file(path), path.parent)


def test_memos_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_MEMO_BYTES", 100_000)
    field = spec_of().field("Device (type)")
    one = FieldCodec(field, lambda column: np.full((len(column), 1), 3, np.int32), slots=1, decode=lambda value: value)
    for start in range(0, 400, 10):
        assert (one.ids([f"{n}" + "x" * 4000 for n in range(start, start + 10)]) == 3).all()
    assert len(one._memo) <= 12  # 2 x 4 KB a text


def access() -> Access:
    return Access(ServeConfig.of(environment={"LLACTR_API_KEYS": KEY}, workspace="ws"))


def test_wrong_keys_are_throttled_and_the_right_one_goes_on() -> None:
    door, good = access(), [(b"x-api-key", KEY.encode())]
    door.check("/v1/rank", good, address="1.2.3.4")
    statuses = []
    for number in range(30):
        with pytest.raises(Problem) as refused:
            door.check("/v1/rank", [(b"x-api-key", b"wrong%d" % number)], address="1.2.3.4")
        statuses.append(refused.value.status)
    assert statuses == [401] * 20 + [429] * 10
    door.check("/v1/rank", good, address="1.2.3.4")
    door.check("/v1/rank", good, address="5.6.7.8")


def test_infinite_numbers_are_refused_with_their_place(workspace: Workspace) -> None:
    with started(workspace) as asgi:
        for number in (b"Infinity", b"1e999", b"NaN"):
            body = b'{"user": "u1", "items": ["1"], "context": {"seconds": %b}}' % number
            answer = asgi.ask("POST", "/v1/rank", body)
            assert answer.status == 400
            assert answer.json["errors"][0]["pointer"] == "/context/seconds"
            assert "finite" in answer.json["errors"][0]["reason"]


def test_an_unknown_entity_under_nulls_refuse_is_out_of_vocabulary_everywhere() -> None:
    fields = [{**one, **({"nulls": "refuse"} if one["name"] == "occupation" else {})} for one in FIELDS]
    spec = spec_of(fields)
    rows = {
        "user_id": pa.array(["u1", "u2"]),
        "age": pa.array([20.0, 30.0]),
        "occupation": pa.array(["writer", "cook"]),
        "item_id": pa.array(["1", "2"]),
        "title": pa.array(["a", "b"]),
        "genres": pa.array(["x", "y"]),
        "price": pa.array([1.0, 2.0]),
        "listed": pa.array([0, 0], pa.timestamp("us", "UTC")),
        "event_timestamp": pa.array([0, 0], pa.timestamp("us", "UTC")),
        "Device (type)": pa.array(["tv", "tv"]),
        "seconds": pa.array([1.0, 2.0]),
    }
    table = pa.table(rows)
    transform = Transform.fit(spec, table)
    unknown = table.set_column(2, "occupation", pa.array(["writer", None]))
    ids = request_ids(transform, spec, unknown)
    slot = int(transform.layout.slot_starts[transform.layout.names.index("occupation")])
    known = transform.ids(table)
    assert ids[0].tolist() == known[0].tolist()
    assert ids[1, slot] == OOV
    assert np.delete(ids[1], slot).tolist() == np.delete(known[1], slot).tolist()
