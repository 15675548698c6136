"""Small pictures measured by hand, and a page that says what was found, escaped, with nothing fetched."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest

from llactr.lifecycle.monitoring.page import page
from llactr.lifecycle.monitoring.pictures import histogram, trend
from llactr.lifecycle.monitoring.shadowed import Shadowed
from llactr.lifecycle.monitoring.watch import Counted, Freshness, MonitoredWindow, Monitoring
from llactr.lifecycle.monitoring.window import Finding

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_bars_have_the_heights_of_shares() -> None:
    drawn = ElementTree.fromstring(histogram([1, 1, 0], [3, 0, 1], label='a "label" & more'))
    bars = drawn.findall("rect")
    # Shares 1/2 1/2 0 against 3/4 0 1/4; the highest, 3/4, fills 36 pixels.
    heights = [float(bar.get("height", "")) for bar in bars]
    assert heights == [24, 36, 24, 0, 0, 12]
    assert [float(bar.get("y", "")) for bar in bars] == [36 - height for height in heights]
    assert [bar.get("class") for bar in bars] == ["was", "now"] * 3
    assert drawn.get("aria-label") == 'a "label" & more'


def test_a_line_goes_through_the_distances() -> None:
    drawn = ElementTree.fromstring(trend([0.0, 0.2, 0.1], 0.15, label="psi"))
    (line,), (dashed,), (dot,) = (drawn.findall(name) for name in ("polyline", "line", "circle"))
    # From 2 (0.2, the highest) to 34 (0): 32 pixels for 0.2; three windows over 104 pixels.
    assert line.get("points") == "3.00,34.00 55.00,2.00 107.00,18.00"
    assert dashed.get("y1") == "10.00"
    assert (dot.get("cx"), dot.get("cy"), dot.get("class")) == ("107.00", "18.00", "now")
    over = ElementTree.fromstring(trend([0.1, 0.3], 0.15, label="psi")).find("circle")
    assert over is not None
    assert over.get("class") == "over"


def test_one_window_is_a_dot_and_what_is_not_judged_has_no_limit() -> None:
    drawn = ElementTree.fromstring(trend([0.1], math.inf, label="psi"))
    assert [one.tag for one in drawn] == ["circle"]
    assert ElementTree.fromstring(trend([], 0.1, label="none")).findall("circle") == []
    flat = ElementTree.fromstring(histogram([0, 0], [0, 0], label="nothing came"))
    assert {float(bar.get("height", "")) for bar in flat.findall("rect")} == {0}


def finding(what: str, of: str, distance: float, limit: float, **shares: float) -> Finding:
    expected, found = shares.get("was"), shares.get("now")
    return Finding(what=what, of=of, expected=expected, found=found, distance=distance, limit=limit)


@pytest.fixture
def found() -> Monitoring:
    def window(day: int, psi: float) -> MonitoredWindow:
        findings = (
            finding("psi", "<b>age</b>", psi, 0.1), finding("nulls", "<b>age</b>", 0.01, 0.02, was=0.0, now=0.01),
            finding("label rate", "", 0.02, 0.05, was=0.3, now=0.32), finding("cold", "item", 0.0, 0.02, was=0.1, now=0.1),
        )  # fmt: skip
        return MonitoredWindow(first=START.replace(day=day), last=START.replace(day=day), rows=500, findings=findings)

    return Monitoring(
        dataset="shop", bundle="one", source="events", profile_rows=9000,
        windows=(window(1, 0.05), window(2, 0.5)),
        freshness=(Freshness(table="item", newest=START, age_s=172_800, longest_gap_s=3600, is_stale=True),),
        counted=(Counted(name="<b>age</b>", owner="user", was=(5, 5), now=(9, 1)),
                 Counted(name="", owner="", was=(1, 2), now=(2, 1))),
        shadows=(Shadowed(bundle="one", shadow="two", rows=1200, with_outcome=900, clicks=300, auc=0.7, shadow_auc=0.75,
                          gain=(0.0, 0.1), logloss=0.6, shadow_logloss=0.5, mean_difference=0.01),),
    )  # fmt: skip


def test_the_page_says_what_was_found(found: Monitoring) -> None:
    text = page(found)
    assert page(found) == text
    assert "<h1>shop: alarms in 1 windows and 1 tables stand still</h1>" in text
    assert "2 windows of events, 1,000 rows, against 9,000 rows" in text
    assert "2026-01-02 00:00: psi of &lt;b&gt;age&lt;/b&gt;: 0.500, limit 0.100" in text
    assert "<b>" not in text, "what comes from data is escaped"
    assert '<small class="alarm">0.500</small>' in text
    assert "<small>1.0%, was 0.0%</small>" in text
    assert "label rate" in text
    assert "cold item" in text
    assert re.findall(r'<td class="alarm">([^<]*)', text) == ["2.0 days"]
    assert "<td>0.7500</td><td>0.7000</td>" in text
    # Histograms of the field and of the scores; of psi, nulls, cold and the label rate a line each.
    assert len(re.findall(r"<svg role=\"img\"", text)) == 6
    assert not re.search(r"<script|<link|<img|src=|url\(|http", text)


def test_a_quiet_page(found: Monitoring) -> None:
    quiet = found.model_copy(update={"windows": found.windows[:1], "freshness": (), "shadows": ()})
    text = page(quiet)
    assert "<h1>shop: nothing has changed</h1>" in text
    assert 'class="alarm"' not in text
    assert "Beside the answers" not in text
