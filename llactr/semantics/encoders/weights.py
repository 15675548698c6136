"""What a model folder holds, as hashes: equal hashes mean equal vectors for equal texts."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from llactr.manifest import content_hash, file_hash

__all__ = ["folder_fingerprint", "weights_digest"]

_NAMED = (
    "config.json",
    "modules.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
)
# Which release of a library wrote a folder, and from where, changes no vector.
_VOLATILE = {"transformers_version", "_name_or_path", "_model_name_or_path"}


def weights_digest(path: Path) -> str:
    """sha256 of a file, computed once per process for a file that does not change."""
    status = path.stat()
    return _digest(str(path.resolve()), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: str, _size: int, _mtime_ns: int) -> str:
    return file_hash(Path(path))


def folder_fingerprint(folder: Path) -> str:
    """Content hash of a model folder's weights, configuration and tokenizer; 64 hex digits.

    Cost: one pass over the weights, about 0.1 s for MiniLM.
    """
    files = {path for pattern in ("*.safetensors", "*.model", *_NAMED) for path in folder.rglob(pattern)}
    return content_hash({str(path.relative_to(folder)): _content(path) for path in sorted(files)})


def _content(path: Path) -> str:
    if path.name != "config.json":
        return weights_digest(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    return content_hash({key: value for key, value in content.items() if key not in _VOLATILE})
