"""A bundle's profile: how the rows looked that it was chosen on, field by field, and how it scored them.

The rows are those of validation and test, the newest that training did not learn from: of them, what is out of
vocabulary or without value is as often so as in the first requests. A field's values are counted by id, so that the
profile of a window of requests is a count of the ids that were scored anyway. Beside the profile nothing of the rows is
kept: no key, no text.

Letters: N rows, C id slots, B bins.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.atomic import write_text
from llactr.ctr import Bundle, predict
from llactr.ctr.training.data import Split
from llactr.ctr.training.history import history_folder, kept_history
from llactr.ctr.training.training_set import TrainingSet
from llactr.errors import BundleError, NotReadyError
from llactr.history import history_rows
from llactr.lifecycle.graph import Artifact, workspace_graph
from llactr.manifest import is_sealed, read_manifest, sealed
from llactr.spec import DatasetSpec
from llactr.store import events_table
from llactr.store.history import events_of
from llactr.transforms import NULL, OOV, PAD, FieldLayout
from llactr.workspace import Workspace

__all__ = [
    "PROFILE",
    "FieldProfile",
    "Profile",
    "ScoreProfile",
    "build_profile",
    "cold_shares",
    "field_counts",
    "read_profile",
    "write_profile",
]

PROFILE = "profile.json"
_MOST_BINS = 20
_SCORE_BINS = 10
Ids = NDArray[np.int32]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldProfile(_Model):
    """A field's values among the profile's rows.

    Attributes:
        owner: user, item or context.
        bins: local ids that are counted each by itself: the most frequent ones.
        counts: of the bins, then of all other values, of values out of vocabulary, of none.
    """

    name: str
    owner: str
    bins: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many values were counted: the rows, of a field with several values a row more."""
        return sum(self.counts)

    @property
    def null_share(self) -> float:
        """Share without a value."""
        return self.counts[-1] / max(self.rows, 1)

    @property
    def unknown_share(self) -> float:
        """Share of values that training never saw."""
        return self.counts[-2] / max(self.rows, 1)


