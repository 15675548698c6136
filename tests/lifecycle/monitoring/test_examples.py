"""The example rules and dashboard name metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from llactr.serving.metrics import Metrics

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "monitoring"
OF_MONITOR = {"llactr_table_age_seconds", "llactr_table_stale"}
SUFFIXES = ("_total", "_bucket", "_count", "_sum", "")


def known() -> set[str]:
    names = {metric.name for metric in Metrics().registry.collect()}
    return {f"{name}{suffix}" for name in names for suffix in SUFFIXES} | OF_MONITOR


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bllactr_\w+", expression))


def test_rules() -> None:
    (group,) = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    assert len(group["rules"]) >= 6
    for rule in group["rules"]:
        assert named(rule["expr"])
        assert named(rule["expr"]) <= known(), rule["alert"]
        assert rule["annotations"]["summary"]


def test_dashboard() -> None:
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"]) == 8
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert named(target["expr"]) <= known(), panel["title"]
