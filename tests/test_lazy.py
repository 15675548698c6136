"""Packages whose names are loaded on first use: `__all__` tells the truth, and importing them costs nothing."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

PACKAGES = ["ctr", "datasets", "diagnostics", "semantics", "store"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_found_and_is_no_module(package: str) -> None:
    found = importlib.import_module(f"llactr.{package}")
    for name in found.__all__:
        assert not isinstance(getattr(found, name), ModuleType), f"{package}.{name} is hidden by a module of that name"


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'llactr.{package}' has no attribute 'nothing'"):
        _ = importlib.import_module(f"llactr.{package}").nothing


def test_nothing_heavy_is_imported_with_the_packages_and_the_command_line() -> None:
    names = ", ".join(f"llactr.{package}" for package in PACKAGES)
    source = f"import sys, {names}, llactr.jobs.cli; print(sorted({{'torch', 'feast', 'pandas', 'duckdb'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_feast_is_imported_without_torch_and_typeguard_is_left_as_it_was() -> None:
    source = (
        "import sys, typeguard; before = typeguard.typechecked; import llactr.store.definitions, feast; "
        "print('torch' in sys.modules, typeguard.typechecked is before, "
        "sys.modules['feast.torch_wrapper'].get_torch().__name__)"
    )
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "torch"]
