"""LLM field semantics for CTR models, from a feature store to a score.

Names are loaded on first use: importing this package imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.api.comparing import Evaluation, evaluate
    from llactr.api.opened import OpenWorkspace, open  # noqa: A004  # as in gzip.open
    from llactr.api.own_model import TrainedModel, train
    from llactr.api.scorer import Scorer
    from llactr.api.training_data import TrainingData
    from llactr.errors import LlactrError
    from llactr.steps import StepOutcome

__all__ = [
    "Evaluation",
    "LlactrError",
    "OpenWorkspace",
    "Scorer",
    "StepOutcome",
    "TrainedModel",
    "TrainingData",
    "__version__",
    "evaluate",
    "open",
    "train",
]
__version__ = "0.1.0"

__getattr__ = loader(
    __name__,
    {
        "Evaluation": "api.comparing",
        "LlactrError": "errors",
        "OpenWorkspace": "api.opened",
        "Scorer": "api.scorer",
        "StepOutcome": "steps",
        "TrainedModel": "api.own_model",
        "TrainingData": "api.training_data",
        "evaluate": "api.comparing",
        "open": "api.opened",
        "train": "api.own_model",
    },
)
