"""LLM field semantics for CTR models, from a feature store to a score."""

from __future__ import annotations

__all__ = ["__version__"]
__version__ = "0.1.0"
