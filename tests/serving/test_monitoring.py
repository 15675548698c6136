"""A running service compares what it scores with the bundle's profile, window by window."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from feast.monitoring.monitoring_service import MonitoringService

from llactr.ctr import Bundle, predict
from llactr.lifecycle.monitoring.profile import PROFILE, build_profile
from llactr.manifest import sealed
from llactr.store import REPOSITORY, apply, training_rows
from llactr.store.feast.open import open_store
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started


def profiled(workspace: Workspace) -> None:
    folder = workspace.artifact("bundles", "first")
    bundle = Bundle.load(folder)
    rows = training_rows(workspace, bundle.spec)
    ids = bundle.transform.ids(rows)
    profile = build_profile(
        bundle.spec, bundle.transform.layout, ids, np.asarray(rows["label"], np.float32), predict(bundle.model, ids)
    )
    (folder / PROFILE).write_text(json.dumps(sealed(profile.model_dump(mode="json"))))


def asked(asgi: Asgi, requests: int, context: dict[str, object]) -> None:
    random = np.random.default_rng(1)
    for _ in range(requests):
        items = [str(one) for one in random.integers(0, 300, 4)]
        user, hour = f"u{random.integers(0, 40)}", int(random.integers(0, 24))
        body = {"user": user, "items": items, "timestamp": f"2024-01-02T{hour:02d}:00:00Z", "context": context}
        assert asgi.ask("POST", "/v1/rank", body).status == 200


def compared(asgi: Asgi) -> float:
    """Windows that were compared, once there is one; that is done beside the requests."""
    for _ in range(600):
        if found := asgi.metric("llactr_drift_windows_total"):
            return found
        asgi.runner.run(asyncio.sleep(0.05))
    return 0


def test_windows_are_compared_and_told(workspace: Workspace) -> None:
    profiled(workspace)
    with started(workspace, monitor_rows=800) as asgi:
        asked(asgi, 199, {"Device (type)": "tv", "seconds": 3.0})
        assert asgi.metric("llactr_drift_windows_total") == 0
        asked(asgi, 1, {"Device (type)": "tv", "seconds": 3.0})
        assert compared(asgi) == 1
        text = asgi.ask("GET", "/metrics").body.decode()
    assert 'llactr_drift_alarm{of="Device (type)",what="psi"} 1.0' in text, "one value took over"
    assert 'llactr_drift_alarm{of="item_id",what="psi"} 0.0' in text


def test_feasts_own_monitoring_reads_the_tables(workspace: Workspace, tmp_path: Path) -> None:
    """As `feast monitor run --set-baseline` does; it keeps what it finds beside its configuration."""
    shutil.copy(REPOSITORY / "feature_store.yaml", tmp_path / "feature_store.yaml")
    apply(workspace)
    store = open_store(workspace, config=tmp_path / "feature_store.yaml")
    store.config.repo_path = tmp_path
    done = MonitoringService(store).compute_baseline(project=store.config.project, feature_view_name="shop__user")
    assert done["status"] == "completed"
    (file,) = (tmp_path / "feast_monitoring").glob("*_feature_metrics.parquet")
    found = {row["feature_name"]: row for row in pq.read_table(file).to_pylist()}
    # Of 40 users, those whose number is a multiple of 7 (0 to 35: 6) have no age, every fifth has no occupation.
    assert {name: (row["row_count"], row["null_count"]) for name, row in found.items()} == {
        "age": (40, 6), "occupation": (40, 8),
    }  # fmt: skip


def test_a_bundle_without_a_profile_is_served_and_nothing_is_compared(workspace: Workspace) -> None:
    with started(workspace, monitor_rows=4) as asgi:
        asked(asgi, 3, {})
        assert asgi.metric("llactr_drift_windows_total") == 0
