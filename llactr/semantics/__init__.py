"""Language models that learn what fields mean: encoders, fine-tuning, field vectors and their version.

Names are loaded on first use: torch and transformers are not imported with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llactr.semantics.accuracy import FieldAccuracy
    from llactr.semantics.adapters import LoraSettings
    from llactr.semantics.encoder import Encoder, EncoderConfig, load_encoder
    from llactr.semantics.field_values import distinct_field_values, value_text
    from llactr.semantics.finetune_result import FinetuneResult
    from llactr.semantics.finetuning import FinetuneConfig, finetune
    from llactr.semantics.models import resolve_model
    from llactr.semantics.placebo import permuted, random_like
    from llactr.semantics.prompts import DEFAULT_PROMPTS, Prompts
    from llactr.semantics.torch_encoder import TorchEncoder
    from llactr.semantics.tuning import TuningConfig, TuningProgress, TuningRun
    from llactr.semantics.vectors import FieldVectors, encode_fields
    from llactr.semantics.version import semantics_version

__all__ = [
    "DEFAULT_PROMPTS",
    "Encoder",
    "EncoderConfig",
    "FieldAccuracy",
    "FieldVectors",
    "FinetuneConfig",
    "FinetuneResult",
    "LoraSettings",
    "Prompts",
    "TorchEncoder",
    "TuningConfig",
    "TuningProgress",
    "TuningRun",
    "distinct_field_values",
    "encode_fields",
    "finetune",
    "load_encoder",
    "permuted",
    "random_like",
    "resolve_model",
    "semantics_version",
    "value_text",
]

_HOME = {
    "DEFAULT_PROMPTS": "prompts",
    "Encoder": "encoder",
    "EncoderConfig": "encoder",
    "FieldAccuracy": "accuracy",
    "FieldVectors": "vectors",
    "FinetuneConfig": "finetuning",
    "FinetuneResult": "finetune_result",
    "LoraSettings": "adapters",
    "Prompts": "prompts",
    "TorchEncoder": "torch_encoder",
    "TuningConfig": "tuning",
    "TuningProgress": "tuning",
    "TuningRun": "tuning",
    "distinct_field_values": "field_values",
    "encode_fields": "vectors",
    "finetune": "finetuning",
    "load_encoder": "encoder",
    "permuted": "placebo",
    "random_like": "placebo",
    "resolve_model": "models",
    "semantics_version": "version",
    "value_text": "field_values",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
