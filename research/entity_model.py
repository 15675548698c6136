"""What the entity-level baseline does: a text for every user and every item, and a CTR model that takes their vectors.

KAR-like (Xi et al. 2023, arXiv:2306.10933): a language model's vector of each user's and each item's profile, an
adapter of two small layers each, and the adapted vectors beside the fields' embeddings as two more fields.

Letters: B rows, F fields, D embedding dim, L semantic dim, U users, I items.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.ctr import CTRModel, ModelConfig
from llactr.ctr.backbones import BACKBONES
from llactr.ctr.lookup import Lookup
from llactr.spec import DatasetSpec, EntityOwner
from llactr.transforms import FieldLayout

__all__ = ["EntityModel", "profiles"]

ADAPTER_UNITS = 64


class EntityModel(CTRModel):
    """A plain model with two more fields, the adapted vectors of the row's user and item.

    The `version` of a row is its number here: the key to its user and item, whose ids an unseen one does not have.

    Args:
        vectors: user -> (U, L), item -> (I, L) float32.
        positions: user, item -> (N,) int64, each row's place among the vectors.
    """

    def __init__(
        self,
        config: ModelConfig,
        layout: FieldLayout,
        *,
        vectors: Mapping[EntityOwner, NDArray[np.float32]],
        positions: Mapping[EntityOwner, NDArray[np.int64]],
        seed: int,
    ) -> None:
        super().__init__(config, layout, seed=seed)
        dim = config.embedding_dim
        self._rows = len(next(iter(positions.values())))
        self._owners = tuple(vectors)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            count = layout.field_count + len(vectors)
            self.backbone = BACKBONES[config.backbone](config.settings, field_count=count, dim=dim)
            self.adapters = nn.ModuleDict(
                {
                    owner: nn.Sequential(
                        nn.Linear(found.shape[1], ADAPTER_UNITS), nn.ReLU(), nn.Linear(ADAPTER_UNITS, dim)
                    )
                    for owner, found in vectors.items()
                }
            )
        for owner in self._owners:
            self.register_buffer(f"_vectors_{owner}", torch.from_numpy(vectors[owner]), persistent=False)
            self.register_buffer(f"_positions_{owner}", torch.from_numpy(positions[owner]), persistent=False)

    @property
    def version_count(self) -> int:
        """More than one, so that training hands over each row's number."""
        return self._rows

    def _logits(
        self, lookup: Lookup, ids: Tensor, numbers: Tensor | None, version: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Embeddings (B, F + 2, D) and logits (B,); `numbers` of history are not read."""
        assert version is not None
        parts = [self.embedding.embed(lookup, ids=ids, field_major=False)]  # (B, F, D)
        for owner in self._owners:
            place = self.get_buffer(f"_positions_{owner}")[version.long()]  # (B,)
            distinct, back = torch.unique(place, return_inverse=True)
            adapted = self.adapters[owner](self.get_buffer(f"_vectors_{owner}")[distinct])  # (distinct, D)
            parts.append(adapted[back].unsqueeze(1))
        embedded = torch.cat(parts, dim=1)
        first_order = None if lookup.linear is None else self.embedding.first_order(lookup, ids=ids)
        return embedded, self.backbone(embedded, first_order=first_order, pairs=None)


def profiles(
    spec: DatasetSpec,
    owner: EntityOwner,
    entities: Mapping[EntityOwner, pa.Table],
    *,
    likes: pa.Table,
    titles: Mapping[str, str],
    history: int,
) -> dict[str, str]:
    """Key -> profile: the entity's fields in words, and for a user the last few items liked in training rows.

    Args:
        spec: names and describes the fields.
        owner: whose profiles.
        entities: raw rows of each entity, one a key.
        likes: training rows with label 1, in the order of time.
        titles: item key -> what a history calls it.
        history: how many liked items a user's profile lists.
    """
    table, key = entities[owner], spec.entities[owner].join_key
    fields = [field for field in spec.owned_by(owner) if field.column != key]
    columns = [pc.cast(table[field.name], pa.string()).to_pylist() for field in fields]
    texts = {}
    for number, name in enumerate(table[key].to_pylist()):
        words = [f"{f.name.replace('_', ' ')}: {c[number]}" for f, c in zip(fields, columns, strict=True) if c[number]]
        texts[name] = f"{'A user' if owner == 'user' else 'An item'} with {', '.join(words)}."
    if owner == "user" and history:
        liked: dict[str, list[str]] = {}
        item_key = spec.entities["item"].join_key
        for user, item in zip(likes[key].to_pylist(), likes[item_key].to_pylist(), strict=True):
            liked.setdefault(user, []).append(titles.get(item, item))
        for user, names in liked.items():
            if user in texts:
                texts[user] += f" Liked: {'; '.join(names[-history:])}."
    return texts
