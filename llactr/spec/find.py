"""Finds the spec that a user means: a path of theirs, or the name of one that comes with llactr."""

from __future__ import annotations

from pathlib import Path

from llactr.errors import SpecError

__all__ = ["SPECS", "find_spec"]

SPECS = Path(__file__).resolve().parents[1] / "specs"
"""The specs that come with llactr, one YAML each."""


def find_spec(name: str) -> Path:
    """The spec file meant by a path, or by the name of one that comes with llactr.

    Raises:
        SpecError: it is neither.
    """
    path = Path(name)
    packaged = SPECS / f"{name}.yaml"
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return path
    if packaged.exists():
        return packaged
    known = ", ".join(sorted(file.stem for file in SPECS.glob("*.yaml")))
    raise SpecError(f"no dataset spec {name!r}: give the path of a YAML file, or one of {known}")
