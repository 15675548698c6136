"""A running service lets go of users that are forgotten: bundle, caches, and what waits for the served log."""

from __future__ import annotations

import asyncio

import pyarrow.parquet as pq
import pytest

from llactr.lifecycle.forgetting.users import forget_users
from llactr.store import OnlineReader, apply, materialize
from llactr.store.feast.expire import expire_users
from llactr.store.feast.open import open_store
from llactr.store.marks import Marks
from llactr.transforms import FORGOTTEN
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_process import Redis
from tests.serving.serving_workspace import REDIS_CONFIG, build, spec_of

BODY = {"items": ["1", "2", "3"], "timestamp": "2024-01-02T03:00:00Z"}


def test_a_running_service_forgets(workspace: Workspace) -> None:
    apply(workspace)
    with started(workspace, log_rate=1.0, log_flush_s=3600.0, bundle="first") as asgi:

        def scores(user: str) -> list[float]:
            answer = asgi.ask("POST", "/v1/rank", BODY | {"user": user})
            assert answer.status == 200, answer.body
            return list(answer.json["scores"])

        known, other, stranger = scores("u1"), scores("u2"), scores("nobody")
        assert known != stranger
        old = asgi.service.main
        assert "u1" in old.examples()["user"]

        async def forget() -> object:
            return await asyncio.to_thread(forget_users, workspace, "shop", ["u1"], wait_s=60)

        receipt = asgi.runner.run(forget())
        assert not any("has not confirmed" in one for one in receipt.left)
        assert receipt.removed["served log"] == 3
        assert asgi.service.main is not old
        assert asgi.service.main.id == "first"
        assert scores("u1") == stranger
        assert scores("u2") == pytest.approx(other, abs=1e-7)
        listed = asgi.service.main.examples()["user"]
        assert "u1" not in listed
        assert not any(key.startswith(FORGOTTEN) for key in listed)
    # What was logged since is of a user who came again; what was logged before is gone.
    rows = pq.read_table(workspace.offline_table("shop", "served"))["user_id"].to_pylist()
    assert sorted(set(rows)) == ["nobody", "u1", "u2"]
    assert rows.count("u1") == 3


def test_a_service_that_does_not_confirm_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(workspace)
    with started(workspace):  # its loop stands still while this thread forgets
        receipt = forget_users(workspace, "shop", ["u1"], wait_s=0.3)
    assert any("which has not confirmed: restart it" in one for one in receipt.left)
    assert receipt.done


@pytest.mark.redis
def test_users_leave_a_redis_store(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLACTR_REDIS", redis.address)
        workspace, spec = build(tmp_path_factory.mktemp("redis-forget") / "ws", feast_config=REDIS_CONFIG), spec_of()
        assert expire_users(workspace, spec, ["u1", "u5", "nobody"], config=REDIS_CONFIG) == {"shop__user": 2}
        store = open_store(workspace, config=REDIS_CONFIG)
        marks = Marks(store.config, store.provider.online_store)
        mark = marks.read(["shop__user"])["shop__user"]
        keys = marks.keys("shop__user", mark)
        assert keys is not None
        assert ("u1",) not in keys.rows()
        assert ("u2",) in keys.rows()
        assert len(keys) == 38
        assert expire_users(workspace, spec, ["u1"], config=REDIS_CONFIG) == {}
        # The store is whole: the others are read as before.
        OnlineReader(workspace, spec, config=REDIS_CONFIG).require_whole()
        materialize(workspace, config=REDIS_CONFIG)  # other tests share the server
