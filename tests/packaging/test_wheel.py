"""What is installed: one name at the top level, the specs with it, and a base install that scores and serves."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"sentence-transformers", "transformers", "peft", "gguf", "matplotlib", "faiss-cpu", "scikit-learn"}

BLOCKED = """
import importlib, importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run(command: list[str | Path], **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True, **settings)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, so that setuptools leaves nothing in the checkout.
    source = folder / "source"
    files = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT)
    if files.returncode:
        pytest.skip("not a git checkout")
    source.mkdir()
    names = [name for name in files.stdout.split("\0") if name and os.path.lexists(ROOT / name)]
    copied = run(["cp", "-P", "--parents", *names, source], cwd=ROOT)
    assert copied.returncode == 0, copied.stderr
    built = run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source])
    assert built.returncode == 0, built.stderr
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_installs_one_name(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"llactr"}


@pytest.mark.parametrize(
    "path",
    [
        "specs/movielens-100k.yaml", "jobs/cli/__init__.py", "serving/app.py", "serving/static/index.html", "py.typed",
        "feature_repo/feature_store.yaml", "feature_repo/definitions.py", "diagnostics/templates/report.html",
    ],
)  # fmt: skip
def test_the_wheel_holds_what_a_user_needs(wheel: Path, path: str) -> None:
    assert f"llactr/{path}" in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_every_python_file_of_the_rooms(wheel: Path) -> None:
    inside = {name.removeprefix("llactr/") for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    rooms = [ROOT / "llactr", ROOT / "jobs", ROOT / "serving", ROOT / "feature_repo"]
    here = {
        str(path.relative_to(room if room.name == "llactr" else ROOT))
        for room in rooms
        for folder, _, names in os.walk(room)
        for path in (Path(folder) / name for name in names)
        if path.suffix == ".py"
    }
    assert inside == here


def test_the_base_install_needs_no_language_model_and_no_pictures(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    wanted = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist") or []
    base = {re.split(r"[ \[<>=!~;]", line)[0].lower() for line in wanted if "extra ==" not in line}
    assert "torch" in base
    assert "fastapi" in base
    assert not base & HEAVY


@pytest.mark.parametrize(
    "module", ["llactr.serving.server", "llactr.jobs.train", "llactr.jobs.materialize", "llactr.jobs.ingest"]
)
def test_what_scores_and_serves_imports_nothing_of_the_extras(module: str) -> None:
    absent = {"sentence_transformers", "transformers", "peft", "gguf", "matplotlib", "sklearn", "optuna"}
    done = run([sys.executable, "-c", BLOCKED.format(absent=absent) + f"import {module}"], cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_missing_extra_is_named() -> None:
    source = BLOCKED.format(absent={"sentence_transformers", "transformers", "peft"}) + (
        "from llactr.semantics import EncoderConfig, load_encoder\nload_encoder(EncoderConfig())"
    )
    done = run([sys.executable, "-c", source], cwd=ROOT)
    assert done.returncode == 1
    assert re.search(r"InputError: the package '\w+' is not installed: run pip install 'llactr\[encode\]'", done.stderr)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment outside the checkout, with the wheel and the extras of the quickstart."""
    folder = tmp_path_factory.mktemp("outside")
    run([sys.executable, "-m", "venv", folder / "env"])
    pip = [folder / "env" / "bin" / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    base = run([*pip, wheel])
    assert base.returncode == 0, base.stderr
    present = {line.partition("==")[0].lower() for line in run([*pip[:3], "freeze"]).stdout.splitlines()}
    assert not present & HEAVY, "the base install brings what only extras should"
    extras = run([*pip, f"llactr[cpu,encode,report] @ {wheel.as_uri()}"])
    assert extras.returncode == 0, extras.stderr
    return folder


@pytest.fixture(scope="module")
def quickstart(installed: Path) -> Path:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LLACTR"))}
    done = run([installed / "env/bin/llactr", "quickstart", "--json"], cwd=installed, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["dataset"] == "movielens-100k"
    return installed


@pytest.fixture
def served(quickstart: Path) -> Iterator[str]:
    command = [quickstart / "env/bin/llactr", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=quickstart, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
            address = next((found[0] for found in said if found), None)
            assert address, "the service said no address"
            yield address
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_a_wheel_outside_the_checkout_runs_the_quickstart_and_serves(served: str) -> None:
    body = json.dumps({"user": "405", "items": ["50", "181", "258"], "top_k": 2}).encode()
    request = urllib.request.Request(f"{served}/v1/rank", body, {"Content-Type": "application/json"})
    for _ in range(100):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                ranked = json.load(answer)
            break
        except OSError:
            time.sleep(0.2)
    assert len(ranked["items"]) == 2


@pytest.mark.slow
def test_feast_works_in_the_installed_repository(quickstart: Path) -> None:
    environment = {**os.environ, "LLACTR_WORKSPACE": str(quickstart / ".llactr")}
    environment.pop("PYTHONPATH", None)
    (repository,) = (quickstart / "env/lib").glob("python3.*/site-packages/llactr/feature_repo")
    done = run([quickstart / "env/bin/feast", "-c", repository, "apply"], cwd=quickstart, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
