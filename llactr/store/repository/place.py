"""Where a workspace's Feast repository lies: one of the user's own, where a spec names one; imports no Feast."""

from __future__ import annotations

import os
from pathlib import Path

from llactr import atomic
from llactr.errors import InputError, SpecError
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

__all__ = [
    "REPOSITORY_VARIABLE",
    "keep_repository",
    "named_repository",
    "refuse_other_repository",
    "repository_file",
    "repository_of_spec",
]

REPOSITORY_VARIABLE = "FEAST_FS_YAML_FILE_PATH"
"""Feast's own name for the environment variable that says which feature_store.yaml is meant."""
_NAME = "feature_store.yaml"


def repository_of_spec(spec: DatasetSpec, data_folder: Path) -> Path | None:
    """The feature_store.yaml of the repository that a spec names; None where it names none.

    Args:
        spec: the dataset's spec.
        data_folder: where a relative path starts.

    Raises:
        SpecError: there is no such repository.
    """
    if spec.feast is None:
        return None
    place = (data_folder / Path(spec.feast.repository).expanduser()).absolute()
    path = place if place.suffix in {".yaml", ".yml"} else place / _NAME
    if not path.is_file():
        raise SpecError(
            f"dataset {spec.name!r} reads the Feast repository {spec.feast.repository!r}, and there is no {path}: name "
            f"the folder that holds its {_NAME}"
        )
    return Path(os.path.normpath(path))


def named_repository(place: Path) -> Path:
    """The feature_store.yaml of a repository that is named by its folder, or by that file.

    Raises:
        InputError: there is none.
    """
    path = place if place.suffix in {".yaml", ".yml"} else place / _NAME
    if not path.is_file():
        raise InputError(f"--feast is {str(place)!r}, and there is no {path}: name a Feast repository's folder")
    return path.absolute()


def refuse_other_repository(workspace: Workspace, spec: DatasetSpec, path: Path | None) -> None:
    """Raises InputError where a workspace's other datasets use another repository: one store serves them all."""
    known = repository_file(workspace, chosen=False)
    if known == path:
        return
    others = [name for name in workspace.datasets() if name != spec.name]
    if others:
        raise InputError(
            f"the workspace {workspace.root} uses {f'the Feast repository of {known}' if known else 'its own stores'} "
            f"for {', '.join(others)}, and {spec.name!r} uses {path or 'none of your own'}: give it a workspace of its "
            "own by --workspace"
        )


def keep_repository(workspace: Workspace, path: Path | None) -> None:
    """Notes which repository a workspace uses: that of this feature_store.yaml, or None for its own stores."""
    if repository_file(workspace, chosen=False) == path:
        return
    pointer = workspace.feast / "repository"
    if path is None:
        pointer.unlink(missing_ok=True)
        return
    # Beside or around the workspace the two are moved together.
    beside = path.is_relative_to(workspace.root.parent)
    text = os.path.relpath(path, workspace.root) if beside else str(path)
    atomic.make_folder(pointer.parent)
    atomic.write_text(pointer, f"{text}\n")


def repository_file(workspace: Workspace, config: Path | None = None, *, chosen: bool = True) -> Path | None:
    """The feature_store.yaml of the user's own repository that a workspace uses; None where it uses none.

    Args:
        workspace: any.
        config: another file for the same repository, such as that of another machine.
        chosen: whether `config` and the environment count; without, what was noted.
    """
    try:
        noted = (workspace.feast / "repository").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    named = config or os.environ.get(REPOSITORY_VARIABLE) if chosen else None
    return Path(named).absolute() if named else Path(os.path.normpath(workspace.root / noted))
