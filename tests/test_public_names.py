"""`__all__` of every module tells the truth; read from the files, so that nothing of what they import has to be there."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Sequence
from functools import cache

import pytest

from tests.test_imports import REPO, imports, modules


def _is_type_checking(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _statements(body: Sequence[ast.stmt], *, checking: bool = False) -> Iterator[ast.stmt]:
    """The statements of a module that run when it is imported; with `checking`, those for type checkers instead."""
    for node in body:
        if isinstance(node, ast.If) and _is_type_checking(node):
            yield from _statements(node.body if checking else node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            parts = [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]
            parts += [handler.body for handler in getattr(node, "handlers", [])]
            for part in parts:
                yield from _statements(part, checking=checking)
        elif not checking:
            yield node


def _bound(statements: Iterator[ast.stmt]) -> Iterator[tuple[str, str | None]]:
    """Names that statements bind, and the module of the project that each is imported from, if it is."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, None
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, node.module) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from ((name.id, None) for name in ast.walk(target) if isinstance(name, ast.Name))


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def _literal(module: str, name: str) -> ast.expr | None:
    """What is assigned to a name at the top of a module."""
    for node in _statements(_tree(module).body):
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets):
            return node.value
    return None


def _public(module: str) -> list[str] | None:
    found = _literal(module, "__all__")
    return None if found is None else list(ast.literal_eval(found))


def _homes(module: str) -> dict[str, str] | None:
    """What a package loads on first use: name -> module, from its `__getattr__ = loader(__name__, {...})`."""
    found = _literal(module, "__getattr__")
    if not isinstance(found, ast.Call):
        return None
    return {name: f"{module}.{home}" for name, home in ast.literal_eval(found.args[1]).items()}


def _there(module: str) -> dict[str, str]:
    """The names that a module has once it is imported, and where each comes from; loaded on first use ones included."""
    bound = {name: home or module for name, home in _bound(_statements(_tree(module).body))}
    return bound | (_homes(module) or {})


LAZY = sorted(module for module in modules() if _homes(module) is not None)
WITH_ALL = sorted(module for module in modules() if _public(module) is not None)


def test_the_files_are_read_as_they_are_meant() -> None:
    assert {"llactr.ctr", "llactr.datasets", "llactr.diagnostics", "llactr.semantics", "llactr.store"} <= set(LAZY)
    assert len(WITH_ALL) > 200
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from a import A\nelse:\n    B = 1\n"
        "try:\n    import c.d\nexcept ImportError:\n    C, (D, *E) = f()\n"
        "F: int\nG: int = 1\nclass H: inside = 1\ndef i(): j = 1\n"
    )
    found = [name for name, _ in _bound(_statements(tree.body))]
    assert found == ["TYPE_CHECKING", "B", "c", "C", "D", "E", "G", "H", "i"]
    assert list(_bound(_statements(tree.body, checking=True))) == [("A", "a")]


@pytest.mark.parametrize("module", WITH_ALL)
def test_every_name_in_all_is_there(module: str) -> None:
    public, there = _public(module) or [], _there(module)
    missing = [name for name in public if name not in there]
    if "__getattr__" in there and module not in LAZY:  # a function of its own, which has to be asked
        missing = [name for name in missing if not hasattr(importlib.import_module(module), name)]
    assert missing == []
    assert len(public) == len(set(public)), "a name is listed twice"


@pytest.mark.parametrize("module", LAZY)
def test_what_is_loaded_on_first_use_is_where_it_is_said_to_be(module: str) -> None:
    """At run time, for type checkers, and in `__all__` alike."""
    homes = _homes(module) or {}
    assert {name for name, home in homes.items() if name not in _there(home)} == set()
    said = dict(_bound(_statements(_tree(module).body, checking=True)))
    assert {name: home if said.get(name) == home else _there(home)[name] for name, home in homes.items()} == said
    assert homes.keys() <= set(_public(module) or [])


@pytest.mark.parametrize("module", WITH_ALL)
def test_what_others_import_is_in_all(module: str) -> None:
    public = set(_public(module) or [])
    missing = {
        f"{alias.name}, for {other}"
        for other in modules() if module in imports(other)
        for node in ast.walk(_tree(other)) if isinstance(node, ast.ImportFrom) and node.module == module
        for alias in node.names if alias.name not in public and f"{module}.{alias.name}" not in modules()
    }  # fmt: skip
    assert missing == set()


@pytest.mark.parametrize("folder", ["benchmarks", "examples"])
def test_what_scripts_import_is_there(folder: str) -> None:
    """Most of these are never imported by a test, nor are their types checked."""
    files = sorted((REPO / folder).rglob("*.py"))
    assert files
    missing = []
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "llactr"):
                continue
            home = str(node.module)
            if home not in modules():
                missing.append(f"{file.name}: {home}")
                continue
            for alias in node.names:
                listed = alias.name in {*_there(home), *(_public(home) or [])}
                if not listed and f"{home}.{alias.name}" not in modules():
                    missing.append(f"{file.name}: {alias.name} of {home}")
    assert missing == []
