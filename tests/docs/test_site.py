"""The site builds without a warning and without a network; its reference is the code's; the tutorials' commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from llactr.jobs.cli import app
from llactr.spec import DatasetSpec
from tests.jobs.tiny_dataset import write_dataset
from tests.store.repository.driver_stats import write_repository

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("material", reason="the site needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr[-3000:]
    return out


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    elsewhere = {
        f"{page.name}: {found}"
        for page in pages
        for found in re.findall(
            r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]+)|<link[^>]*stylesheet[^>]*href=\"(https?:[^\"]+)",
            page.read_text("utf-8"),
        )
    }
    assert elsewhere == set()


def test_the_reference_has_every_flag_and_every_key(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text("utf-8")
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert f"llactr {name}" in commands
        for parameter in command.params:
            assert all(flag in commands for flag in parameter.opts if flag.startswith("--")), (name, parameter.opts)
    spec = (site / "reference" / "spec.html").read_text("utf-8")
    assert all(f"<code>{name}</code>" in spec for name in DatasetSpec.model_fields)
    assert "POST /v1/rank" in (site / "reference" / "http.html").read_text("utf-8")
    python = (site / "reference" / "python.html").read_text("utf-8")
    assert "OpenWorkspace.training_set" in python


def test_every_page_is_in_the_navigation(site: Path) -> None:
    said = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}" in said, f"{page.name} is in no place of mkdocs.yml"


TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    """In one shell after another, in a folder with the small dataset's files, or with a Feast repository."""
    if page.stem == "own-feast":
        write_repository(tmp_path, start=datetime.now(UTC) - timedelta(days=3))
        (tmp_path / "spec.yaml").unlink()
    else:
        write_dataset(tmp_path).unlink()
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name, module in (("llactr", "-m llactr.jobs.cli"), ("python", "")):
        (bin_folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -W ignore {module} "$@"\n')
        (bin_folder / name).chmod(0o755)
    (bin_folder / "feast").symlink_to(Path(sys.executable).with_name("feast"))
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONPATH": str(ROOT),
    }
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    assert blocks
    for block in blocks:
        found = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, f"{block}\n{found.stdout}\n{found.stderr}"