class ScoreProfile(_Model):
    """Scores: rising inner edges of bins with about as many rows each, and per bin rows, mean score, label rate."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    means: tuple[float, ...]
    rates: tuple[float, ...]


class Profile(_Model):
    """All of it.

    Attributes:
        rows: N.
        label_rate: share of positives.
        cold: owner -> share of rows whose entity has no stored value at all: the join found no row.
        scores: None in a profile of a model with history that an earlier version wrote.
    """

    rows: int
    label_rate: float
    fields: tuple[FieldProfile, ...]
    cold: dict[str, float]
    scores: ScoreProfile | None


def build_profile(
    spec: DatasetSpec, layout: FieldLayout, ids: Ids, label: NDArray[np.float32], scores: NDArray[np.float32] | None
) -> Profile:
    """The profile of some rows.

    Args:
        spec: names the owners.
        layout: of the ids.
        ids: (N, C) local ids, N at least 1.
        label: (N,) 0 or 1.
        scores: (N,) probabilities of the bundle's model; None for none.
    """
    fields = []
    for place, field in enumerate(spec.fields):
        seen = np.bincount(_slots(layout, place, ids).ravel(), minlength=layout.vocab_sizes[place])
        known = seen.copy()
        known[[PAD, OOV, NULL]] = 0
        order = np.argsort(-known, kind="stable")[:_MOST_BINS]
        bins = tuple(int(one) for one in order if known[one])
        made = FieldProfile(name=field.name, owner=str(field.owner), bins=bins, counts=(0,) * (len(bins) + 3))
        fields.append(made.model_copy(update={"counts": tuple(field_counts(made, layout, place, ids).tolist())}))
    return Profile(
        rows=len(ids),
        label_rate=float(label.mean()),
        fields=tuple(fields),
        cold=cold_shares(spec, layout, ids),
        scores=None if scores is None else _score_profile(scores, label),
    )


def field_counts(field: FieldProfile, layout: FieldLayout, place: int, ids: Ids) -> NDArray[np.int64]:
    """(B + 3,) how often rows hold each bin of a field, another value, one out of vocabulary, none; PAD is left out."""
    slots = _slots(layout, place, ids)
    values = slots[slots != PAD]
    seen = np.bincount(values, minlength=layout.vocab_sizes[place]).astype(np.int64)
    alone = seen[list(field.bins)]
    unknown, none = int(seen[OOV]), int(seen[NULL])
    return np.array([*alone, len(values) - alone.sum() - unknown - none, unknown, none], np.int64)


def cold_shares(spec: DatasetSpec, layout: FieldLayout, ids: Ids) -> dict[str, float]:
    """Owner -> share of rows (N, C) in which all stored fields of its entity are without a value."""
    found = {}
    for owner, entity in spec.entities.items():
        places = [
            place for place, field in enumerate(spec.fields)
            if field.owner == owner and field.column != entity.join_key and entity.source is not None
        ]  # fmt: skip
        if places:
            firsts = ids[:, [int(layout.slot_starts[place]) for place in places]]
            found[str(owner)] = float(np.isin(firsts, (NULL, OOV)).all(axis=1).mean())
    return found


def write_profile(workspace: Workspace, folder: Path) -> Profile:
    """Profiles a bundle by the rows of its training set, and keeps the profile in the bundle's folder.

    Raises:
        BundleError: the bundle is damaged.
        NotReadyError: its training set is gone.
    """
    graph = workspace_graph(workspace)
    needed = graph.needs.get(Artifact("bundles", folder.name), frozenset())
    known = sorted(one for one in needed if one.kind == "training_sets")
    if len(known) != 1:
        raise NotReadyError(
            f"the bundle {folder.name} has no profile, and the training set that it was made from is gone: train "
            "it again"
        )
    bundle, rows = Bundle.load(folder), TrainingSet.load(graph.nodes[known[0]].paths[0])
    newest = np.concatenate([rows.data.split.validation, rows.data.split.test])
    ids = rows.data.ids[newest]
    scores = predict(bundle.model, bundle.rows(ids, _past(workspace, folder, bundle, rows.data.split, newest)))
    profile = build_profile(bundle.spec, bundle.transform.layout, ids, rows.data.label[newest], scores)
    content = sealed(profile.model_dump(mode="json"))
    write_text(folder / PROFILE, json.dumps(content, indent=None) + "\n")
    return profile


def _past(
    workspace: Workspace, folder: Path, bundle: Bundle, split: Split, newest: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """(N, H) what the model read of the past of rows of a training set; None for a model without history.

    They are those that training kept; where these are gone, one pass over the dataset's events gives the same.
    """
    if bundle.history is None:
        return None
    manifest, names = read_manifest(folder), bundle.history.spec.field_names
    key = str((manifest or {}).get("inputs", {}).get("history", ""))
    kept = history_folder(workspace, bundle.spec.name, key)
    if key and kept.is_dir():
        return kept_history(kept).only(names).numbers[newest]
    events = events_of(bundle.spec, events_table(workspace, bundle.spec))
    happened = events.take(np.sort(np.concatenate([split.train, split.validation, split.test])))
    return history_rows(bundle.history, happened, events.take(newest), neighbour_steps=0)


def read_profile(folder: Path) -> Profile | None:
    """The profile in a bundle's folder; None where there is none.

    Raises:
        BundleError: it is not what was written.
    """
    try:
        content: Any = json.loads((folder / PROFILE).read_text(encoding="utf-8"))
        if not is_sealed(content):
            raise ValueError("it is not what was written")
        return Profile.model_validate({name: content[name] for name in Profile.model_fields})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
        raise BundleError(
            f"the profile {folder / PROFILE} is damaged ({type(error).__name__}): remove it, and run 'llactr monitor'"
        ) from None


def _slots(layout: FieldLayout, place: int, ids: Ids) -> Ids:
    start = int(layout.slot_starts[place])
    found: Ids = ids[:, start : start + layout.slots[place]]
    return found


def _score_profile(scores: NDArray[np.float32], label: NDArray[np.float32]) -> ScoreProfile:
    edges = np.unique(np.quantile(scores, np.arange(1, _SCORE_BINS) / _SCORE_BINS))
    bins = np.searchsorted(edges, scores, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    shares = np.maximum(counts, 1)
    return ScoreProfile(
        edges=tuple(edges.tolist()),
        counts=tuple(counts.tolist()),
        means=tuple((np.bincount(bins, weights=scores, minlength=len(counts)) / shares).tolist()),
        rates=tuple((np.bincount(bins, weights=label, minlength=len(counts)) / shares).tolist()),
    )
