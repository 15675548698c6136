"""Language models that learn what fields mean: encoders, fine-tuning, field vectors and their version.

Names are loaded on first use: torch and transformers are not imported with this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.semantics.config import SemanticsConfig, ValueSemanticsConfig
    from llactr.semantics.encoders.base import Encoder, EncoderConfig, load_encoder
    from llactr.semantics.encoders.models import resolve_model
    from llactr.semantics.encoders.torch_encoder import TorchEncoder
    from llactr.semantics.fields import FieldVectors, encode_fields
    from llactr.semantics.prompts import DEFAULT_PROMPTS, Prompts
    from llactr.semantics.texts import value_texts
    from llactr.semantics.tuning.accuracy import FieldAccuracy
    from llactr.semantics.tuning.colike import ColikeResult, colike_windows, tune_colike
    from llactr.semantics.tuning.config import ColikeConfig, FinetuneConfig, LoraSettings, TuningConfig
    from llactr.semantics.tuning.field_values import distinct_field_values, value_text
    from llactr.semantics.tuning.loop import TuningProgress, TuningRun
    from llactr.semantics.tuning.result import FinetuneResult
    from llactr.semantics.tuning.ssft import finetune
    from llactr.semantics.value_encoding import EncodedPiece, encode_pieces, new_pieces
    from llactr.semantics.values import FieldValueVectors, ValueVectors, values_version
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
    "SemanticsConfig",
    "TorchEncoder",
    "TuningConfig",
    "TuningProgress",
    "TuningRun",
    "ValueSemanticsConfig",
    "ValueVectors",
    "colike_windows",
    "distinct_field_values",
    "encode_fields",
    "encode_pieces",
    "finetune",
    "load_encoder",
    "new_pieces",
    "resolve_model",
    "semantics_version",
    "tune_colike",
    "value_text",
    "value_texts",
    "values_version",
]

__getattr__ = loader(
    __name__,
    {
        "ColikeConfig": "tuning.config",
        "ColikeResult": "tuning.colike",
        "DEFAULT_PROMPTS": "prompts",
        "EncodedPiece": "value_encoding",
        "Encoder": "encoders.base",
        "EncoderConfig": "encoders.base",
        "FieldAccuracy": "tuning.accuracy",
        "FieldValueVectors": "values",
        "FieldVectors": "fields",
        "FinetuneConfig": "tuning.config",
        "FinetuneResult": "tuning.result",
        "LoraSettings": "tuning.config",
        "Prompts": "prompts",
        "SemanticsConfig": "config",
        "TorchEncoder": "encoders.torch_encoder",
        "TuningConfig": "tuning.config",
        "TuningProgress": "tuning.loop",
        "TuningRun": "tuning.loop",
        "ValueSemanticsConfig": "config",
        "ValueVectors": "values",
        "colike_windows": "tuning.colike",
        "distinct_field_values": "tuning.field_values",
        "encode_fields": "fields",
        "encode_pieces": "value_encoding",
        "finetune": "tuning.ssft",
        "load_encoder": "encoders.base",
        "new_pieces": "value_encoding",
        "resolve_model": "encoders.models",
        "semantics_version": "version",
        "tune_colike": "tuning.colike",
        "value_text": "tuning.field_values",
        "value_texts": "texts",
        "values_version": "values",
    },
)
