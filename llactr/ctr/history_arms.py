"""What of the past an arm reads: the history part of an arm's name, and the fields and settings that follow from it.

| words | fields of the spec's `history` |
|---|---|
| `items` | windows of items |
| `history` | windows of users and items, and a person's level |
| `... taste` | besides, all that compares the candidate with the person's past, pair windows as well |
| `... taste text`, `... taste categories` | besides, that by these vectors alone |
| `... taste item-item` | besides, that by what the same people did alone |

What is the user's own acts on the logit alone (`additive`), so that it cannot reorder the candidates of a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llactr.ctr.config import HistoryInputConfig
from llactr.errors import InputError
from llactr.spec.history import HistoryField, HistorySpec, SequenceField, TasteField, WindowField

__all__ = ["HISTORY_ARMS", "HistoryArm", "history_input", "parted"]

_OWN = frozenset({"level", "recent"})
"""Measures of taste that say something of the person, whatever the candidate."""

Taste = Literal["all", "text", "categories", "item-item"]


@dataclass(frozen=True)
class HistoryArm:
    """The history part of an arm.

    Attributes:
        past: `items` for windows of items, `history` for those of users besides.
        taste: which of the taste fields; None for none but, with `history`, the level.
    """

    past: Literal["items", "history"]
    taste: Taste | None = None

    def __str__(self) -> str:
        words = [self.past, *(["taste"] if self.taste else ())]
        return " ".join([*words, *([self.taste] if self.taste and self.taste != "all" else ())])

    @property
    def reads_vectors(self) -> bool:
        """Whether taste by vectors of items is what it is about: what a placebo can take the meaning out of."""
        return self.taste in {"all", "text", "categories"}

    @property
    def reads_texts(self) -> bool:
        """Whether these vectors are of texts, among others."""
        return self.taste in {"all", "text"}

    def spec(self, given: HistorySpec) -> HistorySpec:
        """The section with the arm's fields alone.

        Raises:
            InputError: the section has none of them.
        """
        fields: dict[str, HistoryField] = {}
        for field in given.fields:
            if isinstance(field, WindowField):
                if field.owner == "pair":
                    if self.taste in {"all", "categories"}:
                        fields[field.name] = field
                elif field.owner == "item" or self.past == "history":
                    fields[field.name] = field
            elif isinstance(field, SequenceField):
                if self.reads_vectors:
                    fields[field.name] = self._by_own_vectors(field)
            elif field.vectors == "item_item":
                if self.taste in {"all", "item-item"}:
                    fields[field.name] = field
            elif self.past == "history" if field.measure in _OWN else self.reads_vectors:
                fields[field.name] = self._by_own_vectors(field)
        kept: list[HistoryField] = []
        for one in fields.values():
            if not any(_same(one, other) for other in kept):
                kept.append(one)
        if not kept:
            raise InputError(
                f"the spec's 'history' has no field for the arm {str(self)!r}: list some, or take another arm"
            )
        return given.model_copy(update={"fields": tuple(kept)})

    def _by_own_vectors(self, field: TasteField | SequenceField) -> TasteField | SequenceField:
        if self.taste not in {"text", "categories"}:
            return field
        return field.model_copy(update={"vectors": self.taste})


def _same(one: HistoryField, other: HistoryField) -> bool:
    """Whether two fields differ by their words alone."""
    words = {"name", "description"}
    return type(one) is type(other) and one.model_dump(exclude=words) == other.model_dump(exclude=words)


HISTORY_ARMS: dict[str, HistoryArm] = {
    str(arm): arm
    for past in ("items", "history")
    for taste in (None, "all", "text", "categories", "item-item")
    for arm in (HistoryArm(past, taste),)
}
"""By name."""


def parted(name: str) -> tuple[str, HistoryArm | None]:
    """An arm's name without its history part (`plain` where that is all), and that part."""
    words = name.split()
    start = next((at for at, word in enumerate(words) if word in {"items", "history"}), None)
    if start is None:
        return name, None
    past = HISTORY_ARMS.get(" ".join(words[start:]))
    return (" ".join(words[:start]) or "plain", past) if past else (name, None)


def history_input(spec: HistorySpec) -> HistoryInputConfig:
    """How the fields of an arm enter its model."""
    own = tuple(
        field.name
        for field in spec.fields
        if (field.owner == "user" if isinstance(field, WindowField) else getattr(field, "measure", None) in _OWN)
    )
    places = spec.places
    sequences = tuple(
        (place.start, field.last)
        for field in spec.fields
        if isinstance(field, SequenceField) and isinstance(place := places[field.name], slice)
    )
    return HistoryInputConfig(names=spec.columns, additive=own, sequences=sequences)
