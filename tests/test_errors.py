"""The tree of errors, as its docstring draws it."""

from __future__ import annotations

import re

import pytest

from llactr import errors
from llactr.errors import InputError, LlactrError, StepError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_the_tree_is_as_it_is_drawn() -> None:
    """Each line's depth in the drawing is its depth below LlactrError, under the last line that is one less deep."""
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").split("```")[1].splitlines():
        if found := re.match(r"([│├└─ ]*)(\w+)  +\S", line):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            drawn[found[2]] = above[depth - 1] if depth else "Exception"
    assert drawn["LlactrError"] == "Exception"
    assert drawn == {one.__name__: one.__base__.__name__ for one in CLASSES}


@pytest.mark.parametrize("kind", CLASSES)
def test_the_exit_code_says_whose_fault_it_is(kind: type[LlactrError]) -> None:
    assert kind("what").exit_code == (2 if issubclass(kind, InputError) else 1)
    assert not (issubclass(kind, InputError) and issubclass(kind, StepError))
    assert str(kind("found a, expected b: do c")) == "found a, expected b: do c"
