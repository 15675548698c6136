"""`llactr skew` is silent on an unchanged store and finds a planted change; `llactr check --url` holds over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from llactr.errors import ConsistencyError, DataError, InputError, NotReadyError, StoreError
from llactr.jobs import check, skew
from llactr.jobs.cli.console import Terminal
from llactr.steps import Job
from llactr.store import apply, open_store
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_process import Served
from tests.serving.serving_workspace import users_table, write_table

BODY = {"items": [str(i) for i in range(20)] + ["nope"], "context": {"seconds": 3}}


@pytest.fixture
def job(workspace: Workspace) -> Job:
    apply(workspace)
    return Job(workspace, Terminal())


def send(workspace: Workspace, *, times: int = 1) -> None:
    """Scores and logs requests of four users."""
    with started(workspace, log_rate=1.0) as asgi:
        for user in ("u1", "u2", "u7", "stranger") * times:
            assert asgi.ask("POST", "/v1/rank", BODY | {"user": user}).status == 200


def test_an_unchanged_store_has_no_skew(job: Job) -> None:
    send(job.workspace, times=2)  # the second time from the cache
    found = skew.run(job, "shop")
    assert found["rows"] == 8 * 21
    assert found["requests"] == 8
    assert {entry["mismatches"] for entry in found["fields"].values()} == {0}
    assert set(found["fields"]) == {"age", "occupation", "title", "genres", "price", "listed"}
    assert found["scores"][0]["rows_with_other_ids"] == 0
    assert found["scores"][0]["max_difference"] <= 1e-6
    assert found["holds"]
    assert "no skew" in skew.describe(found)


def test_a_value_changed_online_is_found(job: Job) -> None:
    change_online(job.workspace, "u2")
    send(job.workspace)
    found = skew.run(job, "shop")
    assert not found["holds"]
    ages, offline_age = found["fields"]["age"], users_table()["age"].to_pylist()[2]
    assert (ages["compared"], ages["mismatches"], ages["rate"]) == (84, 21, 0.25)
    assert ages["examples"][0] == {"key": "u2", "served": 99.0, "offline": offline_age}
    assert "'u2'" not in skew.describe(found)
    assert "u2: served 99.0" in skew.describe(found)
    assert found["scores"][0]["rows_with_other_ids"] == 21


def test_a_value_that_was_not_materialized_is_found(job: Job) -> None:
    table = users_table(when=datetime(2024, 6, 1, tzinfo=UTC))
    table["occupation"] = pa.array(["astronaut"] * len(table["user_id"]))
    write_table(job.workspace, "shop", "user", table, part=3)
    send(job.workspace)
    found = skew.run(job, "shop")
    assert found["fields"]["occupation"]["mismatches"] == 63  # all but the stranger
    assert found["fields"]["age"]["mismatches"] == 0


def test_without_a_log_or_with_a_damaged_one_it_says_so(job: Job) -> None:
    with pytest.raises(NotReadyError, match="run 'llactr serve --log-rate 1' and send requests first"):
        skew.run(job, "shop")
    folder = job.workspace.offline_table("shop", "served")
    folder.mkdir(parents=True)
    (folder / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"x\.parquet cannot be read"):
        skew.run(job, "shop")
    with pytest.raises(InputError, match="has no zone"):
        skew.run(job, "shop", since=datetime(2024, 1, 1))


def change_online(workspace: Workspace, user: str) -> None:
    """Writes another age and occupation of a user into the online store, past the offline one."""
    store = open_store(workspace)
    view = store.get_feature_view("shop__user")
    entity = EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=user)])
    now = datetime.now(UTC)
    values = {"age": Value(double_val=99.0), "occupation": Value(string_val="it's; DROP TABLE")}
    store.provider.online_write_batch(store.config, view, [(entity, values, now, now)], None)


def test_the_service_equals_the_offline_path_until_the_store_changes(job: Job, serve: Callable[..., Served]) -> None:
    served = serve(job.workspace, cache_ttl_s=0)
    url = f"http://127.0.0.1:{served.port}"
    found = check.check_url(job, "shop", url=url, rows=1000)
    assert (found["rows"], found["rows_with_other_ids"], found["holds"]) == (200, 0, True)  # the test split's rows
    assert found["max_score_difference"] <= 1e-6
    assert "200 test rows: 0 with other ids" in check.describe(found)
    for user in range(20):
        change_online(job.workspace, f"u{user}")
    with pytest.raises(ConsistencyError, match="the service and the offline path disagree"):
        check.check_url(job, "shop", url=url)


def test_check_says_what_is_wrong_with_its_address(job: Job, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no address"):
        check.check_url(job, "shop", url="ftp://x")
    with pytest.raises(StoreError, match="start it with 'llactr serve'"):
        check.check_url(job, "shop", url="http://127.0.0.1:9")
