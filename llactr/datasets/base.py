"""Recipes: public datasets that llactr knows how to fetch; a spec names one in `recipe`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from llactr.datasets.recipes.amazon import AMAZON_CATEGORIES
from llactr.datasets.recipes.movielens import MovieLens100K
from llactr.datasets.recipes.movielens_1m import MovieLens1M
from llactr.errors import SpecError

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


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (MovieLens100K(), MovieLens1M(), *AMAZON_CATEGORIES)}


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
    if recipe not in RECIPES:
        raise SpecError(f"there is no recipe {recipe!r}: known are {', '.join(sorted(RECIPES))}")
    return RECIPES[recipe].fetch(folder=folder, cache=cache)
