"""The example rules and dashboard ask for what a service and `llactr monitor --metrics` really expose, labels included."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from llactr.lifecycle.monitoring.prometheus import exposition
from llactr.lifecycle.monitoring.watch import Freshness, MonitoredWindow, Monitoring
from llactr.lifecycle.monitoring.window import Finding
from llactr.serving.metrics import Metrics, ShadowMetrics

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "monitoring"
OF_PROMETHEUS = {"instance", "job", "le"}


def of_service() -> dict[str, set[str]]:
    """Name of each series -> its labels, once each metric has counted something."""
    metrics = Metrics()
    ShadowMetrics(metrics.registry)
    for name in list(metrics.registry._collector_to_names):
        labels = name._labelnames  # type: ignore[attr-defined]
        one = name.labels(*labels) if labels else name  # type: ignore[attr-defined]
        one.observe(1) if hasattr(one, "observe") else one.inc()
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def of_monitor() -> dict[str, set[str]]:
    now = datetime(2024, 1, 1, tzinfo=UTC)
    finding = Finding(what="psi", of="age", distance=1.0, limit=0.1, expected=None, found=None)
    found = Monitoring(
        dataset="shop", bundle="first", source="events", profile_rows=1,
        windows=(MonitoredWindow(first=now, last=now, rows=1, findings=(finding,)),),
        freshness=(Freshness(table="item", newest=now, age_s=1, longest_gap_s=1, is_stale=False),),
    )  # fmt: skip
    families = text_string_to_metric_families(exposition(found))
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def hold(expression: str, where: str) -> None:
    """Each series that is asked for is there, with the labels that it is chosen and grouped by."""
    known = of_service()
    for name, labels in of_monitor().items():
        known[name] = known.get(name, set()) | labels
    asked = re.findall(r"\b(llactr_\w+)(?:\{([^}]*)\})?", expression)
    assert asked, where
    labels: set[str] = set(OF_PROMETHEUS)
    for name, chosen in asked:
        assert name in known, (where, name)
        assert set(re.findall(r"(\w+)\s*[=!]~?", chosen)) <= known[name] | OF_PROMETHEUS, (where, name)
        labels |= known[name]
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {one.strip() for one in group.split(",")} <= labels, where


def test_what_is_asked_for_is_looked_at() -> None:
    for wrong in ('llactr_drift_alarm{field="age"}', "llactr_requests", "sum by (worker) (llactr_requests_total)"):
        try:
            hold(wrong, "wrong")
        except AssertionError:
            continue
        raise ValueError(f"{wrong} was let through")


def test_rules() -> None:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert len(group["rules"]) >= 6
    for rule in group["rules"]:
        hold(rule["expr"], rule["alert"])
        assert rule["annotations"]["summary"]


def test_dashboard() -> None:
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) == 10
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    assert len(places) == 10
    for panel in board["panels"]:
        for target in panel["targets"]:
            hold(target["expr"], panel["title"])
