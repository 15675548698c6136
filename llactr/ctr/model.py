"""The CTR model: one fused table, one backbone, and the enhancement where there are field vectors.

Letters: B rows, C id slots, F fields, L semantic dim, V semantics versions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from llactr.ctr.backbones import BACKBONES
from llactr.ctr.calibration import OutputScale
from llactr.ctr.config import ModelConfig
from llactr.ctr.embedding import FusedEmbedding
from llactr.ctr.enhancement import Enhancement
from llactr.ctr.history import HistoryInput
from llactr.ctr.isotonic import Curve, OutputCurve
from llactr.ctr.lookup import Lookup
from llactr.ctr.pairs import PairWeights, widened
from llactr.ctr.values.embedding import ValueEmbedding, ValueTables
from llactr.errors import InputError

if TYPE_CHECKING:
    from llactr.ctr.backbones.base import Backbone
    from llactr.transforms import FieldLayout

__all__ = ["CTRModel", "Loss", "predict", "predict_logits"]

_SCORING_ROWS, _SCORING_ROWS_OF_A_GPU = 4096, 65_536


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
        values: gated value vectors to train with; a model that only scores has them folded in (`folded`).
        seed: of the initial weights; the global generator is left as it was.
        own: makes a backbone of the caller's own for so many fields, in place of the configuration's.
    """

    def __init__(
        self,
        config: ModelConfig,
        layout: FieldLayout,
        field_vectors: Tensor | None = None,
        *,
        values: ValueTables | None = None,
        seed: int = 0,
        own: Callable[[int], Backbone] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.layout = layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            dim, std = config.embedding_dim, config.init_std
            self.history: HistoryInput | None = None
            if config.history is not None:
                self.history = HistoryInput(config.history, dim=dim, init_std=std)
            embedded = 0 if self.history is None else self.history.embedded_count
            count = layout.field_count + embedded
            self.backbone = (
                BACKBONES[config.backbone](config.settings, field_count=count, dim=dim) if own is None else own(count)
            )
            linear = self.backbone.linear
            self.embedding = (
                FusedEmbedding(layout, dim=dim, init_std=std, linear=linear)
                if values is None
                else ValueEmbedding(layout, values, dim=dim, init_std=std, linear=linear)
            )
            self.enhancement: Enhancement | None = None
            self._with_past = layout.field_count + embedded
            if config.enhancement is not None:
                vectors = _checked_vectors(field_vectors, layout)
                self.enhancement = Enhancement(config.enhancement, field_vectors=vectors, dim=config.embedding_dim)
        self.output: OutputScale | None = OutputScale() if config.calibrated else None
        self.curve: OutputCurve | None = OutputCurve(config.bends) if config.bends else None

    def calibrate(self, scale: float, shift: float) -> None:
        """Has scale and shift follow what the model says; they add up with those it has."""
        if self.output is None:
            self.config = self.config.model_copy(update={"calibrated": True})
            self.output = OutputScale().to(self.embedding.weight.device)
        self.output.then(scale, shift)

    def bend(self, curve: Curve) -> None:
        """Has a curve follow what the model says, in the place of one that it had."""
        self.config = self.config.model_copy(update={"bends": len(curve.bend)})
        self.curve = OutputCurve.of(curve).to(self.embedding.weight.device)

    def calibrated(self, logits: Tensor) -> Tensor:
        """Logits (B,) of the backbone as they are scored."""
        logits = logits if self.output is None else self.output(logits)
        return logits if self.curve is None else self.curve(logits)

    @property
    def version_count(self) -> int:
        """V, 1 for a plain model."""
        return 1 if self.enhancement is None else self.enhancement.version_count

    def forward(self, ids: Tensor, version: Tensor | None = None, *, lookup: Lookup | None = None) -> Tensor:
        """Logits of a batch.

        Args:
            ids: (B, C) int32 or int64, local ids; (B, C + H) int32 with history, see `llactr.ctr.history`.
            version: (B,) int, position of each row's semantics version among the V; unused when V is 1.
            lookup: the tables to read instead of the whole ones, from `FusedEmbedding.distinct_lookup`.

        Returns:
            (B,) float.
        """
        ids, numbers = self.split(ids)
        lookup = self.embedding.lookup(ids) if lookup is None else lookup
        return self._logits(lookup, ids, numbers, self._needed(version))[1]

    def ids(self, rows: Tensor) -> Tensor:
        """Ids (B, C) of rows."""
        return rows if self.history is None else self.history.ids(rows)

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Ids (B, C) of rows, and history numbers (B, 2, G) where the model reads them; see `llactr.ctr.history`."""
        return (rows, None) if self.history is None else self.history.split(rows)

    def loss(self, ids: Tensor, label: Tensor, version: Tensor | None = None, *, lookup: Lookup | None = None) -> Loss:
        """Mean binary cross-entropy of a batch, and what FRE adds.

        Args:
            ids: as in `forward`.
            label: (B,) float, 0 or 1.
            version: (B,) int, as in `forward`.
            lookup: as in `forward`.
        """
        version = self._needed(version)
        ids, numbers = self.split(ids)
        lookup = self.embedding.lookup(ids) if lookup is None else lookup
        embedded, logits = self._logits(lookup, ids, numbers, version)
        clicks = functional.binary_cross_entropy_with_logits(logits, label)
        if self.enhancement is None or not self.enhancement.config.fre:
            return Loss(clicks, clicks, None)
        representation = self.enhancement.representation_loss(
            self.embedding, lookup, embedded=embedded, version=version
        )
        return Loss(clicks + self.enhancement.config.lambda_fre * representation, clicks, representation)

    def _logits(
        self, lookup: Lookup, ids: Tensor, numbers: Tensor | None, version: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        """Embeddings (B, F, D) of fields with ids, where they were needed, and logits (B,)."""
        embedded, logits = self._uncalibrated(lookup, ids, numbers, version)
        return embedded, self.calibrated(logits)

    def _uncalibrated(
        self, lookup: Lookup, ids: Tensor, numbers: Tensor | None, version: Tensor | None
    ) -> tuple[Tensor | None, Tensor]:
        pairs = None if self.enhancement is None else self.enhancement.pair_weights(version)
        if self._reads_tables and (lookup.segments is not None or not torch.is_grad_enabled()):
            if self.history is None or numbers is None:
                return None, self.backbone.from_tables(lookup)
            logits = self.backbone.from_tables(lookup, scaled=self.history.scaled(numbers))
            return None, logits + self.history.logit(numbers)
        embedded = self.embedding.embed(lookup, ids=ids, field_major=self.backbone.field_major)  # (B, F, D)
        first_order = None if lookup.linear is None else self.embedding.first_order(lookup, ids=ids)
        if self.history is None or numbers is None:
            return embedded, self.backbone(embedded, first_order=first_order, pairs=pairs)
        scaled = self.history.scaled(numbers)
        if self.backbone.takes_scaled and pairs is None:
            logits = self.backbone.with_scaled(embedded, scaled, first_order=first_order)
            return embedded, logits + self.history.logit(numbers)
        everything = torch.cat([embedded, scaled.embeddings()], dim=1)  # (B, F + E, D)
        if pairs is not None:  # FIE knows of pairs of fields with ids alone
            wide = widened(pairs.vectors, field_count=self.layout.field_count, wanted=self._with_past)
            pairs = PairWeights(wide, pairs.version)
        logits = self.backbone(everything, first_order=first_order, pairs=pairs)
        return embedded, logits + self.history.logit(numbers)

    @property
    def reads_field_major(self) -> bool:
        """In which order the tables' different rows are best sorted for this model."""
        return self.backbone.field_major and not self._reads_tables

    @property
    def _reads_tables(self) -> bool:
        """Whether the backbone takes tables instead of embeddings: one value a field, no pair weights."""
        weighs_pairs = self.enhancement is not None and self.enhancement.config.fie
        takes = self.backbone.reads_tables and not weighs_pairs and not self.embedding.multi_valued
        return takes and (self.history is None or self.backbone.takes_scaled)

    def _needed(self, version: Tensor | None) -> Tensor | None:
        if self.version_count == 1:
            return None
        if version is None:
            raise InputError(f"the model holds {self.version_count} semantics versions: say which one each row has")
        return version


def predict(
    model: CTRModel, ids: NDArray[np.int32] | Tensor, version: NDArray[np.int32] | Tensor | None = None
) -> NDArray[np.float32]:
    """Click probabilities (N,) float32 of local ids (N, C), computed where the model is; it is left in evaluation mode.

    Memory does not grow with N: a piece of rows is scored at a time, a larger one on a GPU.
    """
    return _scored(model, ids, version, torch.sigmoid)


def predict_logits(
    model: CTRModel, ids: NDArray[np.int32] | Tensor, version: NDArray[np.int32] | Tensor | None = None
) -> NDArray[np.float32]:
    """Logits (N,) float32; otherwise as `predict`."""
    return _scored(model, ids, version, lambda logits: logits)


def _scored(
    model: CTRModel,
    ids: NDArray[np.int32] | Tensor,
    version: NDArray[np.int32] | Tensor | None,
    last: Callable[[Tensor], Tensor],
) -> NDArray[np.float32]:
    model.eval()
    device = model.embedding.weight.device
    ids = torch.as_tensor(ids)
    version = None if version is None else torch.as_tensor(version)
    scores = np.empty(len(ids), np.float32)
    size = _SCORING_ROWS if device.type == "cpu" else _SCORING_ROWS_OF_A_GPU
    with torch.inference_mode():
        for start in range(0, len(ids), size):
            rows = slice(start, start + size)
            part = None if version is None else version[rows].to(device)
            scores[rows] = last(model(ids[rows].to(device), part)).cpu().numpy()
    return scores


def _checked_vectors(field_vectors: Tensor | None, layout: FieldLayout) -> Tensor:
    """(V, F, L) float32 field vectors that fit the layout."""
    if field_vectors is None:
        raise InputError(
            "an enhanced model needs field vectors: run 'llactr encode' first, or train without enhancement"
        )
    vectors = field_vectors.unsqueeze(0) if field_vectors.dim() == 2 else field_vectors
    if vectors.dim() != 3 or vectors.shape[1] != layout.field_count:
        raise InputError(
            f"field vectors have the shape {tuple(field_vectors.shape)}, expected (versions, {layout.field_count} "
            "fields, L): run 'llactr encode' for this dataset"
        )
    if not bool(torch.isfinite(vectors).all()):
        raise InputError("field vectors hold numbers that are not finite: run 'llactr encode --force'")
    return vectors.detach().to(torch.float32)
