"""A backbone that someone hands over as a module, without a package that registers it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator
from torch import Tensor, nn

from llactr.ctr.backbones import BackboneSettings
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.config import ModelConfig
from llactr.ctr.lookup import Lookup
from llactr.ctr.pairs import PairWeights
from llactr.ctr.scaled import ScaledFields
from llactr.errors import InputError

__all__ = ["OwnBackbone", "OwnModelConfig"]


class OwnModelConfig(ModelConfig):
    """The configuration of a model whose backbone is handed over: a name for people, and no settings."""

    backbone: str
    settings: BackboneSettings = Field(default_factory=BackboneSettings)

    @model_validator(mode="before")
    @classmethod
    def _settings_of_the_backbone(cls, content: Any) -> Any:
        return content


class OwnBackbone(Backbone):
    """A module that follows `llactr.ctr.backbones.base.Backbone`, whatever it is a class of.

    It is called as `module(embedded, first_order=..., pairs=...)` and returns logits (B,). What it does not say of
    itself (`linear`, `field_major`, `reads_tables`) is False.

    Raises:
        InputError: it cannot be called like that.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(BackboneSettings(), field_count=0, dim=0)
        self.module = module
        said: Mapping[str, bool] = {
            name: bool(getattr(module, name, False)) for name in ("linear", "field_major", "reads_tables")
        }
        self.linear, self.field_major, self.reads_tables = said.values()  # type: ignore[misc]
        try:
            inspect.signature(module.forward).bind(None, first_order=None, pairs=None)
        except TypeError as error:
            raise InputError(
                f"the backbone {type(module).__name__} cannot be called ({error}): its forward takes "
                "(embedded, *, first_order, pairs), see llactr.ctr.backbones.base"
            ) from None

    def forward(self, embedded: Tensor, *, first_order: Tensor | None, pairs: PairWeights | None) -> Tensor:
        """Logits (B,) of embeddings (B, F, D)."""
        logits: Tensor = self.module(embedded, first_order=first_order, pairs=pairs)
        if logits.shape != embedded.shape[:1]:
            raise InputError(
                f"the backbone {type(self.module).__name__} gave logits of shape {tuple(logits.shape)}, "
                f"expected ({len(embedded)},): one a row"
            )
        return logits

    def from_tables(self, lookup: Lookup, *, scaled: ScaledFields | None = None) -> Tensor:
        """Logits (B,) straight from the tables."""
        assert scaled is None, "only where `takes_scaled`"
        logits: Tensor = self.module.from_tables(lookup)  # type: ignore[operator]
        return logits
