"""A running service compares what it scores with the bundle's profile, window by window."""

from __future__ import annotations

import asyncio
import json

import numpy as np

from llactr.ctr import Bundle, predict
from llactr.lifecycle.monitoring.profile import PROFILE, build_profile
from llactr.manifest import sealed
from llactr.store import training_rows
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
    asgi.runner.run(asyncio.sleep(0.5))


def test_windows_are_compared_and_told(workspace: Workspace) -> None:
    profiled(workspace)
    with started(workspace, monitor_rows=800) as asgi:
        asked(asgi, 199, {"Device (type)": "tv", "seconds": 3.0})
        assert asgi.metric("llactr_drift_windows_total") == 0
        asked(asgi, 1, {"Device (type)": "tv", "seconds": 3.0})
        assert asgi.metric("llactr_drift_windows_total") == 1
        text = asgi.ask("GET", "/metrics").body.decode()
    assert 'llactr_drift_alarm{of="Device (type)",what="psi"} 1.0' in text, "one value took over"
    assert 'llactr_drift_alarm{of="item_id",what="psi"} 0.0' in text


def test_a_bundle_without_a_profile_is_served_and_nothing_is_compared(workspace: Workspace) -> None:
    with started(workspace, monitor_rows=4) as asgi:
        asked(asgi, 3, {})
        assert asgi.metric("llactr_drift_windows_total") == 0
