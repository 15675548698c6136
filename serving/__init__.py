"""The online service: scores candidates with features and field vectors from Feast's online store."""

from llactr.serving.config import ServeConfig

__all__ = ["ServeConfig"]
