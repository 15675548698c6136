"""From a model's name to a folder on this machine, with one clear sentence when there is none."""

from __future__ import annotations

import os
from pathlib import Path

from llactr.errors import LlactrError, ModelError
from llactr.semantics.encoders.packaged import PACKAGED, SHORT_NAMES

__all__ = ["CACHE_VARIABLE", "cache_folder", "canonical_name", "resolve_model"]

CACHE_VARIABLE = "LLACTR_CACHE"
_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
_HUB_LEFT_OUT = ["onnx/*", "openvino/*", "coreml/*", "tf/*", "flax/*"]
_PROBE_TIMEOUT_S = 10.0


def cache_folder() -> Path:
    """Where downloads and conversions are kept: `$LLACTR_CACHE`, else `~/.cache/llactr`."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/llactr").expanduser().absolute()


def canonical_name(name: str) -> str:
    """A model's full name: `minilm` and `smollm2` are short for the packaged models; a folder stays a path."""
    return name if Path(name).expanduser().is_dir() else SHORT_NAMES.get(name, name)


def resolve_model(name: str, *, cache: Path | None = None, endpoint: str | None = None) -> Path:
    """The folder that holds a model.

    Looked for, in this order: a folder of that name; the Hugging Face cache; the copy inside a Python package; the hub.
    The hub is asked only for models without a packaged copy, and once: a machine without it waits seconds, not minutes.

    Args:
        name: a folder, a hub name such as `sentence-transformers/all-MiniLM-L6-v2`, or a short name.
        cache: where packaged copies are unpacked and converted; `cache_folder()` unless given.
        endpoint: the hub's address; the hub client's own default unless given.

    Raises:
        ModelError: nowhere found, or what was found is unusable.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        problem = _unusable(folder)
        if problem:
            raise ModelError(f"the model folder {folder} {problem}")
        return folder.absolute()
    if not name.strip() or folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelError(f"no model folder at {name!r}: give a folder that exists, a hub name such as 'owner/model', "
                         f"or one of {_short()}")  # fmt: skip
    hub_name = canonical_name(name)
    looked = ["no folder of that name here"]
    cached = _in_hub_cache(hub_name)
    if cached is not None:
        return cached
    looked.append("not in the Hugging Face cache")
    if hub_name in PACKAGED:
        try:
            return PACKAGED[hub_name](cache or cache_folder())
        except LlactrError as error:
            raise ModelError(f"the model {name!r} cannot be resolved: {'; '.join(looked)}; its packaged copy failed: "
                             f"{error}") from error  # fmt: skip
    looked.append(f"no packaged copy (there are {_short()})")
    downloaded, reason = _from_hub(hub_name, endpoint)
    if downloaded is not None:
        return downloaded
    looked.append(reason)
    raise ModelError(
        f"the model {name!r} cannot be resolved: {'; '.join(looked)}: "
        "give the folder that holds its config.json and *.safetensors, or a packaged model's name"
    )


def _short() -> str:
    return ", ".join(repr(name) for name in SHORT_NAMES if name.islower())


def _unusable(folder: Path) -> str | None:
    """What a folder lacks to be a model, as the end of a sentence; None when it lacks nothing."""
    if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
        if (folder / "adapter_config.json").is_file():
            return "holds an adapter: name its base model as the model, and this folder as the adapter"
        return "has neither config.json nor modules.json: give a Hugging Face model folder"
    if not any(folder.rglob("*.safetensors")):
        return "has no *.safetensors: pickled weights are never loaded, save the model with safe_serialization"
    return None


def _in_hub_cache(hub_name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for marker in ("config.json", "modules.json"):
        try:
            found = try_to_load_from_cache(hub_name, marker)
        except ValueError:  # not a name that the hub allows
            return None
        if isinstance(found, str) and _unusable(Path(found).parent) is None:
            return Path(found).parent
    return None


def _from_hub(hub_name: str, endpoint: str | None) -> tuple[Path | None, str]:
    """The snapshot's folder, or None and the reason, as a clause."""
    from huggingface_hub import HfApi, constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        return None, "the hub was not asked because HF_HUB_OFFLINE is set"
    try:
        # One cheap request first: the client's download path retries for minutes where there is no network.
        info = HfApi(endpoint=endpoint).model_info(hub_name, timeout=_PROBE_TIMEOUT_S)
        names = [sibling.rfilename for sibling in info.siblings or []]
        if not any(name.endswith(".safetensors") for name in names):
            return None, "the hub's copy has no *.safetensors (pickled weights are never loaded)"
        folder = snapshot_download(
            hub_name, endpoint=endpoint, allow_patterns=_HUB_FILES, ignore_patterns=_HUB_LEFT_OUT
        )
    except Exception as error:  # the client raises its HTTP library's errors, which change with its releases
        said = " ".join(str(error).split())
        return None, f"the hub did not give it ({type(error).__name__}: {said[:160]})"
    problem = _unusable(Path(folder))
    return (None, f"the hub's copy {problem}") if problem else (Path(folder), "")
