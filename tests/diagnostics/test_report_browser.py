"""The report in a real browser: nothing wider than the window, no text too small to read, nothing fetched."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from llactr.diagnostics import ReportData, render_report
from tests.diagnostics.report_fakes import fake_comparison, fake_curves, fake_reading, fake_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1280, 768, 400, 320)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary on the path"),
]

# A frame of the wanted width stands for the window: Chromium itself does not get narrower than 500 pixels.
FRAME = '<iframe data-name="%s" style="border:0;width:%dpx;height:900px" srcdoc="%s"></iframe>'
MEASURE = """
<pre id="result"></pre><script>
function measured(frame) {
  const page = frame.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(found => found.open = true);
  const letters = [...page.querySelectorAll("svg text")].filter(found => found.getClientRects().length).map(found => {
    const svg = found.closest("svg");
    return parseFloat(getComputedStyle(found).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  });
  const escaping = [...page.querySelectorAll("body *")].filter(found => !found.closest(".scroll, .hidden, .skip") &&
    found.getBoundingClientRect().right > root.clientWidth + 1).map(found => found.outerHTML.slice(0, 90));
  return {width: root.clientWidth, needed: root.scrollWidth, smallest: Math.min(...letters, 99), escaping,
          height: root.scrollHeight, scripts: page.scripts.length};
}
addEventListener("load", () => {
  const all = [...document.querySelectorAll("iframe")].map(frame => [frame.dataset.name, measured(frame)]);
  document.getElementById("result").textContent = JSON.stringify(Object.fromEntries(all));
});
</script>
"""


def long_names() -> ReportData:
    names = [f"the_{'very_' * 12}long_field_number_{i}" for i in range(24)]
    comparisons = (fake_comparison("FM"), fake_comparison("FinalMLP", gains=(0.003, 0, 0)))
    data = fake_report(names=names, comparisons=comparisons)
    return data.model_copy(update={"title": "A" * 90, "dataset": "b" * 60})


def many_arms() -> ReportData:
    treatments = ("paper", "values untuned", "both")
    comparisons = tuple(fake_comparison(name, draws=5, treatments=treatments) for name in ("FM", "FinalMLP"))
    changes = {"test_reading": fake_reading(draws=5), "curves": fake_curves("FinalMLP", treatments=treatments)}
    return fake_report(comparisons=comparisons).model_copy(update=changes)


REPORTS = {"full": fake_report, "arms": many_arms, "long": long_names, "empty": lambda: ReportData(dataset="toy")}


@pytest.fixture(scope="module")
def measures(tmp_path_factory) -> dict:
    """What the browser measured, by report and width; it is started once."""
    folder = tmp_path_factory.mktemp("browser")
    pages = {name: html.escape(render_report(make())) for name, make in REPORTS.items()}
    frames = [FRAME % (f"{name} {width}", width, page) for name, page in pages.items() for width in WIDTHS]
    wrapper = folder / "wrapper.html"
    wrapper.write_text(f"<!DOCTYPE html><html><body>{''.join(frames)}{MEASURE}</body></html>", encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}", "--window-size=1400,900",
            "--virtual-time-budget=10000", "--dump-dom", wrapper.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True, env={**os.environ, "HOME": str(folder)},
    )  # fmt: skip
    found = re.search(r'<pre id="result">(.+?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, "the browser did not measure anything"
    return json.loads(html.unescape(found.group(1)))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("report", REPORTS)
def test_nothing_is_wider_than_the_window(report, width, measures):
    found = measures[f"{report} {width}"]
    assert found["escaping"] == []
    assert 0 < found["needed"] <= found["width"] <= width
    assert found["height"] > 900
    assert found["scripts"] == 0


@pytest.mark.parametrize("width", [1280, 400])
def test_letters_in_pictures_can_be_read(width, measures):
    assert measures[f"full {width}"]["smallest"] >= 8.5
