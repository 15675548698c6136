"""The one function of (states, candidates, moment) that gives history fields, for training and for serving.

Legend: R rows, K states (R or 1), H history numbers, N last events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.history.compiled.pairing import neighbour_sums
from llactr.history.compiled.reading import (
    cosines,
    likeness,
    pair_windows,
    recent,
    regression,
    sequence,
    window_sums,
)
from llactr.history.definition import HistoryDefinition
from llactr.history.index import ItemIndex
from llactr.history.layout import PairWindow, StateLayout, window_of
from llactr.history.states import KeyStates
from llactr.spec.history import SequenceField, TasteField, WindowField

__all__ = ["features", "item_features", "user_features"]

_LIKENESS = ("similarity", "nearest", "liked_near", "disliked_near")
"""Measures in the order of their codes in `llactr.history.compiled.reading`."""


def features(
    definition: HistoryDefinition,
    users: KeyStates,
    items: KeyStates,
    candidates: NDArray[np.uint64],
    now: NDArray[np.int64] | int,
) -> NDArray[np.float32]:
    """History fields of R candidates.

    Args:
        definition: of the dataset.
        users: states as of `now`, R of them or one for all.
        items: the candidates' states as of `now`, R.
        candidates: (R,) hashes of the candidates.
        now: the rows' moments in microseconds, (R,) or one for all.

    Returns:
        (R, H) float32 in the order of the spec's `columns`; NaN where there is nothing to say.
    """
    moments = np.full(candidates.shape, now, np.int64)
    found = np.empty((len(candidates), len(definition.spec.columns)), np.float32)
    of_users = user_features(definition, users, candidates, moments)
    of_items = item_features(definition, items, moments)
    for name, place in definition.spec.places.items():
        found[:, place] = (of_items if name in of_items else of_users)[name]
    return found


def item_features(
    definition: HistoryDefinition, items: KeyStates, now: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """The fields of items' windows, (R,) each."""
    return {
        field.name: _window(definition, definition.item, items, field, now)
        for field in definition.spec.fields
        if isinstance(field, WindowField) and field.owner == "item"
    }


def user_features(
    definition: HistoryDefinition,
    users: KeyStates,
    candidates: NDArray[np.uint64],
    now: NDArray[np.int64],
    *,
    item_item: bool = True,
) -> dict[str, NDArray[np.float32]]:
    """The fields of users, of their pairs and of their tastes, (R,) each, or (R, 3 last) of a sequence.

    Those of `item_item` come only if asked.

    `users` holds R states or one.
    """
    rows = _UserRows(definition, users, candidates, np.ascontiguousarray(now))
    found: dict[str, NDArray[np.float32]] = {}
    for field in definition.spec.fields:
        if isinstance(field, WindowField):
            if field.owner == "user":
                found[field.name] = rows.own(field)
            elif field.owner == "pair":
                found[field.name] = rows.pair(field)
        elif isinstance(field, SequenceField):
            found[field.name] = rows.sequence(field)
        elif field.measure == "recent":
            found[field.name] = rows.recent()
        elif field.measure in {"level", "regression", "uncertainty"}:
            found[field.name] = rows.regression(field)
        elif field.vectors != "item_item":
            found[field.name] = rows.likeness(field)
        elif item_item:
            found[field.name] = rows.neighbours()
    return found


def _window(
    definition: HistoryDefinition, layout: StateLayout, states: KeyStates, field: WindowField, now: NDArray[np.int64]
) -> NDArray[np.float32]:
    """count and clicks as log(1 + n); rate NaN for a key without events in the window."""
    window, pair = window_of(field), np.empty((len(now), 2))
    tiled = window.kind == "last"
    at = (layout.tiled if tiled else layout.sums).index(window)
    plan = definition.plan(layout)
    window_sums(states.bytes, plan.at, plan.lives, plan.lengths, tiled, at, now, pair)
    if field.measure == "rate":
        rate = definition.rate(pair[:, 1], pair[:, 0])
        return np.where(pair[:, 0] > 0, rate, np.nan).astype(np.float32)
    return np.log1p(pair[:, 0 if field.measure == "count" else 1]).astype(np.float32)


