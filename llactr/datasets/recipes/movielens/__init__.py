"""The recipes of MovieLens, a file each; importing this package registers them."""

from llactr.datasets.recipes.movielens.hundred_thousand import MovieLens100K
from llactr.datasets.recipes.movielens.million import MovieLens1M

__all__ = ["MovieLens1M", "MovieLens100K"]
