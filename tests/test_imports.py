"""The order of the rooms, read from the files: who imports whom, function-level and type-checking imports included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
FOLDERS = {"llactr": REPO / "llactr", "llactr.jobs": REPO / "jobs", "llactr.serving": REPO / "serving",
           "llactr.feature_repo": REPO / "feature_repo"}  # fmt: skip

ORDER = (
    {"pieces"},
    {"spec"},
    {"transforms"},
    {"datasets", "semantics", "history"},
    {"profile"},
    {"store"},
    {"ctr"},
    {"evaluation"},
    {"diagnostics", "lifecycle"},
    {"api"},
    {"jobs", "serving", "feature_repo"},
)
"""A room imports those of earlier lines; rooms of one line leave each other alone, except as `ALSO` says."""
ALSO = {("jobs", "serving")}
"""`llactr serve` starts the service."""


@cache
def modules() -> dict[str, Path]:
    """Module name -> file, each once: links to the top-level folders are not followed."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            if not any((folder / Path(*parts[:depth])).is_symlink() for depth in range(1, len(parts))):
                found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """The modules of the project that a module's text imports; `from a import b` means `a.b` where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if name in modules() else str(node.module))
    return frozenset(name for name in found if name.split(".")[0] == "llactr")


def room(module: str) -> str:
    """The folder below llactr, or the root module; empty for llactr itself."""
    return module.split(".")[1] if "." in module else ""


def edges() -> Iterator[tuple[str, str]]:
    for module in modules():
        for other in imports(module):
            yield module, other


def test_what_is_imported_is_there() -> None:
    assert [f"{module} imports {other}" for module, other in edges() if other not in modules()] == []


def test_the_library_imports_neither_jobs_nor_serving_nor_the_feature_repository() -> None:
    outside = {"jobs", "serving", "feature_repo"}
    wrong = [(a, b) for a, b in edges() if room(a) not in outside and room(b) in outside]
    assert wrong == []


def test_every_room_has_its_place() -> None:
    placed = set().union(*ORDER) | {""}
    alone = {room(module) for module in modules()} - placed
    packages = {name for name in alone if (REPO / "llactr" / name).is_dir()}
    assert packages == set(), "a new package needs a place in the order"


def test_imports_run_one_way() -> None:
    rank = {name: place for place, names in enumerate(ORDER) for name in names}
    wrong = []
    for module, other in edges():
        ours, theirs = room(module), room(other)
        if ours == theirs or theirs not in rank or (ours, theirs) in ALSO:
            continue  # root modules are everyone's
        if ours == "":
            continue  # the package's own face
        if rank.get(ours, -1) <= rank[theirs]:
            wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_there_is_no_circle() -> None:
    """Depth first; a module that is met again while it is being followed closes a circle."""
    state: dict[str, int] = {}
    circles: list[str] = []

    def follow(module: str, trail: tuple[str, ...]) -> None:
        state[module] = 1
        for other in sorted(imports(module) & modules().keys()):
            if state.get(other) == 1 and other != module:
                circles.append(" -> ".join((*trail[trail.index(other) :], other)))
            elif other not in state:
                follow(other, (*trail, other))
        state[module] = 2

    for module in sorted(modules()):
        if module not in state:
            follow(module, (module,))
    assert not circles


@pytest.mark.parametrize("path", sorted((REPO / "jobs").rglob("*.py")), ids=lambda path: path.name)
def test_jobs_are_thin(path: Path) -> None:
    """No function is longer than 40 lines; the signature of a command is its flags, and does not count."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if path.parent.name == "cli" else node
            lines = (node.end_lineno or 0) - first.lineno + 1
            assert lines <= 40, f"{path.name}: {node.name} has {lines} lines, let a room of the library do the thinking"