class _UserRows:
    """What the user's fields share: places of candidates and of past items, and cosines between them."""

    def __init__(
        self,
        definition: HistoryDefinition,
        users: KeyStates,
        candidates: NDArray[np.uint64],
        now: NDArray[np.int64],
    ) -> None:
        self.definition, self.users, self.candidates, self.now = definition, users, candidates, now
        self.layout, self.plan = definition.user, definition.plan(definition.user)
        self._here: NDArray[np.int64] | None = None
        self._past: NDArray[np.int64] | None = None
        self._cosines: dict[str, NDArray[np.float32]] = {}

    @property
    def here(self) -> NDArray[np.int64]:
        """(R,) places of the candidates."""
        if self._here is None:
            self._here = self.definition.index.places(self.candidates)
        return self._here

    @property
    def past(self) -> NDArray[np.int64]:
        """(K, N) places of past items, in the order of memory."""
        if self._past is None:
            self._past = self.definition.index.places(self.users.items)
        return self._past

    def own(self, field: WindowField) -> NDArray[np.float32]:
        """A window of the user, which is made once where all candidates share user and moment."""
        if len(self.users) == 1 and len(self.now) > 1 and bool((self.now == self.now[0]).all()):
            once = _window(self.definition, self.layout, self.users, field, self.now[:1])
            return np.full(len(self.now), once[0])
        return _window(self.definition, self.layout, self.users, field, self.now)

    def pair(self, field: WindowField) -> NDArray[np.float32]:
        """Means over the candidate's values; a rate is drawn to the person's own. NaN where it has no value."""
        assert field.category is not None
        number = self.layout.pairs.index(PairWindow(field.category, window_of(field)))
        found = np.empty((len(self.now), 3))
        pair_windows(self.users.bytes, self.plan, number, self.here, self.now, found)
        count, clicks, values = found.T
        if field.measure == "rate":
            own = self.users.sums[:, 0].astype(np.float64)
            strength = self.definition.spec.smoothing
            value = (clicks + strength * self.definition.rate(own[:, 1], own[:, 0])) / (count + strength)
        else:
            value = np.log1p((count if field.measure == "count" else clicks) / np.maximum(values, 1))
        return np.where((values > 0) & (self.users.count > 0), value, np.nan).astype(np.float32)

    def recent(self) -> NDArray[np.float32]:
        """Mean residual of the last events."""
        value = np.empty(len(self.users))
        recent(self.users.bytes, self.plan.at, value)
        return np.where(self.users.count > 0, value, np.nan).astype(np.float32) * np.ones(len(self.now), np.float32)

    def regression(self, field: TasteField) -> NDArray[np.float32]:
        """What the regression says; NaN for a user without events, and for an item without a vector."""
        if field.measure == "level":
            level = self.users.means[field.vectors][:, -1]
            return np.where(self.users.count > 0, level, np.float32(np.nan)) * np.ones(len(self.now), np.float32)
        value, source = np.empty(len(self.now)), sorted(self.layout.tastes).index(field.vectors)
        regression(self.users.bytes, self.plan, source, self.here, field.measure == "uncertainty", value)
        known = (self.users.count > 0) & self.definition.known[field.vectors][self.here]
        return np.where(known, value, np.nan).astype(np.float32)

    def likeness(self, field: TasteField) -> NDArray[np.float32]:
        """What the last events say of a candidate like them; NaN where no likeness is known.

        `similarity` is the mean of residuals by weights of exp(6 (cosine - 1)), one half at .88 and 1/20 at .5;
        `nearest` that of five. Each holds a residual of 0 of weight 1, which draws to 0 what rests on little. Residuals
        are taken beside their mean (`recent`): how far a person goes above others says nothing of one candidate.
        """
        value, measure = np.empty(len(self.now)), _LIKENESS.index(field.measure)
        near = self.near(field.vectors)
        likeness(self.users.bytes, self.plan.at, near, measure, field.above, field.below, value)
        return value.astype(np.float32)

    def near(self, source: str) -> NDArray[np.float32]:
        """(R, N) cosines with the last events' items by some vectors."""
        if source not in self._cosines:
            near = np.empty((len(self.now), self.layout.last), np.float32)
            known = self.definition.known[source]
            cosines(self.users.bytes, self.past, self.definition.directions[source], known, self.here, near)
            self._cosines[source] = near
        return self._cosines[source]

    def sequence(self, field: SequenceField) -> NDArray[np.float32]:
        """(R, 3 last) the last events beside the candidate; see `SequenceField`."""
        found = np.empty((len(self.now), 3 * field.last), np.float32)
        sequence(self.users.bytes, self.plan.at, self.near(field.vectors), self.now, found)
        return found

    def neighbours(self) -> NDArray[np.float32]:
        """Sum over the last events of weight x (residual - their mean), divided by the root of how many there are."""
        table, value = self.definition.neighbours, np.empty(len(self.now))
        index: ItemIndex = table.index
        neighbour_sums(
            self.users.bytes,
            self.plan.at,
            index.places(self.users.items),
            index.places(self.candidates),
            table.starts,
            table.columns,
            table.weights,
            value,
        )
        return value.astype(np.float32)
