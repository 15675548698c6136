"""Descriptions that say nothing to a language model: equal ones, and those that repeat the field's name."""

from __future__ import annotations

import re

from llactr.spec.model import DatasetSpec

__all__ = ["poor_descriptions"]

_EMPTY_WORDS = frozenset(
    ["a", "an", "the", "of", "is", "it", "its", "this", "that", "field", "value", "column", "name", "and", "for",
     "user", "item", "feature", "data", "in", "to", "or"]
)  # fmt: skip


def poor_descriptions(spec: DatasetSpec) -> tuple[str, ...]:
    """Sentences about descriptions that are equal, or say no more than the name of their field."""
    said = []
    by_text: dict[str, list[str]] = {}
    for field in spec.fields:
        by_text.setdefault(" ".join(field.description.lower().split()), []).append(field.name)
        if not _words(field.description) - _words(field.name):
            said.append(
                f"field {field.name!r} is described as {field.description!r}, which says no more than its name: say in "
                "plain words what its values mean"
            )
    for text, names in by_text.items():
        if len(names) > 1:
            listed = " and ".join(map(repr, names))
            said.append(f"fields {listed} have one description, {text!r}: a language model cannot tell them apart")
    return tuple(said)


def _words(text: str) -> set[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    found = {word.removesuffix("s") for word in re.findall(r"[^\W_]+", spaced.lower())}
    return found - _EMPTY_WORDS
