"""What a warm training is told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["WarmConfig"]


class WarmConfig(BaseModel):
    """How training goes on from a bundle.

    Attributes:
        enabled: whether `llactr advance` goes on from the champion; else it trains anew each time.
        new_value_passes: passes over the new rows in which new values alone are trained, before all else is
            (`llactr.ctr.training.warm.new_values`).
        epochs: passes over the rows of a warm training at most; the one that is best on validation is kept.
        replay_share: rows of before that are trained on again, for each new row.
        held_out_rows: the newest rows of the validation split, and of the test split, that are looked at: at most so
            many of each, so that a day's cost does not grow with the data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    new_value_passes: int = Field(default=10, ge=0)
    epochs: int = Field(default=1, ge=1)
    replay_share: float = Field(default=1.0, ge=0)
    held_out_rows: int = Field(default=20_000, ge=1)
