"""Whose an object of a shared registry is: ours bear a tag, and no name is taken twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feast import FeatureStore, FeatureView, FileSource

from llactr.errors import SpecError
from llactr.workspace import Workspace

__all__ = [
    "MADE_BY",
    "MADE_BY_US",
    "has_import_line",
    "our_views",
    "ours",
    "refuse_other_workspace",
    "refuse_taken_names",
]

MADE_BY, MADE_BY_US = "made_by", "llactr"
"""The tag of every object that llactr defines, and its value."""


def ours(thing: Any) -> bool:
    """Whether llactr defined an entity, source, view or service."""
    return bool((thing.tags or {}).get(MADE_BY) == MADE_BY_US)


def our_views(store: FeatureStore, *, shared: bool) -> list[FeatureView]:
    """The registered views that llactr defined.

    Args:
        store: any.
        shared: whether the registry is that of the user's own repository; in the workspace's own, all are.
    """
    return [view for view in store.list_feature_views() if not shared or ours(view)]


def has_import_line(repository: Path) -> bool:
    """Whether a Python file of a repository imports llactr's views, so that its `feast apply` keeps them."""
    return any(
        b"llactr.feature_repo" in path.read_bytes()
        for path in repository.rglob("*.py")
        if not any(part.startswith(".") for part in path.relative_to(repository).parts)
    )


def refuse_other_workspace(present: Sequence[Any], workspace: Workspace, *, place: str) -> None:
    """Raises SpecError where a registry holds llactr's views over tables of another workspace, which is still there."""
    for one in present:
        if not (isinstance(one, FeatureView) and ours(one) and isinstance(one.batch_source, FileSource)):
            continue
        table = Path(one.batch_source.path)
        if table.is_relative_to(workspace.root) or not table.exists():
            continue
        root = next((folder for folder in table.parents if (folder / "datasets").is_dir()), table)
        raise SpecError(
            f"the Feast repository {place} has llactr's views of the workspace {root}, and these would take their "
            "place: use that workspace, or another Feast project"
        )


def refuse_taken_names(objects: Sequence[Any], present: Sequence[Any], *, place: str) -> None:
    """Raises SpecError where an object of ours has the name of one of the user's.

    Args:
        objects: to be applied.
        present: registered.
        place: the repository.
    """
    kinds = {"FeatureView": "feature view", "Entity": "entity", "FeatureService": "feature service"}
    theirs = {(type(one).__name__, one.name) for one in present if not ours(one) and not isinstance(one, FileSource)}
    for one in objects:
        if (type(one).__name__, one.name) in theirs:
            raise SpecError(
                f"the Feast repository {place} has {kinds.get(type(one).__name__, 'an object')} {one.name!r} of its "
                "own, and llactr needs the name: rename yours, or keep the dataset in a workspace without 'feast'"
            )
