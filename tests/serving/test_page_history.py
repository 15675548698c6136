"""The demo page of a bundle with history, driven in a real browser: a click becomes an event, and the ranking changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from llactr.workspace import Workspace
from tests.serving.browser import Page
from tests.serving.serving_process import Served

pytestmark = pytest.mark.browser
SCORES = "[...document.querySelectorAll('.item .score')].map((one) => one.textContent).join()"


def test_a_click_is_pushed_and_the_ranking_is_another_one(
    past_workspace: Workspace, serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(past_workspace, variables={"LLACTR_API_KEYS": "k" * 24})
    with Page(f"http://127.0.0.1:{served.port}/", tmp_path / "profile") as page:
        page.until("document.getElementById('key-form')?.hidden === false")  # the key that the page asks for
        page.value(f"document.getElementById('key').value = '{'k' * 24}'")
        page.value("document.getElementById('key-form').requestSubmit()")
        page.until("document.body.dataset.ready")
        assert page.value("document.getElementById('past').hidden") is False
        assert page.value("document.getElementById('no-past').hidden") is True
        before, past = page.value(SCORES), page.value("document.getElementById('recent').textContent")
        title = page.value("document.querySelectorAll('.item .words')[2].textContent")
        page.value("document.querySelectorAll('.item')[2].click()")
        note = page.until("document.getElementById('push-note').textContent.match(/^pushed.*/)?.[0]")
        assert note == f"pushed: a click on {title}"
        assert page.value(SCORES) != before
        assert page.value("document.getElementById('recent').textContent") != past
        assert page.value("document.querySelector('#recent li').innerText").split("\n")[:2] == ["✓", title]
        page.value("document.querySelector('.item .acts button:nth-child(2)').click()")
        assert "no click" in page.until(
            "document.querySelector('#recent .no') && document.getElementById('push-note').textContent.match(/no click.*/)?.[0]"
        )
        page.value("document.querySelector('.item .acts button:last-child').click()")
        page.until("!document.getElementById('why').hidden")
        assert page.value("document.querySelectorAll('#why .near').length") == 18
        assert page.value("document.getElementById('message').textContent") == ""


def test_without_history_nothing_of_it_is_shown(
    workspace: object, serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(workspace)
    with Page(f"http://127.0.0.1:{served.port}/", tmp_path / "profile") as page:
        page.until("document.body?.dataset.ready")
        hidden = "['past', 'push-note', 'why'].map((id) => document.getElementById(id).hidden)"
        assert page.value(hidden) == [True, True, True]
        assert page.value("document.getElementById('no-past').hidden") is False
        assert page.value("document.getElementById('no-past').textContent") == (
            "This model reads no past: what a person did changes nothing here."
        )
        assert page.value("document.querySelectorAll('.acts').length") == 0
        assert page.value("document.getElementById('moment').value") != ""


def test_where_there_are_no_items_the_page_says_what_is_missing(
    workspace: object, serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(workspace)
    names_none = """
        const asked = window.fetch;
        window.fetch = async (path, ...more) => {
            const answer = await asked(path, ...more);
            if (path !== "/v1/model") return answer;
            const model = await answer.json();
            model.examples = { user: model.examples.user };
            if (WITHOUT_FIELDS) model.fields = model.fields.filter((field) => field.owner !== "item");
            return new Response(JSON.stringify(model));
        };
    """
    for without, missing in (
        ("false", "training saw no items by their keys: name some under Rank these as well"),
        ("true", "this dataset has no items: score rows with /v1/predict"),
    ):
        first = names_none.replace("WITHOUT_FIELDS", without)
        with Page(f"http://127.0.0.1:{served.port}/", tmp_path / f"profile-{without}", first=first) as page:
            assert page.until("document.getElementById('columns')?.textContent") == missing
            assert page.until("document.getElementById('message').textContent") == "there are no items to rank"
