"""Recipes: public datasets that llactr knows how to fetch; a spec names one in `recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from llactr.errors import SpecError
from llactr.registry import Registry

__all__ = ["RECIPES", "Recipe", "fetch"]


class Recipe(Protocol):
    """Gets a dataset's source files."""

    @property
    def name(self) -> str:
        """The name that a spec's `recipe` gives."""

    @property
    def credit(self) -> str:
        """Whom to thank, and what to cite."""

    def fetch(self, *, folder: Path | None, cache: Path) -> Path:
        """The data folder that the spec's source paths are relative to; fetched once, then taken from the cache."""


def _check(entry: object) -> None:
    missing = [name for name in ("name", "credit", "fetch") if not hasattr(entry, name)]
    if missing:
        raise TypeError(f"expected a recipe, {entry!r} has no {', '.join(missing)}")


RECIPES: Registry[Recipe] = Registry(
    "recipe",
    package="llactr.datasets.recipes",
    group="llactr.datasets",
    named_by_file=False,  # a file may hold the recipes of several datasets
    error=SpecError,
    unknown="there is no {noun} {name}: known are {names}",
    check=_check,
)
"""Name -> recipe."""


def fetch(recipe: str, *, cache: Path, folder: Path | None = None) -> Path:
    """The data folder of a recipe.

    Args:
        recipe: its name.
        cache: the folder under which downloads are kept.
        folder: where the user has the data already, if so.

    Raises:
        SpecError: there is no such recipe.
        DataError: the given folder does not hold the data.
        StepError: the data cannot be downloaded.
    """
    return RECIPES[recipe].fetch(folder=folder, cache=cache)
