"""The manifest beside every artifact: what went in, what came out, which versions, which seeds, how long it took."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llactr.atomic import write_text

__all__ = [
    "MANIFEST",
    "content_hash",
    "file_hash",
    "hash_once",
    "is_sealed",
    "manifest_of",
    "manifest_text",
    "package_versions",
    "read_manifest",
    "sealed",
    "write_manifest",
]

MANIFEST = "manifest.json"
_SEAL = "sha256_of_the_rest"
_SHAPE: dict[str, type] = {
    "step": str, "key": str, "config": dict, "inputs": dict, "tables": dict, "summary": dict, "appended": list,
}  # fmt: skip
_PACKAGES = (
    "llactr", "torch", "feast", "duckdb", "pyarrow", "transformers", "sentence-transformers", "peft",
    "faiss-cpu", "faiss-gpu",
)  # fmt: skip


def content_hash(content: object) -> str:
    """sha256 of a JSON-like object, independent of the order of keys; 64 hex digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces; 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """JSON-like content with its own hash beside it, so that `is_sealed` sees a bit that was flipped on the disk."""
    return {**content, _SEAL: content_hash(json.loads(json.dumps(content)))}


def is_sealed(content: Mapping[str, Any]) -> bool:
    """Whether content is as it was sealed; content without a seal was written before there were any, and passes."""
    return _SEAL not in content or content[_SEAL] == content_hash({k: v for k, v in content.items() if k != _SEAL})


@functools.lru_cache(maxsize=4096)
def _hash_once(path: str, _size: int, _mtime_ns: int) -> str:
    return file_hash(Path(path))


def hash_once(path: Path) -> str:
    """`file_hash`, computed once per process for a file that does not change."""
    status = path.stat()
    return _hash_once(str(path.resolve()), status.st_size, status.st_mtime_ns)


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that results depend on, read without importing them."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_manifest(folder: Path, *, step: str, key: str, config: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Writes `manifest.json` into a folder and returns it; see `manifest_of`.

    Args:
        folder: the artifact's folder, usually still a draft.
        step: the job's name.
        key: content hash of everything that the artifact depends on; equal keys mean equal artifacts.
        config: the resolved configuration.
        facts: inputs (name -> hash), outputs, metrics, seeds, seconds: anything JSON can hold.
    """
    manifest = manifest_of(step=step, key=key, config=config, **facts)
    write_text(folder / MANIFEST, manifest_text(manifest))
    return manifest


def manifest_text(manifest: dict[str, Any]) -> str:
    """A manifest as its file holds it."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, default=str) + "\n"


def manifest_of(*, step: str, key: str, config: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """A manifest: what is given, when it was made, and the versions of packages that results depend on.

    Args:
        step: the job's name.
        key: content hash of everything that the artifact depends on; equal keys mean equal artifacts.
        config: the resolved configuration.
        facts: inputs (name -> hash), outputs, metrics, seeds, seconds: anything JSON can hold.
    """
    return {
        "step": step,
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": config,
        "packages": package_versions(),
        **facts,
    }


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest in a folder, or None where there is none or it is damaged (the step is then redone)."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict):
        return None
    return content if all(isinstance(content.get(name, kind()), kind) for name, kind in _SHAPE.items()) else None
