"""Recipes: public datasets that llactr knows how to fetch, one file each."""
