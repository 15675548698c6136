"""A history definition: the spec's `history:` part with what was fitted on training rows, and what a state holds.

Legend: I items, r rank, d = r + 1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llactr.errors import BundleError, SpecError
from llactr.history.neighbours import Neighbours
from llactr.history.vectors import ItemVectors
from llactr.manifest import content_hash, file_hash
from llactr.spec.history import HistorySpec, TasteField, WindowField

__all__ = ["TILES", "HistoryDefinition", "StateLayout", "Window", "window_of"]

TILES = 8
"""Tiles of a window that covers a duration."""

Owner = Literal["user", "item"]

_FACTS, _TENSORS, _FORMAT = "history.json", "history.safetensors", 1
_VERSION_DIGITS = 16


@dataclass(frozen=True)
class Window:
    """A window: of all time (`span_us` 0), decaying, or of the last microseconds in tiles."""

    kind: Literal["all", "half_life", "last"]
    span_us: int = 0


def window_of(spec: WindowField) -> Window:
    """The window that a field reads."""
    if spec.last is not None:
        return Window("last", round(spec.last * 1_000_000))
    if spec.half_life is not None:
        return Window("half_life", round(spec.half_life * 1_000_000))
    return Window("all")


@dataclass(frozen=True)
class StateLayout:
    """What the state of a user, or of an item, holds.

    Attributes:
        owner: whose state.
        sums: windows kept as one pair of numbers; that of all time is the first.
        tiled: windows kept in `TILES` tiles.
        last: N, the events kept one by one; 0 for items.
        tastes: source of vectors -> d of its regression; empty for items.
        delay_us: how long after an event its outcome is known.
        fingerprint: of everything that a state's numbers depend on; states of another one cannot be read.
    """

    owner: Owner
    sums: tuple[Window, ...]
    tiled: tuple[Window, ...]
    last: int
    tastes: Mapping[str, int]
    delay_us: int
    fingerprint: str


@dataclass(frozen=True)
class HistoryDefinition:
    """How events become states, and states become features.

    Attributes:
        spec: the dataset spec's `history`.
        overall_rate: share of clicks of training rows, towards which rates are smoothed.
        vectors: source -> vectors of items, for every source that a field names but `item_item`.
        neighbours: of items, for `item_item`; empty where nothing is known yet.
    """

    spec: HistorySpec
    overall_rate: float
    vectors: Mapping[str, ItemVectors] = field(default_factory=dict)
    neighbours: Neighbours = field(default_factory=Neighbours.empty)

    def __post_init__(self) -> None:
        missing = sorted(self._sources - set(self.vectors))
        if missing:
            raise SpecError(
                f"history fields read vectors of {', '.join(missing)}, which are not there: run 'llactr encode "
                "--values' for text, give items categorical or multi_valued fields for categories, or leave them out"
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
        digests = {source: [_digest(array) for array in arrays] for source, arrays in tables.items()}
        return content_hash([self.spec.model_dump(mode="json"), self.overall_rate, digests])[:_VERSION_DIGITS]

    def only(self, names: Collection[str]) -> HistoryDefinition:
        """The definition of some of the fields, in their order here: their numbers are the same, its states smaller."""
        fields = tuple(one for one in self.spec.fields if one.name in names)
        sources: set[str] = {one.vectors for one in fields if isinstance(one, TasteField)}
        vectors = {source: one for source, one in self.vectors.items() if source in sources}
        neighbours = self.neighbours if "item_item" in sources else Neighbours.empty()
        spec = self.spec.model_copy(update={"fields": fields})
        return HistoryDefinition(spec, self.overall_rate, vectors, neighbours)

    @property
    def _sources(self) -> set[str]:
        named: set[str] = {f.vectors for f in self.spec.fields if isinstance(f, TasteField)}
        return named - {"item_item"}

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
    def tables(self) -> dict[str, NDArray[np.float32]]:
        """Source -> (I + 1, r) float32, zeros last."""
        return {source: vectors.padded() for source, vectors in self.vectors.items()}

    @cached_property
    def directions(self) -> dict[str, NDArray[np.float32]]:
        """Source -> (I + 1, r) float32 of length 1, zeros where there is no vector."""
        found = {}
        for source, table in self.tables.items():
            norms = np.linalg.norm(table, axis=1, keepdims=True)
            found[source] = (table / np.where(norms > 0, norms, 1)).astype(np.float32)
        return found

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
        table = self.neighbours
        tensors |= {"neighbours.items": table.items, "neighbours.keys": table.keys, "neighbours.weights": table.weights}
        save_file(tensors, folder / _TENSORS)
        facts = {
            "format": _FORMAT,
            "spec": self.spec.model_dump(mode="json"),
            "overall_rate": self.overall_rate,
            "sources": sorted(self.vectors),
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
            vectors = {s: ItemVectors(found[f"items.{s}"], found[f"vectors.{s}"]) for s in facts["sources"]}
            table = Neighbours(found["neighbours.items"], found["neighbours.keys"], found["neighbours.weights"])
            return cls(HistorySpec.model_validate(facts["spec"]), float(facts["overall_rate"]), vectors, table)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            said = " ".join(str(error).split())[:200]
            raise BundleError(
                f"the history definition in {folder} is damaged ({type(error).__name__}: {said}): restore the bundle "
                "from a copy, or train again"
            ) from None

    def _layout(self, owner: Owner, *, last: int, tastes: dict[str, int]) -> StateLayout:
        asked = [window_of(f) for f in self.spec.fields if isinstance(f, WindowField) and f.owner == owner]
        windows = list(dict.fromkeys([Window("all"), *asked]))
        sums = tuple(w for w in windows if w.kind != "last")
        tiled = tuple(w for w in windows if w.kind == "last")
        spec = self.spec
        parts: list[object] = [owner, [(w.kind, w.span_us) for w in windows], last, tastes, spec.delay_us]
        if owner == "user":
            digests = {s: content_hash(self.vectors[s].vectors.round(5).tolist()) for s in tastes}
            parts += [spec.smoothing, self.overall_rate, spec.prior_taste, spec.prior_level, digests]
        return StateLayout(owner, sums, tiled, last, tastes, spec.delay_us, content_hash(parts)[:16])


def _digest(array: NDArray[Any]) -> str:
    """sha256 of an array's type, shape and numbers."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
