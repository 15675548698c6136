"""The CTR model: one fused table, one backbone, and the enhancement where there are field vectors.

Letters: B rows, C id slots, F fields, L semantic dim, V semantics versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from llactr.ctr.backbones import make_backbone
from llactr.ctr.config import ModelConfig
from llactr.ctr.embedding import FusedEmbedding
from llactr.ctr.enhancement import Enhancement
from llactr.errors import InputError

if TYPE_CHECKING:
    from llactr.transforms import FieldLayout

__all__ = ["CTRModel", "Loss", "predict"]

_SCORING_ROWS = 4096


class Loss(NamedTuple):
    """The loss of a batch, scalars: `total = clicks + lambda_fre * representation`."""

    total: Tensor
    clicks: Tensor
    representation: Tensor | None


class CTRModel(nn.Module):
    """Ids in, logits out.

    Args:
        config: backbone, sizes, enhancement.
        layout: the fields, their vocabularies and slots.
        field_vectors: (V, F, L) float, one (F, L) block per semantics version; needed for an enhancement, and for
            nothing else.
        seed: of the initial weights; the global generator is left as it was.
    """

    def __init__(
        self, config: ModelConfig, layout: FieldLayout, field_vectors: Tensor | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        self.layout = layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = make_backbone(config, field_count=layout.field_count)
            self.embedding = FusedEmbedding(
                layout, dim=config.embedding_dim, init_std=config.init_std, linear=self.backbone.linear
            )
            self.enhancement: Enhancement | None = None
            if config.enhancement is not None:
                vectors = _checked_vectors(field_vectors, layout)
                self.enhancement = Enhancement(config.enhancement, field_vectors=vectors, dim=config.embedding_dim)

    @property
    def version_count(self) -> int:
        """V, 1 for a plain model."""
        return 1 if self.enhancement is None else self.enhancement.version_count

    def forward(self, ids: Tensor, version: Tensor | None = None) -> Tensor:
        """Logits of a batch.

        Args:
            ids: (B, C) int32 or int64, local ids.
            version: (B,) int, position of each row's semantics version among the V; unused when V is 1.

        Returns:
            (B,) float.
        """
        rows = self.embedding.row_ids(ids)
        _, logits = self._logits(self.embedding.table(), rows, ids, self._needed(version))
        return logits

    def loss(self, ids: Tensor, label: Tensor, version: Tensor | None = None) -> Loss:
        """Mean binary cross-entropy of a batch, and what FRE adds.

        Args:
            ids: (B, C) int, local ids.
            label: (B,) float, 0 or 1.
            version: (B,) int, as in `forward`.
        """
        version = self._needed(version)
        rows = self.embedding.row_ids(ids)
        table = self.embedding.table()
        embedded, logits = self._logits(table, rows, ids, version)
        clicks = functional.binary_cross_entropy_with_logits(logits, label)
        if self.enhancement is None or not self.enhancement.config.fre:
            return Loss(clicks, clicks, None)
        representation = self.enhancement.representation_loss(
            self.embedding, table=table, rows=rows, embedded=embedded, version=version
        )
        return Loss(clicks + self.enhancement.config.lambda_fre * representation, clicks, representation)

    def _logits(self, table: Tensor, rows: Tensor, ids: Tensor, version: Tensor | None) -> tuple[Tensor, Tensor]:
        embedded = self.embedding.embed(table, rows, ids=ids, field_major=self.backbone.field_major)  # (B, F, D)
        linear = self.embedding.linear_table()
        first_order = None if linear is None else self.embedding.first_order(linear, rows, ids=ids)
        pairs = None if self.enhancement is None else self.enhancement.pair_weights(version)
        return embedded, self.backbone(embedded, first_order=first_order, pairs=pairs)

    def _needed(self, version: Tensor | None) -> Tensor | None:
        if self.version_count == 1:
            return None
        if version is None:
            raise InputError(f"the model holds {self.version_count} semantics versions: say which one each row has")
        return version


def predict(
    model: CTRModel, ids: NDArray[np.int32] | Tensor, version: NDArray[np.int32] | Tensor | None = None
) -> NDArray[np.float32]:
    """Click probabilities (N,) float32 of local ids (N, C); the model is left in evaluation mode.

    Memory grows with `_SCORING_ROWS`, not with N.
    """
    model.eval()
    ids = torch.as_tensor(ids)
    version = None if version is None else torch.as_tensor(version)
    scores = np.empty(len(ids), np.float32)
    with torch.inference_mode():
        for start in range(0, len(ids), _SCORING_ROWS):
            rows = slice(start, start + _SCORING_ROWS)
            scores[rows] = torch.sigmoid(model(ids[rows], None if version is None else version[rows])).numpy()
    return scores


def _checked_vectors(field_vectors: Tensor | None, layout: FieldLayout) -> Tensor:
    """(V, F, L) float32 field vectors that fit the layout."""
    if field_vectors is None:
        raise InputError("an enhanced model needs field vectors: run 'llactr encode' first, or train without enhancement")
    vectors = field_vectors.unsqueeze(0) if field_vectors.dim() == 2 else field_vectors
    if vectors.dim() != 3 or vectors.shape[1] != layout.field_count:
        raise InputError(
            f"field vectors have the shape {tuple(field_vectors.shape)}, expected (versions, {layout.field_count} "
            "fields, L): run 'llactr encode' for this dataset"
        )
    if not bool(torch.isfinite(vectors).all()):
        raise InputError("field vectors hold numbers that are not finite: run 'llactr encode --force'")
    return vectors.detach().to(torch.float32)
