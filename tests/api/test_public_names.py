"""What `import llactr` hands out: it costs nothing, and every name and method has an example that runs."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest

import llactr


def examples() -> Iterator[tuple[str, object]]:
    """Every public name, and every public method of those that are classes."""
    for name in llactr.__all__:
        found = getattr(llactr, name)
        if name.startswith("__"):
            continue
        yield name, found
        if not (inspect.isclass(found) and found.__module__.startswith("llactr.api")):
            continue
        for part, member in inspect.getmembers(found, inspect.isroutine):
            member = getattr(member, "__func__", member)
            if inspect.isfunction(member) and not part.startswith("_"):
                yield f"{name}.{part}", member


EXAMPLES = dict(examples())
WITHOUT = {"OpenWorkspace.datasets", "OpenWorkspace.writing"}
"""One is in the example of its class, one is for this package."""


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in WITHOUT])
def test_every_name_has_an_example_that_holds(name: str, ws: llactr.OpenWorkspace) -> None:
    found = EXAMPLES[name]
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    cases = finder.find(found, name, module=False, globs={})
    assert cases, "a name without an example"
    assert cases[0].examples, "a name without an example"
    said: list[str] = []
    for case in cases:
        runner.run(case, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_importing_it_imports_nothing_heavy() -> None:
    code = "import llactr, sys; print(sorted({'numpy', 'pyarrow', 'torch', 'feast', 'pandas', 'duckdb', 'pydantic'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_typed_and_documented() -> None:
    for name, found in EXAMPLES.items():
        assert inspect.getdoc(found), name
        if inspect.isfunction(found):
            signature = inspect.signature(found)
            assert signature.return_annotation is not signature.empty, name
            untyped = [
                one
                for one, parameter in signature.parameters.items()
                if one not in {"self", "cls"} and parameter.annotation is parameter.empty
            ]
            assert untyped == [], name
