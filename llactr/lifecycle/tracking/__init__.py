"""What steps made, kept in MLflow as well, where somebody asks for it; nothing of it is imported otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.lifecycle.tracking.tracked import TrackedSteps, tracking

__all__ = ["TrackedSteps", "tracking"]

__getattr__ = loader(__name__, {"TrackedSteps": "tracked", "tracking": "tracked"})
