"""What git holds, what the documents link to, and what stays out of the product."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 50_000  # bytes
PICTURES = {".png", ".svg", ".jpg", ".gif", ".ico"}
LOCKS = {"constraints.txt"}
ENTRY_POINTS = {
    "llactr.backbones",
    "llactr.encoders",
    "llactr.datasets",
    "llactr.readers",
    "llactr.exports",
    "llactr.rivals",
}
NAMED = re.compile(
    r"`((?:llactr|jobs|serving|feature_repo|benchmarks|research|tests|docs|examples)/[a-z_/0-9-]+\.\w+)`"
)
MODULE = re.compile(
    r"python[\d.]* -m ((?:llactr|benchmarks|research|tests)[a-z0-9_.]*[a-z0-9_])(?= |`|$)", re.MULTILINE
)
DOTTED = re.compile(r"`(llactr(?:\.\w+)+)`")
LINK = re.compile(r"(?<!`)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git holds."""
    try:
        found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = found.stdout.decode().split("\0")[:-1]
    files = [ROOT / name for name in names]
    return [file for file in files if file.is_file() and not file.is_symlink()]


def test_no_file_is_large_but_fixtures_pictures_and_locks(tracked: list[Path]) -> None:
    assert len(tracked) > 300
    large = [
        f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes"
        for file in tracked
        if file.stat().st_size > LARGEST
        and file.suffix not in PICTURES
        and file.name not in LOCKS
        and not ("tests" in file.relative_to(ROOT).parts and "fixtures" in file.relative_to(ROOT).parts)
    ]
    assert not large, "keep results as Parquet (python -m research.results keep), data out of git"


def test_json_is_not_where_results_are_kept(tracked: list[Path]) -> None:
    assert sum(file.stat().st_size for file in tracked if file.suffix == ".json") < 100_000


def _prose(page: Path) -> Iterator[str]:
    """The lines of a page that are not code."""
    code = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            yield line


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = [line.lstrip("#").strip() for line in _prose(page) if re.match(r"#{1,6} ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


def _broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in [link for line in _prose(page) for link in LINK.findall(line)]:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    return broken


def _gone(page: Path) -> list[str]:
    """Files of this project that a page names in backticks, with their folder, and that are not there."""
    named = [name for line in _prose(page) for name in NAMED.findall(line)]
    return [name for name in named if not (ROOT / name).exists()]


def test_files_that_documents_name_are_there(tracked: list[Path]) -> None:
    pages = [file for file in tracked if file.suffix == ".md" and file.name != "CHANGELOG.md"]
    gone = {str(page.relative_to(ROOT)): found for page in pages if (found := _gone(page))}
    assert not gone


def _module(name: str) -> Path | None:
    """The file of a module, or the folder of a package."""
    path = ROOT.joinpath(*name.split("."))
    file = path.with_suffix(".py")
    return file if file.is_file() else path if path.is_dir() else None


def _unheard(page: Path) -> list[str]:
    """Modules that a page runs or names, and names in modules, that are not there."""
    text = page.read_text(encoding="utf-8")
    unheard = []
    for name in MODULE.findall(text):
        found = _module(name)
        if found is None or (found.is_dir() and not (found / "__main__.py").is_file()):
            unheard.append(f"python -m {name}")
    for name in DOTTED.findall(text):
        home, _, last = name.rpartition(".")
        found = _module(home)
        if found is not None and found.is_dir():
            found = found / "__init__.py"
        there = found is not None and re.search(rf"\b{last}\b", found.read_text(encoding="utf-8"))
        if not (_module(name) or there or name in ENTRY_POINTS):
            unheard.append(name)
    return unheard


def test_modules_that_documents_name_are_there(tracked: list[Path]) -> None:
    pages = [file for file in tracked if file.suffix == ".md" and file.name != "CHANGELOG.md"]
    unheard = {str(page.relative_to(ROOT)): found for page in pages if (found := _unheard(page))}
    assert not unheard


def test_a_module_that_is_not_there_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`llactr.ctr.train` `llactr.store.asof` `llactr.errors.InputError` `llactr.jobs.train` `llactr.jobs.gone`\n"
        "`llactr.spec.Gone` `llactr.readers` `python -m research.results show` `python -m tests.faults`\n"
        "```\npython -m benchmarks.gone --out x\npython -m llactr.ctr\n.venv/bin/python -m benchmarks.serving\n```\n"
    )
    assert _unheard(page) == [
        "python -m benchmarks.gone",
        "python -m llactr.ctr",
        "llactr.jobs.gone",
        "llactr.spec.Gone",
    ]


def test_links_of_the_documents_lead_somewhere(tracked: list[Path]) -> None:
    pages = [file for file in tracked if file.suffix == ".md"]
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"} <= {page.name for page in pages}
    broken = {str(page.relative_to(ROOT)): found for page in pages if (found := _broken(page))}
    assert not broken


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One thing, `two`\n[a](page.md#one-thing-two) [b](gone.md) [c](#three) [d](https://x.y/z)\n"
        "```\n[e](code.md)\n```\n![f](f.png)\n"
    )
    assert _broken(page) == ["gone.md", "#three", "f.png"]


def test_nothing_imports_research_but_research(tracked: list[Path]) -> None:
    code = [file for file in tracked if file.suffix == ".py" and file.relative_to(ROOT).parts[0] != "research"]
    imports = re.compile(r"^\s*(?:from|import)\s+research\b", re.MULTILINE)
    assert [str(file.relative_to(ROOT)) for file in code if imports.search(file.read_text(encoding="utf-8"))] == []
    assert len([file for file in tracked if file.relative_to(ROOT).parts[:2] == ("research", "tests")]) > 3
