"""Imports Feast in a quarter of the time: without the runtime type checks that it compiles, and without torch.

`import feast` takes 5.2 CPU-seconds. 2.6 of them go into `typeguard`, which compiles about a hundred of Feast's
functions anew to check their arguments; 1.4 into torch, which only one way to read online features uses. Both are
parted from the import here: Feast's functions stay as they are written, and torch is loaded when it is asked for.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

__all__ = ["lean_feast"]

_TORCH_WRAPPER = "feast.torch_wrapper"


def lean_feast() -> None:
    """Makes the first `import feast` of this process a lean one; does nothing where Feast is there already."""
    if "feast" not in sys.modules and not any(isinstance(finder, _LeanFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeanFinder())


class _LeanFinder(importlib.abc.MetaPathFinder):
    """Finds `feast` itself, once; everything else is left to those that come after."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the package `feast`, with a loader that imports it leanly."""
        if fullname != "feast":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _LeanLoader(spec.loader)
        return spec


class _LeanLoader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """What Feast's own loader makes."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Runs Feast's import with both parts left out; typeguard is as it was afterwards."""
        import typeguard

        checked = typeguard.typechecked
        sys.modules[_TORCH_WRAPPER] = _torch_wrapper()
        typeguard.typechecked = _as_written
        try:
            self._loader.exec_module(module)
        finally:
            typeguard.typechecked = checked


def _as_written(target: Any = None, **_: Any) -> Any:
    """In place of `typeguard.typechecked`, with or without arguments: a function as it is written."""
    return _as_written if target is None else target


def _torch_wrapper() -> ModuleType:
    """In place of Feast's module of this name, which imports torch at once."""
    module = ModuleType(_TORCH_WRAPPER)

    def get_torch() -> ModuleType:
        """The torch module."""
        return importlib.import_module("torch")

    module.get_torch = get_torch  # type: ignore[attr-defined]
    return module
