"""A history definition fitted on training rows: the overall rate, the items' vectors, and the item-item table.

Legend: I items, C categories, L semantic dim, N events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from llactr.errors import SpecError
from llactr.history.categories import ItemCategories
from llactr.history.definition import HistoryDefinition
from llactr.history.events import Events, key_hashes
from llactr.history.newer import NewerItems
from llactr.history.passes import with_neighbours
from llactr.history.vectors import ItemForm, ItemVectors, both, fit_item_vectors, scales_of
from llactr.spec.history import HistoryField, HistorySpec, SequenceField, TasteField, WindowField

__all__ = ["FittedHistory", "ItemSources", "fit_history", "placed"]


@dataclass(frozen=True)
class ItemSources:
    """What items are like before anything is fitted.

    Attributes:
        items: I keys, each once.
        categories: (I, C) multi-hot vectors; None where items have no categories.
        text: (I, L) vectors of their texts, zeros where there is none; None where no texts were encoded.
        values: item field -> the values of each item, for windows of pairs.
        form: how `categories` and `text` were made; None where later items are not to be placed.
    """

    items: tuple[str, ...]
    categories: NDArray[np.float32] | None
    text: NDArray[np.float32] | None
    values: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    form: ItemForm | None = None

    @property
    def there(self) -> dict[str, NDArray[np.float32]]:
        """What there is of `categories` and `text`."""
        given = {"categories": self.categories, "text": self.text}
        return {name: one for name, one in given.items() if one is not None}

    def raw(self, source: str, scales: Mapping[str, float] | None = None) -> NDArray[np.float32] | None:
        """The vectors of `categories`, `text`, or `both` (what there is of the two); `scales` as `both` takes them."""
        if source != "both":
            return self.there.get(source)
        return both(self.there, scales) if self.there else None


@dataclass(frozen=True)
class FittedHistory:
    """A definition, and what of its spec could not be had, in sentences."""

    definition: HistoryDefinition
    notes: tuple[str, ...]


def fit_history(
    spec: HistorySpec,
    sources: ItemSources,
    events: Events,
    *,
    training: NDArray[np.int64],
    before: int,
    change: Callable[[ItemVectors], ItemVectors] | None = None,
) -> FittedHistory:
    """Fits a definition on the training rows alone.

    `both` takes what there is of categories and text; where there is neither, its level stays and the rest is left
    out. A source that a field names and that is not there is refused.

    Args:
        spec: what of the past is read.
        sources: vectors of items.
        events: all of them.
        training: numbers of the training rows.
        before: the moment at which training ends, in microseconds: what was known by then is in the item-item table.
        change: what a placebo makes of the fitted vectors.

    Raises:
        SpecError: a source is not there, or the training rows have one outcome.
    """
    spec, notes = _adapted(spec, sources)
    wanted = {field.vectors for field in spec.fields if not isinstance(field, WindowField)} - {"item_item"}
    hashes = key_hashes(sources.items)
    seen = np.isin(hashes, events.item[training])
    vectors: dict[str, ItemVectors] = {}
    for source in sorted(wanted):
        raw = sources.raw(source)
        if raw is None and source == "both":
            vectors[source] = ItemVectors(np.empty(0, np.uint64), np.empty((0, 1), np.float32))
        elif raw is not None:
            there: NDArray[np.bool_] = np.any(raw != 0, axis=1)
            keys = [item for item, some in zip(sources.items, there, strict=True) if some]
            fitted = fit_item_vectors(keys, raw[there], rank=spec.rank, fitted_on=seen[there])
            vectors[source] = fitted if change is None else change(fitted)
    counted = {one.category for one in spec.fields if isinstance(one, WindowField) and one.category is not None}
    definition = HistoryDefinition(
        spec,
        float(events.outcome[training].mean(dtype=np.float64)),
        vectors,
        categories={
            name: ItemCategories.of(sources.items, sources.values[name])
            for name in sorted(counted)
            if name in sources.values
        },
        form=None if sources.form is None else replace(sources.form, scales=scales_of(sources.there)),
    )
    if any(getattr(field, "vectors", None) == "item_item" for field in spec.fields):
        definition = with_neighbours(definition, events, before=before)
    return FittedHistory(definition, notes)


def placed(definition: HistoryDefinition, sources: ItemSources) -> NewerItems:
    """What a definition makes of items that it was not fitted with, whose raw vectors are of its form.

    An item without a category that has a column, and without a text, has no vector, as in training.
    """
    vectors: dict[str, ItemVectors] = {}
    for source, known in definition.vectors.items():
        raw = None if definition.form is None else sources.raw(source, definition.form.scales)
        if raw is not None and known.projection is not None:
            there = np.flatnonzero(np.any(raw != 0, axis=1))
            hashes = key_hashes([sources.items[at] for at in there])
            order = np.argsort(hashes)
            vectors[source] = ItemVectors(hashes[order], known.projection.of(raw[there[order]]))
    categories = {
        name: ItemCategories.of(sources.items, sources.values[name])
        for name in definition.categories
        if name in sources.values
    }
    return NewerItems(vectors, categories)


def _adapted(spec: HistorySpec, sources: ItemSources) -> tuple[HistorySpec, tuple[str, ...]]:
    """The spec with the fields that can be had."""
    reads_both = any(getattr(field, "vectors", None) == "both" for field in spec.fields)
    if not reads_both:
        return spec, ()
    if sources.raw("both") is None:
        kept = tuple(field for field in spec.fields if not _needs_both(field))
        if not kept:
            raise SpecError(
                "history compares items by their categories and texts, and there is neither: give items categorical "
                "or multi_valued fields, or a value_text and run 'llactr encode --values'"
            )
        return spec.model_copy(update={"fields": kept}), (
            "items have neither categories nor encoded texts: history has no taste but the item-item one",
        )
    if sources.text is None:
        return spec, ("no texts of items have been encoded: taste compares items by their categories",)
    if sources.categories is None:
        return spec, ("items have no categories: taste compares them by their texts",)
    return spec, ()


def _needs_both(field: HistoryField) -> bool:
    if isinstance(field, SequenceField):
        return field.vectors == "both"
    return isinstance(field, TasteField) and field.vectors == "both" and field.measure not in {"level", "recent"}
