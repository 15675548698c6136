"""What an encoder is, and how one is loaded from its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from llactr.device import pick_device
from llactr.errors import InputError, ModelError
from llactr.extras import naming_extras
from llactr.semantics.encoders.kinds import ENCODERS
from llactr.semantics.encoders.models import canonical_name, resolve_model
from llactr.semantics.prompts import DEFAULT_PROMPTS, Prompts

if TYPE_CHECKING:
    import torch

    from llactr.semantics.encoders.torch_encoder import TorchEncoder

__all__ = ["Encoder", "EncoderConfig", "EncoderKind", "load_encoder"]


class Encoder(Protocol):
    """Turns texts into unit vectors. `fingerprint` changes when any vector could."""

    name: str
    prompts: Prompts

    @property
    def dim(self) -> int:
        """L, the length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Content hash of weights, adapter, pooling and prompts."""
        ...

    def encode(
        self, texts: Sequence[str], *, batch_size: int = 32, progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of N texts: (N, L) float32, each of length 1."""
        ...


def _known(kind: str) -> str:
    if kind != "auto" and kind not in ENCODERS:
        raise ValueError(str(ENCODERS.unknown(kind)))
    return kind


EncoderKind = Annotated[str, AfterValidator(_known)]
"""`auto`, or the name of a kind in the registry."""


class EncoderConfig(BaseModel):
    """Which model encodes, with which adapter, where.

    Attributes:
        model: a folder, a hub name, or `minilm` or `smollm2` (which come as Python packages).
        adapter: the folder of an adapter made by `llactr finetune`.
        kind: `auto` reads it from the model's folder.
        device: `auto` takes a GPU where there is one.
        dtype: numbers the model computes with; vectors are float32 in any case.
        prompts: None means the adapter's own, or the defaults without an adapter.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = "minilm"
    adapter: Path | None = None
    kind: EncoderKind = "auto"
    device: str = "auto"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    prompts: Prompts | None = None


@naming_extras()
def load_encoder(config: EncoderConfig, *, cache: Path | None = None) -> TorchEncoder:
    """The encoder of a configuration, ready to encode.

    Args:
        config: which model, adapter and device.
        cache: where packaged models are unpacked; `cache_folder()` unless given.

    Raises:
        ModelError: the model or adapter cannot be found or is unusable, or the device is not there.
    """
    folder = resolve_model(config.model, cache=cache)
    kind = _kind(folder) if config.kind == "auto" else config.kind

    import torch

    from llactr.semantics.encoders.loading import quiet_loading

    device = _device(config.device)
    prompts = config.prompts or (_adapter_prompts(config.adapter) if config.adapter else DEFAULT_PROMPTS)
    name, dtype = canonical_name(config.model), getattr(torch, config.dtype)
    try:
        with quiet_loading():
            encoder = ENCODERS[kind](name=name, folder=folder, prompts=prompts, device=device, dtype=dtype)
    except (InputError, ModuleNotFoundError):
        raise
    except Exception as error:  # a damaged folder fails in the libraries' many ways
        said = " ".join(str(error).split())[:200]
        raise ModelError(
            f"the model folder {folder} cannot be loaded ({type(error).__name__}: {said}): "
            "remove it so that it is fetched again, or name another model"
        ) from error
    if config.adapter is not None:
        encoder.load_adapter(config.adapter)
    return encoder


def _kind(folder: Path) -> str:
    """The first kind that recognises the folder; sentence-transformers pool any other transformer."""
    return next((name for name, kind in ENCODERS.working() if kind.recognises(folder)), "sentence_transformer")


def _device(name: str) -> torch.device:
    try:
        return pick_device(name)
    except InputError as error:
        raise ModelError(f"the encoder cannot be loaded: {error}") from None


def _adapter_prompts(adapter: Path) -> Prompts:
    from llactr.semantics.encoders.torch_encoder import ENCODER_FILE

    try:
        return Prompts.model_validate(json.loads((adapter / ENCODER_FILE).read_text(encoding="utf-8"))["prompts"])
    except FileNotFoundError:
        raise ModelError(f"{adapter} holds no adapter ({ENCODER_FILE} is missing): run 'llactr finetune'") from None
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ModelError(f"the adapter in {adapter} is damaged ({ENCODER_FILE}: {' '.join(str(error).split())}): "
                         "run 'llactr finetune' again") from None  # fmt: skip
