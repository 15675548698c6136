"""A model that begins with what another one has learned: known values keep their rows and moments, new ones get theirs.

Rows are found by value, whatever ids the two vocabularies give: see `Transform.rows_in`.

Letters: R rows of the fused table, D embedding dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from llactr.ctr.bundle import Bundle
from llactr.ctr.config import ModelConfig
from llactr.ctr.model import CTRModel
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.state import TABLES, TrainedState
from llactr.ctr.values.embedding import ValueEmbedding
from llactr.errors import InputError
from llactr.spec import DatasetSpec
from llactr.transforms import Transform

__all__ = ["WarmBase", "moved_moments", "take_over", "unlike_fields", "unlike_models"]


@dataclass(frozen=True)
class WarmBase:
    """What training goes on from: a bundle, and the state that its training left."""

    folder: Path
    bundle: Bundle
    state: TrainedState

    @classmethod
    def load(cls, folder: Path) -> WarmBase:
        """That of a bundle's folder.

        Raises:
            BundleError: the bundle, or its training state, is damaged.
            InputError: it has no training state.
        """
        state = TrainedState.load(folder)
        if state is None:
            raise InputError(
                f"the bundle {folder.name} has no training state to go on from: it was made before there were any; "
                "train anew, without --warm"
            )
        return cls(folder, Bundle.load(folder), state)

    @property
    def name(self) -> str:
        """The bundle's id."""
        return self.folder.name

    def wanted(self, config: TrainJobConfig) -> TrainJobConfig:
        """A configuration, with the bundle's model where it says nothing of it."""
        given = {name: getattr(config, name) for name in config.model_fields_set}
        if config.arm is None:
            given.pop("arm", None)
        return TrainJobConfig.model_validate({**self.state.facts.config, **given})

    @property
    def weights(self) -> dict[str, Tensor]:
        """All weights by name; the table is the folded one, and what places value vectors comes beside it."""
        weights = dict(self.bundle.model.state_dict())
        placed = () if self.bundle.values is None else self.bundle.values.fields.values()
        for number, field in enumerate(placed):
            weights[f"embedding.projections.{number}"] = torch.from_numpy(field.embedding)
            if "embedding.linear" in weights:
                weights[f"embedding.linear_projections.{number}"] = torch.from_numpy(field.linear)[:, None]
        return weights


def unlike_fields(known: DatasetSpec, spec: DatasetSpec) -> str:
    """Why models of two specs cannot share rows, in a few words; empty where they can."""
    old, new = ({field.name: field for field in one.fields} for one in (known, spec))
    if list(old) != list(new):
        gone, added = [name for name in old if name not in new], [name for name in new if name not in old]
        return f"the fields are others (without {gone or 'none'}, with {added or 'none'}, or in another order)"
    for name, field in new.items():
        if field.kind != old[name].kind:
            return f"field {name!r} was {old[name].kind} and is {field.kind}"
        if getattr(field, "max_values", None) != getattr(old[name], "max_values", None):
            return f"field {name!r} has another max_values"
    return ""


def unlike_models(known: ModelConfig, config: ModelConfig) -> str:
    """Why the weights of one model do not fit another, in a few words; empty where they do."""
    if known.backbone != config.backbone:
        return f"its backbone is {known.backbone}, not {config.backbone}"
    if known.embedding_dim != config.embedding_dim:
        return f"its embeddings have {known.embedding_dim} dimensions, not {config.embedding_dim}"
    for name, said in (("enhancement", "enhancement"), ("history", "history fields"), ("settings", "settings")):
        if getattr(known, name) != getattr(config, name):
            return f"its model has other {said}" if name != "enhancement" else "its model has another enhancement"
    return ""


def take_over(model: CTRModel, weights: Mapping[str, Tensor], *, own: Transform, other: Transform) -> None:
    """Puts weights into a fresh model, in place; rows of values that only this one knows stay as they were made.

    What value vectors add to a value's row depends on how often it was seen. It is taken off the rows that are taken
    over, so that a model begins with the scores that the other one gave.

    Args:
        model: of the layout of `own`.
        weights: by name, of a model like it with the layout of `other`, value vectors folded into its table.
        own: the fresh model's vocabularies.
        other: those of the weights.

    Raises:
        InputError: a weight is missing, or has another shape.
    """
    if "output.shift" in weights and model.output is None:
        model.calibrate(1.0, 0.0)
    rows = torch.from_numpy(own.rows_in(other))
    known = rows >= 0
    with torch.no_grad():
        for name, value in model.state_dict().items():
            given = weights.get(name)
            if (
                given is None
                or given.shape[1:] != value.shape[1:]
                or (name not in TABLES and given.shape != value.shape)
            ):
                raise InputError(
                    f"the weights to go on from do not fit: {name!r} is {_shape(given)}, expected {_shape(value)}; "
                    "train anew, without --warm"
                )
            if name in TABLES:
                value[known] = given[rows[known]]
            else:
                value.copy_(given)
        if isinstance(model.embedding, ValueEmbedding):
            _unfold(model.embedding, known)


def moved_moments(moments: Mapping[str, Tensor], *, own: Transform, other: Transform) -> dict[str, Tensor]:
    """Moments of a model with the vocabularies of `other`, for one with those of `own`; new values have zeros."""
    rows = torch.from_numpy(own.rows_in(other))
    known = rows >= 0
    moved = {}
    for name, value in moments.items():
        if name.rpartition(".")[0] in TABLES and value.dim():
            moved[name] = value.new_zeros((len(rows), *value.shape[1:]))
            moved[name][known] = value[rows[known]]
        else:
            moved[name] = value.clone()
    return moved


def _unfold(embedding: ValueEmbedding, known: Tensor) -> None:
    """Takes what value vectors add off the known rows (R,): what is in use is then what was taken over."""
    count = len(known)
    embedding.weight[known] -= (embedding.table()[:count] - embedding.weight)[known]
    linear = embedding.linear_table()
    if linear is not None and embedding.linear is not None:
        embedding.linear[known] -= (linear[:count] - embedding.linear)[known]


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(tuple(tensor.shape))
