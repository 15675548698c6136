"""`--bundle` means the same in every command."""

from __future__ import annotations

import shutil
from pathlib import Path


def test_predict_and_serve_refuse_a_name_of_two_bundles(ran, llactr, tmp_path, monkeypatch):
    """predict took the folder here, serve the workspace's: the same --bundle scored another model."""
    made = Path(ran.summary["bundle"])
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / made.name)
    row = '{"person": "p1", "dish": "d1", "device": "desk"}'
    given = ("--workspace", ran.workspace, "--bundle", made.name)
    for command in (("score", "--row", row), ("serve", "--port", "0", "--workers", "2")):
        answer = llactr(*command, *given)
        said = answer.err.replace("\n", "")
        assert answer.code == 2, answer.err
        assert f"bundle '{made.name}' is two" in said
        assert str(made) in said
        assert str(tmp_path / made.name) in said
    scored = llactr("score", "--row", row, "--workspace", ran.workspace, "--bundle", f"./{made.name}", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["bundle"] == made.name
