"""The demo page in a real browser: what it shows is what the service answers. Headless Chromium, over its own protocol."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from llactr.store import materialize
from llactr.workspace import Workspace
from tests.serving.serving_process import Served
from tests.serving.unseen_workspace import write_vectors

pytestmark = pytest.mark.browser
STATIC = Path(__file__).resolve().parents[2] / "serving" / "static"


def chromium(url: str, tmp_path: Path, *flags: str) -> str:
    """The page's document after its scripts have run."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine: install the package chromium")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={tmp_path}/profile",
    ]
    command += ["--virtual-time-budget=15000", "--dump-dom", *flags, url]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def test_the_page_ranks_compares_and_maps(workspace: Workspace, serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(workspace, compare_bundle="plain")
    picture = tmp_path / "page.png"
    page = chromium(f"http://127.0.0.1:{served.port}/", tmp_path, "--window-size=1280,1600")
    assert 'data-ready="yes"' in page
    assert len(re.findall(r'class="item[ "]', page)) == 24  # twelve of each bundle
    plain, enhanced = page.index("deepfm · plain"), page.index("deepfm · enhanced")
    assert plain < enhanced
    model = served.ask("GET", "/v1/model").json
    fields = len(model["fields"])
    assert len(re.findall(r'class="cell"', page)) == fields * fields
    assert "cold start" not in page
    # Each item has its key beside its title, and context fields offer what training saw.
    assert set(re.findall(r'class="of" title="its key">([^<]*)<', page)) <= set(model["examples"]["item"])
    offers = {field["name"]: field["values"] for field in model["fields"]}
    assert offers["Device (type)"]
    assert all(not values for name, values in offers.items() if name != "Device (type)")
    offered = re.search(r'data-field="Device \(type\)"[^>]*list="([^"]*)"', page)
    assert offered is not None
    options = re.search(rf'<datalist id="{offered[1]}">(.*?)</datalist>', page)
    assert options is not None
    assert re.findall(r'value="([^"]*)"', options[1]) == offers["Device (type)"]
    # The first of the right column is the item that the service ranks first.
    body = {
        "user": model["examples"]["user"][0],
        "items": model["examples"]["item"],
        "top_k": 1,
        "return_features": True,
    }
    best = served.ask("POST", "/v1/rank", body).json
    everything = served.ask("POST", "/v1/rank", {**body, "top_k": len(body["items"])}).json
    known = dict(zip(everything["items"], everything["features"]["title"], strict=True))
    missing = [item for item in body["items"] if known[item] is None]
    said = re.search(r'id="missing"[^>]*>([^<]*)<', page)
    assert said is not None
    assert missing
    assert said[1].split(": ")[1].split(", ") == missing
    first = re.search(r'class="words">([^<]*)<', page[enhanced:])
    assert first is not None
    assert first[1] == best["features"]["title"][0]
    chromium(f"http://127.0.0.1:{served.port}/", tmp_path, "--window-size=400,1200", f"--screenshot={picture}")
    assert picture.stat().st_size > 20_000


def test_a_new_item_is_among_the_ranked_and_marked(
    unseen_workspace: Workspace, serve: Callable[..., Served], tmp_path: Path
) -> None:
    write_vectors(unseen_workspace, [("item_id", "new-1")])
    materialize(unseen_workspace)
    served = serve(unseen_workspace)
    page = chromium(f"http://127.0.0.1:{served.port}/?items=new-1,%20new-2,%20nowhere", tmp_path)
    assert 'data-ready="yes"' in page
    shown = re.findall(r'class="words">([^<]*)</span>(?:<span class="(new[^"]*)"[^>]*>([^<]*)<)?', page)
    assert ("brand new", "new", "new") in shown
    asked = {words: said for words, kind, said in shown if kind == "new asked"}
    assert asked == {"title 5": asked["title 5"], "nowhere": "not in the store"}
    said = re.search(r'id="missing"[^>]*>([^<]*)<', page)
    assert said is not None
    assert said[1].split(": ")[1].split(", ")[0].split(" and ")[0] == "nowhere"
    assert "new-1" not in said[1]
    assert '<span class="of" title="its key">new-1</span>' in page
    assert "placed by its text: item_id" in page
    assert 12 <= len(shown) <= 15, "the best twelve, and the three that were asked for"


def test_the_page_asks_for_a_key_where_one_is_needed(
    workspace: Workspace, serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(workspace, variables={"LLACTR_API_KEYS": "k" * 24})
    page = chromium(f"http://127.0.0.1:{served.port}/", tmp_path)
    assert '<form id="key-form" class="key">' in page
    assert "the API key is missing" in page


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text))
        assert addresses <= {"http://www.w3.org"}, f"{path.name}: {addresses}"
        assert "innerHTML" not in text  # values of the store are text, never markup
