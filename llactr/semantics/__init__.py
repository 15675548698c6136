"""Language models that learn what fields mean: encoders, fine-tuning, field vectors and their version.

Names are loaded on first use: torch and transformers are not imported with this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llactr.semantics.accuracy import FieldAccuracy
    from llactr.semantics.adapters import LoraSettings
    from llactr.semantics.colike import ColikeConfig, ColikeResult, colike_windows, tune_colike
    from llactr.semantics.encoder import Encoder, EncoderConfig, load_encoder
    from llactr.semantics.field_values import distinct_field_values, value_text
    from llactr.semantics.finetune_result import FinetuneResult
    from llactr.semantics.finetuning import FinetuneConfig, finetune
    from llactr.semantics.models import resolve_model
    from llactr.semantics.placebo import permuted, random_like
    from llactr.semantics.prompts import DEFAULT_PROMPTS, Prompts
    from llactr.semantics.texts import value_texts
    from llactr.semantics.torch_encoder import TorchEncoder
    from llactr.semantics.tuning import TuningConfig, TuningProgress, TuningRun
    from llactr.semantics.value_encoding import EncodedPiece, encode_pieces, new_pieces
    from llactr.semantics.value_placebos import bag_of_words_values, permuted_values, random_values
    from llactr.semantics.value_vectors import FieldValueVectors, ValueVectors, values_version
    from llactr.semantics.vectors import FieldVectors, encode_fields
    from llactr.semantics.version import semantics_version

__all__ = [
    "DEFAULT_PROMPTS",
    "ColikeConfig",
    "ColikeResult",
    "EncodedPiece",
    "Encoder",
    "EncoderConfig",
    "FieldAccuracy",
    "FieldValueVectors",
    "FieldVectors",
    "FinetuneConfig",
    "FinetuneResult",
    "LoraSettings",
    "Prompts",
    "TorchEncoder",
    "TuningConfig",
    "TuningProgress",
    "TuningRun",
    "ValueVectors",
    "bag_of_words_values",
    "colike_windows",
    "distinct_field_values",
    "encode_fields",
    "encode_pieces",
    "finetune",
    "load_encoder",
    "new_pieces",
    "permuted",
    "permuted_values",
    "random_like",
    "random_values",
    "resolve_model",
    "semantics_version",
    "tune_colike",
    "value_text",
    "value_texts",
    "values_version",
]

_HOME = {
    "ColikeConfig": "colike",
    "ColikeResult": "colike",
    "colike_windows": "colike",
    "tune_colike": "colike",
    "FieldValueVectors": "value_vectors",
    "ValueVectors": "value_vectors",
    "values_version": "value_vectors",
    "value_texts": "texts",
    "encode_pieces": "value_encoding",
    "new_pieces": "value_encoding",
    "EncodedPiece": "value_encoding",
    "bag_of_words_values": "value_placebos",
    "permuted_values": "value_placebos",
    "random_values": "value_placebos",
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
