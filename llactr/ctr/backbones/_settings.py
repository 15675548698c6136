"""The sizes of a backbone, as frozen settings; read without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["BackboneSettings"]


class BackboneSettings(BaseModel):
    """The sizes of a backbone, all with defaults; as it stands, of one that has none of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
