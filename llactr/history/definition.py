"""A history definition: the spec's `history:` part with what was fitted on training rows, and what a state holds.

Legend: I items, r rank, d = r + 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llactr.errors import BundleError, SpecError
from llactr.history.categories import ItemCategories
from llactr.history.compiled.plan import Plan
from llactr.history.index import ItemIndex
from llactr.history.layout import Owner, PairWindow, StateLayout, Window, window_of
from llactr.history.neighbours import Neighbours
from llactr.history.newer import NewerItems
from llactr.history.planning import plan_of
from llactr.history.vectors import ItemForm, ItemVectors, Projection
from llactr.manifest import content_hash, file_hash
from llactr.spec.history import HistorySpec, TasteField, WindowField, vector_sources

__all__ = ["HistoryDefinition"]

_FACTS, _TENSORS, _FORMAT = "history.json", "history.safetensors", 3
_VERSION_DIGITS = 16


@dataclass(frozen=True)
class HistoryDefinition:
    """How events become states, and states become features.

    Attributes:
        spec: the dataset spec's `history`.
        overall_rate: share of clicks of training rows, towards which rates are smoothed.
        vectors: source -> vectors of items, for every source that a field names but `item_item`.
        neighbours: of items, for `item_item`; empty where nothing is known yet.
        categories: item field -> which values items have, for every field that a pair window names.
        form: how the raw vectors were made; None where later items are not to be placed.
        newer: items that came after training; not a part of what is saved, of the version, or of a state's layout.
    """

    spec: HistorySpec
    overall_rate: float
    vectors: Mapping[str, ItemVectors] = field(default_factory=dict)
    neighbours: Neighbours = field(default_factory=Neighbours.empty)
    categories: Mapping[str, ItemCategories] = field(default_factory=dict)
    form: ItemForm | None = None
    newer: NewerItems = field(default_factory=NewerItems)

    def __post_init__(self) -> None:
        missing = sorted(self._sources - set(self.vectors))
        if missing:
            raise SpecError(
                f"history fields read vectors of {', '.join(missing)}, which are not there: run 'llactr encode "
                "--values' for text, give items categorical or multi_valued fields for categories, or leave them out"
            )
        absent = sorted({pair.category for pair in self._pairs} - set(self.categories))
        if absent:
            raise SpecError(
                f"history fields count by {', '.join(absent)}, whose values are not there: give the items of the "
                "training rows with 'ItemCategories.of'"
            )
        if not 0 < self.overall_rate < 1:
            raise SpecError(f"the training rows' share of clicks is {self.overall_rate:g}: history needs both outcomes")

    @cached_property
    def version(self) -> str:
        """Content hash, 16 hex digits, of all that states and features depend on; a part of a state's key."""
        tables: dict[str, list[NDArray[Any]]] = {
            source: [one.items, one.vectors] for source, one in self.vectors.items()
        }
        tables["item_item"] = [self.neighbours.items, self.neighbours.keys, self.neighbours.weights]
        tables |= {f"with.{name}": [one.items, one.starts, one.values] for name, one in self.categories.items()}
        for source, one in self.vectors.items():
            if one.projection is not None:
                tables[source] += [one.projection.mean, one.projection.components]
        digests = {source: [_digest(array) for array in arrays] for source, arrays in tables.items()}
        form = None if self.form is None else asdict(self.form)
        return content_hash([self.spec.model_dump(mode="json"), self.overall_rate, digests, form])[:_VERSION_DIGITS]

    def with_newer(self, newer: NewerItems) -> HistoryDefinition:
        """The definition with what is known of items that came after training; version and states are the same.

        Cost: that of the tables of all items, which are made anew.
        """
        if newer is self.newer or (not len(newer.items) and not len(self.newer.items)):
            return self
        made = replace(self, newer=newer)
        made.__dict__.update({name: getattr(self, name) for name in ("version", "user", "item")})
        return made

    def only(self, names: Collection[str]) -> HistoryDefinition:
        """The definition of some of the fields, in their order here: their numbers are the same, its states smaller."""
        fields = tuple(one for one in self.spec.fields if one.name in names)
        sources = vector_sources(fields)
        counted = {one.category for one in fields if isinstance(one, WindowField)}
        vectors = {source: one for source, one in self.vectors.items() if source in sources}
        neighbours = self.neighbours if "item_item" in sources else Neighbours.empty()
        categories = {name: one for name, one in self.categories.items() if name in counted}
        spec = self.spec.model_copy(update={"fields": fields})
        return HistoryDefinition(spec, self.overall_rate, vectors, neighbours, categories, self.form)

    @property
    def _sources(self) -> set[str]:
        return vector_sources(self.spec.fields) - {"item_item"}

    @cached_property
    def user(self) -> StateLayout:
        """What a user's state holds."""
        regressed = [
            f.vectors
            for f in self.spec.fields
            if isinstance(f, TasteField) and f.measure in {"level", "regression", "uncertainty"}
        ]
        tastes: dict[str, int] = {source: self.vectors[source].rank + 1 for source in sorted(set(regressed))}
        return self._layout("user", last=self.spec.last, tastes=tastes)

    @cached_property
    def item(self) -> StateLayout:
        """What an item's state holds."""
        return self._layout("item", last=0, tastes={})

    @cached_property
    def all_vectors(self) -> dict[str, ItemVectors]:
        """Source -> vectors of all items, newer ones too."""
        later = self.newer.vectors
        return {source: one.joined(later[source]) if source in later else one for source, one in self.vectors.items()}

    @cached_property
    def all_categories(self) -> dict[str, ItemCategories]:
        """Item field -> values of all items, newer ones too."""
        later = self.newer.categories
        return {name: one.joined(later[name]) if name in later else one for name, one in self.categories.items()}

    @cached_property
    def index(self) -> ItemIndex:
        """I items: all that have a vector of any source, or categories."""
        parts = [vectors.items for vectors in self.all_vectors.values()]
        parts += [categories.items for categories in self.all_categories.values()]
        if parts and all(np.array_equal(part, parts[0]) for part in parts):
            return ItemIndex.of(parts[0])
        return ItemIndex.of(np.unique(np.concatenate([np.empty(0, np.uint64), *parts])))

    @cached_property
    def known(self) -> dict[str, NDArray[np.bool_]]:
        """Source -> (I + 1,) which items have a vector."""
        found = {}
        for source, vectors in self.all_vectors.items():
            found[source] = np.zeros(len(self.index) + 1, bool)
            found[source][self.index.places(vectors.items)] = True
        return found

    @cached_property
    def tables(self) -> dict[str, NDArray[np.float32]]:
        """Source -> (I + 1, r) float32, zeros for an item without a vector, and at the end."""
        found = {}
        for source, vectors in self.all_vectors.items():
            found[source] = np.zeros((len(self.index) + 1, vectors.rank), np.float32)
            found[source][self.index.places(vectors.items)] = vectors.vectors
        return found

    @cached_property
    def directions(self) -> dict[str, NDArray[np.float32]]:
        """Source -> (I + 1, r) float32 of length 1, zeros where there is no vector."""
        found = {}
        for source, table in self.tables.items():
            norms = np.linalg.norm(table, axis=1, keepdims=True)
            found[source] = (table / np.where(norms > 0, norms, 1)).astype(np.float32)
        return found

    def plan(self, layout: StateLayout) -> Plan:
        """`user` or `item` as compiled code reads it."""
        return self._plans[layout.owner]

    def blank(self, layout: StateLayout) -> NDArray[np.void]:
        """(1,) the state of a key without events."""
        return self._blanks[layout.owner]

    def rate(self, clicks: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Smoothed rates, kept inside (0, 1) so that a residual's sign tells the outcome."""
        strength = self.spec.smoothing
        return np.clip((clicks + strength * self.overall_rate) / (count + strength), 1e-4, 1 - 1e-4)

    def save(self, folder: Path) -> None:
        """Writes the definition into a folder: `history.json` and `history.safetensors`."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, NDArray[Any]] = {}
        for source, vectors in self.vectors.items():
            tensors |= {f"items.{source}": vectors.items, f"vectors.{source}": vectors.vectors}
            if (made_by := vectors.projection) is not None:
                tensors |= {f"mean.{source}": made_by.mean, f"components.{source}": made_by.components}
        for name, categories in self.categories.items():
            tensors |= {f"{part}.{name}": getattr(categories, part) for part in ("starts", "values")}
            tensors[f"categorized.{name}"] = categories.items
        table = self.neighbours
        tensors |= {"neighbours.items": table.items, "neighbours.keys": table.keys, "neighbours.weights": table.weights}
        save_file(tensors, folder / _TENSORS)
        facts = {
            "format": _FORMAT,
            "spec": self.spec.model_dump(mode="json"),
            "overall_rate": self.overall_rate,
            "sources": sorted(self.vectors),
            "categories": sorted(self.categories),
            "form": None if self.form is None else asdict(self.form),
            "sha256": file_hash(folder / _TENSORS),
        }
        (folder / _FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> HistoryDefinition:
        """The definition that was saved in a folder.

        Raises:
            BundleError: a file is missing or is not what was written.
        """
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if facts["format"] != _FORMAT:
                raise BundleError(f"{folder / _FACTS} has format {facts['format']!r}, this version reads {_FORMAT}")
            if file_hash(folder / _TENSORS) != facts["sha256"]:
                raise BundleError(f"{folder / _TENSORS} is not the file that was saved: restore it, or train again")
            found = load_file(folder / _TENSORS)
            vectors = {source: _vectors(found, source) for source in facts["sources"]}
            table = Neighbours(found["neighbours.items"], found["neighbours.keys"], found["neighbours.weights"])
            categories = {
                name: ItemCategories(found[f"categorized.{name}"], found[f"starts.{name}"], found[f"values.{name}"])
                for name in facts["categories"]
            }
            spec = HistorySpec.model_validate(facts["spec"])
            return cls(spec, float(facts["overall_rate"]), vectors, table, categories, _form(facts["form"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise BundleError(
                f"the history definition in {folder} is damaged ({type(error).__name__}: {said}): restore the bundle "
                "from a copy, or train again"
            ) from None

    @cached_property
    def _plans(self) -> dict[Owner, Plan]:
        tables = (self.index, self.tables, self.all_categories)
        return {layout.owner: plan_of(layout, *tables) for layout in (self.user, self.item)}

    @cached_property
    def _blanks(self) -> dict[Owner, NDArray[np.void]]:
        prior = {"prior_taste": self.spec.prior_taste, "prior_level": self.spec.prior_level}
        return {layout.owner: layout.blank(**prior) for layout in (self.user, self.item)}

    @property
    def _pairs(self) -> tuple[PairWindow, ...]:
        asked = [
            PairWindow(f.category, window_of(f))
            for f in self.spec.fields
            if isinstance(f, WindowField) and f.category is not None
        ]
        return tuple(dict.fromkeys(asked))

    def _layout(self, owner: Owner, *, last: int, tastes: dict[str, int]) -> StateLayout:
        asked = [window_of(f) for f in self.spec.fields if isinstance(f, WindowField) and f.owner == owner]
        windows = list(dict.fromkeys([Window("all"), *asked]))
        sums = tuple(w for w in windows if w.kind != "last")
        tiled = tuple(w for w in windows if w.kind == "last")
        pairs = self._pairs if owner == "user" else ()
        spec = self.spec
        parts: list[object] = [owner, [(w.kind, w.span_us) for w in windows], last, tastes, spec.delay_us]
        if owner == "user":
            digests: dict[str, str] = {s: content_hash(self.vectors[s].vectors.round(5).tolist()) for s in tastes}
            parts += [spec.smoothing, self.overall_rate, spec.prior_taste, spec.prior_level, digests]
            counted = {pair.category: content_hash(self.categories[pair.category].values.tolist()) for pair in pairs}
            parts += [[(pair.category, pair.window.span_us) for pair in pairs], spec.pair_values, counted]
        fingerprint = content_hash(parts)[:16]
        return StateLayout(owner, sums, tiled, pairs, spec.pair_values, last, tastes, spec.delay_us, fingerprint)


def _vectors(found: Mapping[str, NDArray[Any]], source: str) -> ItemVectors:
    """Those of a source among what was saved."""
    made_by = Projection(found[f"mean.{source}"], found[f"components.{source}"]) if f"mean.{source}" in found else None
    return ItemVectors(found[f"items.{source}"], found[f"vectors.{source}"], made_by)


def _form(content: dict[str, Any] | None) -> ItemForm | None:
    if content is None:
        return None
    return ItemForm(**{**content, "columns": {name: tuple(values) for name, values in content["columns"].items()}})


def _digest(array: NDArray[Any]) -> str:
    """sha256 of an array's type, shape and numbers."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
