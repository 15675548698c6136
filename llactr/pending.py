"""What must change in two places at once: written down before the first change, finished after a kill.

Ingest puts tables in one folder and their description in another. Before it touches the tables it leaves a note with
the description to come and the hashes of the tables that it describes. `settle` reads the notes that a killed process
left: where the tables are those of the note, it writes the description; where they are not, nothing has happened yet,
and the note goes. A second run then ends where an undisturbed one ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llactr.atomic import publish, write_text
from llactr.manifest import file_hash

__all__ = ["NOTE", "announce", "finish", "settle"]

NOTE = ".pending.json"


def announce(
    folder: Path,
    texts: Mapping[str, str],
    *,
    root: Path,
    proof: Mapping[Path, str],
    moves: Mapping[Path, Path] | None = None,
) -> None:
    """Writes down what is about to change.

    Args:
        folder: where the texts go.
        texts: file name -> content, written by `finish`.
        root: the workspace; paths are kept relative to it, so that it may be moved.
        proof: files in their place after the change -> sha256.
        moves: finished files -> their place, each free before.
    """
    content = {
        "texts": dict(texts),
        "proof": {str(path.relative_to(root)): digest for path, digest in proof.items()},
        "moves": [[str(a.relative_to(root)), str(b.relative_to(root))] for a, b in (moves or {}).items()],
    }
    write_text(folder / NOTE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def finish(folder: Path, *, root: Path) -> bool:
    """Makes the changes of a folder's note, or undoes them where they cannot be made; the note goes.

    Returns:
        whether they are made.
    """
    note = folder / NOTE
    try:
        content: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
        texts, proof = dict(content["texts"]), dict(content["proof"])
        moves = [(root / source, root / target) for source, target in content["moves"]]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError):
        note.unlink()
        return False
    for source, target in moves:
        if source.exists():
            publish(source, target)
    made = all(_hash(root / path) == digest for path, digest in proof.items())
    if made:
        for name, text in texts.items():
            write_text(folder / name, text)
    else:
        for _, target in moves:
            target.unlink(missing_ok=True)
    note.unlink()
    return made


def settle(root: Path) -> list[Path]:
    """Finishes, or undoes, what killed processes announced in a workspace; returns the folders."""
    folders = [note.parent for note in sorted(root.glob(f"datasets/*/{NOTE}"))]
    for folder in folders:
        finish(folder, root=root)
    return folders


def _hash(path: Path) -> str | None:
    try:
        return file_hash(path)
    except OSError:
        return None
