"""The online service: scores candidates with features and field vectors from Feast's online store."""

import llactr.store  # noqa: F401  # before any module of the service imports feast: it makes that import a lean one
from llactr.serving.config import ServeConfig

__all__ = ["ServeConfig"]
