"""Recipes: public datasets that llactr knows how to fetch; each registers itself with `llactr.datasets.base`."""
