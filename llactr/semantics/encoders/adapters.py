"""LoRA adapters through peft: attached in place, saved in peft's own layout as safetensors, hashed by content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from llactr.errors import ModelError
from llactr.semantics.tuning.config import LoraSettings

__all__ = ["ADAPTER_WEIGHTS", "adapter_hash", "attach", "load_adapter", "save_adapter"]

ADAPTER_WEIGHTS = "adapter_model.safetensors"
_ADAPTER_CONFIG = "adapter_config.json"
# What peft's wrapper puts before the names; adapters attached in place have none.
_PEFT_PREFIX = "base_model.model."


def attach(model: nn.Module, settings: LoraSettings) -> LoraConfig:
    """Puts a fresh adapter into a model, in place; only the adapter's parameters stay trainable.

    Args:
        model: a transformers model.
        settings: rank, scale, dropout and where.

    Returns:
        peft's configuration, with the target modules resolved.

    Raises:
        ModelError: no module of the model has such a name.
    """
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if settings.target_modules is None else list(settings.target_modules),
    )
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        raise ModelError(f"the adapter does not fit the model: {' '.join(str(error).split())}") from error
    return config


def save_adapter(model: nn.Module, config: LoraConfig, folder: Path, *, base_model: str) -> None:
    """Writes `adapter_model.safetensors` and `adapter_config.json`, which peft loads as well."""
    state = get_peft_model_state_dict(model)
    tensors = {_PEFT_PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    content: dict[str, Any] = config.to_dict()
    content.update(base_model_name_or_path=base_model, inference_mode=True)
    (folder / _ADAPTER_CONFIG).write_text(
        json.dumps(content, indent=2, sort_keys=True, default=_plain) + "\n", encoding="utf-8"
    )


def _plain(value: object) -> object:
    # Sets in the order of their hashes would give another file in every process.
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def load_adapter(model: nn.Module, folder: Path) -> LoraConfig:
    """Puts a saved adapter into its base model, in place.

    Raises:
        ModelError: the folder holds no adapter, a damaged one, or one for another model.
    """
    again = "run 'llactr finetune' again, or name another adapter"
    if not (folder / ADAPTER_WEIGHTS).is_file() or not (folder / _ADAPTER_CONFIG).is_file():
        raise ModelError(f"{folder} holds no adapter ({_ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} were expected): {again}")
    try:
        content = json.loads((folder / _ADAPTER_CONFIG).read_text(encoding="utf-8"))
        config = LoraConfig(
            r=content["r"],
            lora_alpha=content["lora_alpha"],
            lora_dropout=content["lora_dropout"],
            target_modules=content["target_modules"],
        )
        loaded = load_file(folder / ADAPTER_WEIGHTS)
        tensors = {name.removeprefix(_PEFT_PREFIX): tensor for name, tensor in loaded.items()}
        inject_adapter_in_model(config, model)
        expected = get_peft_model_state_dict(model)
        _check_fit(expected, tensors)
        set_peft_model_state_dict(model, tensors)
    except ModelError as error:
        raise ModelError(f"the adapter in {folder} {error}: {again}") from None
    except Exception as error:  # damaged files fail in safetensors' and peft's many ways
        raise ModelError(
            f"the adapter in {folder} is damaged ({' '.join(str(error).split())[:160]}): {again}"
        ) from error
    return config


def _check_fit(expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        first = f"lacks {missing[0]}" if missing else f"has {extra[0]}, which the model lacks"
        raise ModelError(f"was made for another model: it {first}")
    for name, tensor in expected.items():
        if tensor.shape != found[name].shape:
            raise ModelError(
                f"was made for another model: {name} is {tuple(found[name].shape)}, "
                f"the model needs {tuple(tensor.shape)}"
            )


def adapter_hash(model: nn.Module, config: LoraConfig) -> str:
    """Content hash of an attached adapter: names, shapes and bits of its tensors, and its scale; 64 hex digits."""
    digest = hashlib.sha256(f"{config.r}:{float(config.lora_alpha)!r}".encode())
    for name, tensor in sorted(get_peft_model_state_dict(model).items()):
        values = tensor.detach().cpu().to(torch.float32).contiguous()
        digest.update(f"{name}:{tuple(values.shape)}".encode())
        digest.update(values.numpy().tobytes())
    return digest.hexdigest()
