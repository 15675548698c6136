"""What a model folder holds, as hashes: equal hashes mean equal vectors for equal texts."""

from __future__ import annotations

import json
from pathlib import Path

from llactr.manifest import content_hash, hash_once

__all__ = ["folder_fingerprint"]

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


def folder_fingerprint(folder: Path) -> str:
    """Content hash of a model folder's weights, configuration and tokenizer; 64 hex digits.

    Cost: one pass over the weights, about 0.1 s for MiniLM.
    """
    files = {path for pattern in ("*.safetensors", "*.model", *_NAMED) for path in folder.rglob(pattern)}
    return content_hash({str(path.relative_to(folder)): _content(path) for path in sorted(files)})


def _content(path: Path) -> str:
    if path.name != "config.json":
        return hash_once(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    return content_hash({key: value for key, value in content.items() if key not in _VOLATILE})
