"""Cold starts in training: in some rows a user or an item is treated as if it had never been seen.

A vocabulary made of training rows leaves the out-of-vocabulary row untrained: what the model says of a new item is then
an accident of its initial weights. Here, with a small probability per row and entity, the ids that only that entity
has are replaced by what stands in for an unseen value: E_oov, or E_oov + z P where there are value vectors. (The idea
is DropoutNet's, Volkovs et al. 2017, on one table instead of two towers.)

Letters: B rows, C id slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llactr.ctr.embedding import FusedEmbedding
from llactr.spec import CategoricalField, DatasetSpec
from llactr.transforms import FIRST, Transform

__all__ = ["ColdStart"]


@dataclass(frozen=True)
class _Entity:
    """The key's field, and the fields that a new entity may bring new values of: (field, slot, training counts)."""

    key: tuple[int, int, Tensor]
    others: tuple[tuple[int, int, Tensor], ...]


@dataclass(frozen=True)
class ColdStart:
    """Which rows are made cold.

    Attributes:
        share: probability per row and entity.
        entities: users, items.
    """

    share: float
    entities: tuple[_Entity, ...]

    @classmethod
    def of(cls, spec: DatasetSpec, transform: Transform, share: float) -> ColdStart | None:
        """Cold starts of the entities whose join key is a categorical field; None for a share of 0."""
        if not share:
            return None
        layout = transform.layout
        entities = []
        for owner, entity in spec.entities.items():
            places = [
                (number, int(layout.slot_starts[number]), torch.from_numpy(transform.counts[number]))
                for number, field in enumerate(spec.fields)
                if field.owner == owner and isinstance(field, CategoricalField)
            ]
            keys = [place for place in places if spec.fields[place[0]].column == entity.join_key]
            if keys:
                entities.append(_Entity(keys[0], tuple(place for place in places if place is not keys[0])))
        return cls(share, tuple(entities))

    def __call__(self, ids: Tensor, embedding: FusedEmbedding) -> Tensor:
        """The ids (B, C) of a training batch, those of its cold users and items replaced.

        Args:
            ids: (B, C) local ids; not changed.
            embedding: says what stands in for a field's values; one with value vectors needs `has_stand_ins`.
        """
        made = ids.clone()
        for field, slot, chosen in self.draw(ids):
            made[:, slot] = torch.where(chosen, embedding.stand_ins(field, ids[:, slot]), ids[:, slot])
        return made

    def draw(self, ids: Tensor) -> list[tuple[int, int, Tensor]]:
        """(field, slot, rows) of the ids to replace, rows (B,) bool; drawn from torch's generator.

        A value goes with its entity when training rows hold it just as often: then it is (but for chance) that
        entity's alone, and a new entity would bring a new one. A shared value, such as a genre, stays.

        Args:
            ids: (B, C) local ids.
        """
        found = []
        for entity in self.entities:
            cold = torch.rand(len(ids), device=ids.device) < self.share  # (B,)
            field, slot, counts = entity.key
            cold &= ids[:, slot] >= FIRST
            seen = _counts(counts, ids[:, slot])
            found.append((field, slot, cold))
            for other_field, other_slot, other_counts in entity.others:
                alone = (_counts(other_counts, ids[:, other_slot]) == seen) & (ids[:, other_slot] >= FIRST)
                found.append((other_field, other_slot, cold & alone))
        return found


def _counts(counts: Tensor, ids: Tensor) -> Tensor:
    return counts.to(ids.device).index_select(0, ids.long().clamp(max=len(counts) - 1))
