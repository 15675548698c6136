"""`llactr monitor` on events and on the served log; profiles in bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.ctr import Bundle
from llactr.errors import BundleError
from llactr.lifecycle.monitoring.profile import PROFILE, read_profile
from llactr.transforms import NULL
from llactr.workspace import Workspace
from tests.jobs.conftest import Answer, Ran

Call = Callable[..., Answer]


@pytest.fixture
def workspace(ran: Ran, tmp_path: Path, llactr: Call) -> Workspace:
    shutil.copytree(ran.workspace, tmp_path / "ws")
    workspace = Workspace.at(tmp_path / "ws")
    assert llactr("apply", "--workspace", workspace.root).code == 0
    return workspace


def test_a_bundle_has_a_profile_of_the_rows_that_it_was_chosen_on(workspace: Workspace) -> None:
    folder = workspace.current("tiny")["train"]
    profile, bundle = read_profile(folder), Bundle.load(folder)
    assert profile is not None
    assert [one.name for one in profile.fields] == list(bundle.spec.field_names)
    test = bundle.metrics["test"]
    assert 0 < test["rows"] < profile.rows, "validation too"
    assert profile.scores is not None
    assert sum(profile.scores.counts) == profile.rows
    assert {one.rows for one in profile.fields if one.name != "tags"} == {profile.rows}
    content = json.loads((folder / PROFILE).read_text())
    (folder / PROFILE).write_text(json.dumps(content | {"label_rate": 0.9}))
    with pytest.raises(BundleError, match=r"profile .* is damaged"):
        read_profile(folder)


def test_events_and_the_file_for_prometheus(workspace: Workspace, llactr: Call, tmp_path: Path) -> None:
    at = ("--workspace", workspace.root)
    said = llactr("monitor", "--source", "events", "--rows", 500, "--metrics", tmp_path / "drift.prom", *at)
    assert said.code in {0, 1}, said.err
    assert "windows of events" in said.out
    assert (
        llactr("monitor", "--source", "events", "--rows", 500, "--page", tmp_path / "page.html", *at).code == said.code
    )
    page = (tmp_path / "page.html").read_text()
    names = Bundle.load(workspace.current("tiny")["train"]).spec.field_names
    assert [name for name in names if f'<th scope="row">{name}<br>' not in page] == []
    assert page.count("shares of values as they were and as they are") == len(names) + 1, "and of the scores"
    text = (tmp_path / "drift.prom").read_text()
    assert 'what="label rate",of=""}' in text
    assert "# TYPE llactr_drift_distance gauge" in text


def test_a_column_that_went_null_in_the_served_log_is_an_alarm(workspace: Workspace, llactr: Call) -> None:
    folder = workspace.current("tiny")["train"]
    layout, random = Bundle.load(folder).transform.layout, np.random.default_rng(0)
    ids = np.stack([random.integers(3, size, 400) for size in np.array(layout.vocab_sizes)[layout.slot_fields]], 1)
    ids[:, layout.names.index("job")] = NULL
    table = pa.table(
        {
            "served_request": [str(number) for number in range(400)],
            "served_at": pa.array(range(400), pa.timestamp("us", "UTC")),
            "served_bundle": [folder.name] * 400,
            "served_score": pa.array(random.random(400), pa.float32()),
            "served_ids": pa.array(ids.tolist(), pa.list_(pa.int32())),
        }
    )
    place = workspace.offline_table("tiny", "served")
    place.mkdir(parents=True)
    pq.write_table(table, place / "a.parquet")
    found = llactr("monitor", "--json", "--workspace", workspace.root)
    assert found.code == 1
    assert found.json["source"] == "served"
    (window,) = found.json["windows"]
    nulls = next(one for one in window["findings"] if (one["what"], one["of"]) == ("nulls", "job"))
    assert (nulls["found"], nulls["distance"] > nulls["limit"]) == (1.0, True)


def test_nothing_logged_is_said(workspace: Workspace, llactr: Call) -> None:
    refused = llactr("monitor", "--source", "served", "--workspace", workspace.root)
    assert (refused.code, "run 'llactr serve --log-rate 1'" in refused.err) == (2, True)
    wrong = llactr("monitor", "--source", "x", "--workspace", workspace.root)
    assert (wrong.code, "choose served or events" in wrong.err) == (2, True)
