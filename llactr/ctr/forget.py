"""Keys that leave a bundle: from then on it scores them as it scores keys that it never saw."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from llactr.ctr.bundle import Bundle
from llactr.ctr.training.warm.state import TrainedState
from llactr.spec import DatasetSpec
from llactr.transforms import FIRST, FORGOTTEN, OOV, Transform
from llactr.workspace import Workspace

__all__ = ["forget_in_bundle", "holds_keys", "key_fields"]


def key_fields(spec: DatasetSpec) -> list[str]:
    """The fields that read the user's join key itself."""
    user = spec.entities.get("user")
    return [] if user is None else [one.name for one in spec.owned_by("user") if one.column == user.join_key]


def forget_in_bundle(workspace: Workspace, folder: Path, keys: Collection[str]) -> int:
    """Takes users out of a bundle's vocabularies and weights; the folder is replaced as a whole.

    A forgotten value keeps its number, so that all other ids and scores stay as they are, to the bit. Its text goes,
    its count is 0, and its rows of numbers are those of a value that was never seen. The other weights are not trained
    anew: what they learned from the rows of these users stays in them.

    Args:
        workspace: where.
        folder: the bundle.
        keys: of users.

    Returns:
        how many values were taken out; 0 leaves the folder as it is.

    Raises:
        BundleError: the bundle is damaged.
    """
    bundle = Bundle.load(folder)
    names = key_fields(bundle.spec)
    found = [(name, number) for name in names for number in _numbers(bundle.transform, name, keys)]
    if not found:
        return 0
    layout = bundle.transform.layout
    embedding = bundle.model.embedding
    starts = {name: int(layout.offsets[layout.names.index(name)]) for name in names}
    rows = {starts[name] + FIRST + number: starts[name] + OOV for name, number in found}
    with torch.no_grad():
        for row, unseen in rows.items():
            embedding.weight[row] = embedding.weight[unseen]
            if embedding.linear is not None:
                embedding.linear[row] = embedding.linear[unseen]
    transform = _without(bundle.transform, found)
    state = TrainedState.load(folder)
    with workspace.writing(folder) as draft:
        dataclasses.replace(bundle, transform=transform).save(draft)
        if state is not None:
            state.without(list(rows)).save(draft)
        for path in folder.iterdir():
            if path.is_file() and not (draft / path.name).exists():
                shutil.copy2(path, draft / path.name)
    return len(found)


def holds_keys(transform: Transform, spec: DatasetSpec, keys: Collection[str]) -> bool:
    """Whether vocabularies list one of some users."""
    return any(not transform.known(name).isdisjoint(keys) for name in key_fields(spec))


def _numbers(transform: Transform, name: str, keys: Collection[str]) -> list[int]:
    return [number for number, value in enumerate(transform.values(name)) if value in keys]


def _without(transform: Transform, found: list[tuple[str, int]]) -> Transform:
    vocabularies, counts = list(transform.vocabularies), [count.copy() for count in transform.counts]
    for place, vocabulary in enumerate(transform.vocabularies):
        numbers = [number for name, number in found if name == vocabulary.field.name]
        if not numbers:
            continue
        words = list(vocabulary.values)
        for number in numbers:
            words[number] = f"{FORGOTTEN}{number}"
            counts[place][FIRST + number] = 0
        known: Any = vocabulary  # a field that reads a join key is one of text
        vocabularies[place] = type(known)(known.field, tuple(words))
    return Transform(tuple(vocabularies), tuple(counts))
