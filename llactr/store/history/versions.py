"""Which history definitions states were written of, where these lie, and which events the states cover."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from llactr import atomic
from llactr.errors import BundleError
from llactr.history import HistoryDefinition
from llactr.workspace import Workspace

__all__ = [
    "covered_by",
    "covered_files",
    "definition_of",
    "definitions_folder",
    "known_definitions",
    "known_versions",
    "note_covered",
    "note_remade",
    "remade_mark",
]

_COVERED, _REMADE = "covered.json", "remade.txt"


def known_versions(workspace: Workspace, dataset: str) -> tuple[str, ...]:
    """The versions of history definitions that states were written of, sorted."""
    return tuple(sorted(path.name for path in definitions_folder(workspace, dataset).glob("[!.]*") if path.is_dir()))


def known_definitions(workspace: Workspace, dataset: str) -> Iterator[HistoryDefinition]:
    """The definitions of these versions.

    Raises:
        BundleError: one is damaged.
    """
    for version in known_versions(workspace, dataset):
        yield HistoryDefinition.load(definitions_folder(workspace, dataset) / version)


def remade_mark(workspace: Workspace, dataset: str, version: str) -> str:
    """What tells states apart that were made anew of the same events, with newer items; empty where none were."""
    path = definitions_folder(workspace, dataset) / version / _REMADE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def covered_files(workspace: Workspace, dataset: str, version: str) -> list[str] | None:
    """Hashes of the files of events that a version's newest states hold; None where nobody can say."""
    return covered_by(definitions_folder(workspace, dataset) / version)


def definition_of(workspace: Workspace, dataset: str, version: str) -> HistoryDefinition:
    """The definition of a version.

    Raises:
        BundleError: it is damaged, or there is none.
    """
    return HistoryDefinition.load(definitions_folder(workspace, dataset) / version)


def definitions_folder(workspace: Workspace, dataset: str) -> Path:
    """Where what the states of versions are made by lies, a folder each."""
    return workspace.offline_table(dataset, "user_history").parent / "definitions"


def covered_by(home: Path) -> list[str] | None:
    """Hashes of the event files that a version's states cover; None where there are none, or they are not known."""
    try:
        found = json.loads((home / _COVERED).read_text(encoding="utf-8"))
        HistoryDefinition.load(home)
    except (OSError, ValueError, BundleError):
        return None
    return [str(one) for one in found] if isinstance(found, list) else None


def note_covered(home: Path, hashes: Sequence[str]) -> None:
    """Says that a version's states cover these event files."""
    atomic.write_text(home / _COVERED, json.dumps(list(hashes)))


def note_remade(home: Path, mark: str) -> None:
    """Says that a version's states were made anew of the same events; see `remade_mark`."""
    atomic.write_text(home / _REMADE, mark)
