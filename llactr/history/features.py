"""The one function of (states, candidates, moment) that gives history fields, for training and for serving.

Legend: R rows, K states (R or 1), H history fields, N last events, r rank of vectors, d = r + 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llactr.history.definition import TILES, HistoryDefinition, StateLayout, window_of
from llactr.history.states import KeyStates
from llactr.spec.history import TasteField, WindowField

__all__ = ["features", "item_features", "user_features"]

_NEAREST = 5
_KERNEL = 6.0
"""Likeness of cosine c weighs exp(_KERNEL (c - 1)): one half at .88, 1/20 at .5."""
_DOUBT = 1.0
"""Weight of a residual of 0 that every weighted mean holds: it draws what rests on little to nothing."""


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
        (R, H) float32 in the order of the spec; NaN where there is nothing to say.
    """
    moments = np.broadcast_to(np.asarray(now, np.int64), candidates.shape)
    found = np.empty((len(candidates), len(definition.spec.fields)), np.float32)
    of_users = user_features(definition, users, candidates, moments)
    of_items = item_features(definition, items, moments)
    for at, field in enumerate(definition.spec.fields):
        found[:, at] = (of_items if field.name in of_items else of_users)[field.name]
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
    definition: HistoryDefinition, users: KeyStates, candidates: NDArray[np.uint64], now: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """The fields of users' windows and tastes, (R,) each. `users` holds R states or one."""
    found: dict[str, NDArray[np.float32]] = {}
    cosines: dict[str, NDArray[np.float32]] = {}
    for field in definition.spec.fields:
        if isinstance(field, WindowField):
            if field.owner == "user":
                found[field.name] = _window(definition, definition.user, users, field, now)
        elif field.measure in {"level", "regression", "uncertainty"}:
            found[field.name] = _regression(definition, users, field, candidates)
        elif field.vectors == "item_item":
            found[field.name] = _neighbours(definition, users, candidates)
        else:
            if field.vectors not in cosines:
                cosines[field.vectors] = _cosines(definition, users, field.vectors, candidates)
            found[field.name] = _likeness(users, field, cosines[field.vectors])
    return found


def _window(
    definition: HistoryDefinition, layout: StateLayout, states: KeyStates, field: WindowField, now: NDArray[np.int64]
) -> NDArray[np.float32]:
    """count and clicks as log(1 + n); rate NaN for a key without events in the window."""
    window = window_of(field)
    if window.kind == "last":
        at = layout.tiled.index(window)
        oldest = now // (window.span_us // TILES) - TILES  # this tile and those before it are out
        numbers = states.tile[:, at, None] - np.arange(TILES)  # K x T, the newest first
        inside = (numbers > oldest[:, None]) & (states.count > 0)[:, None]  # R x T
        slots = numbers % TILES
        kept = np.take_along_axis(states.tiles[:, at], slots[:, :, None], axis=1)  # K x T x 2
        pair = (kept.astype(np.float64) * inside[:, :, None]).sum(axis=1)  # R x 2
    else:
        pair = states.sums[:, layout.sums.index(window)].astype(np.float64)
        if window.kind == "half_life":
            age = np.where(states.count > 0, now - np.where(states.count > 0, states.newest, now), 0)
            pair = pair * np.exp2(-age / window.span_us)[:, None]
    count, clicks = np.broadcast_to(pair[:, 0], now.shape), np.broadcast_to(pair[:, 1], now.shape)
    if field.measure == "rate":
        return np.where(count > 0, definition.rate(clicks, count), np.nan).astype(np.float32)
    return np.log1p(count if field.measure == "count" else clicks).astype(np.float32)


def _regression(
    definition: HistoryDefinition, users: KeyStates, field: TasteField, candidates: NDArray[np.uint64]
) -> NDArray[np.float32]:
    mean = users.means[field.vectors].astype(np.float64)  # K x d
    if field.measure == "level":
        return np.where(users.count > 0, mean[:, -1], np.nan).astype(np.float32) * _ones(candidates)
    places = definition.vectors[field.vectors].places(candidates)
    z = definition.tables[field.vectors][places].astype(np.float64)  # R x r
    if field.measure == "regression":
        value = (mean[:, :-1] * z).sum(axis=1)
    else:
        covariance = users.covariances[field.vectors][:, :-1, :-1]  # K x r x r
        value = np.sqrt(((covariance * z[:, None, :]).sum(axis=2) * z).sum(axis=1).clip(min=0))
    known = (users.count > 0) & (places < len(definition.vectors[field.vectors].items))
    return np.where(known, value, np.nan).astype(np.float32)


def _cosines(
    definition: HistoryDefinition, users: KeyStates, source: str, candidates: NDArray[np.uint64]
) -> NDArray[np.float32]:
    """(R, N) cosines with the last events' items, the newest first; NaN where a vector or an event is missing."""
    vectors, directions = definition.vectors[source], definition.directions[source]
    items = np.take_along_axis(users.items, _newest_first(users), axis=1)
    past, here = vectors.places(items), vectors.places(candidates)  # K x N, R
    cosines = (directions[past] * directions[here][:, None, :]).sum(axis=2)  # R x N
    usable = (past < len(vectors.items)) & (here < len(vectors.items))[:, None] & _present(users)
    return np.where(usable, cosines, np.float32(np.nan))


def _likeness(users: KeyStates, field: TasteField, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    usable = ~np.isnan(cosines)
    cosine = np.where(usable, cosines, -2).astype(np.float64)
    residuals = np.broadcast_to(np.take_along_axis(users.residuals, _newest_first(users), axis=1), cosine.shape).astype(
        np.float64
    )
    if field.measure == "similarity":
        weights = np.where(usable, np.exp(_KERNEL * (cosine - 1)), 0)
        value = (weights * residuals).sum(axis=1) / (weights.sum(axis=1) + _DOUBT)
    elif field.measure == "nearest":
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :_NEAREST]  # of equally near ones the newest
        some = np.take_along_axis(usable, best, axis=1)
        value = (np.take_along_axis(residuals, best, axis=1) * some).sum(axis=1) / (some.sum(axis=1) + _DOUBT)
    else:
        sign = residuals > 0 if field.measure == "liked_near" else residuals < 0
        value = np.log1p((usable & sign & (cosine >= field.above) & (cosine < field.below)).sum(axis=1))
    return np.where(usable.any(axis=1), value, np.nan).astype(np.float32)


def _neighbours(definition: HistoryDefinition, users: KeyStates, candidates: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Sum over the last events of weight x residual, divided by the root of how many there are."""
    past = np.broadcast_to(users.items, (len(candidates), users.items.shape[1]))
    weights = definition.neighbours.of(candidates, past).astype(np.float64)
    present = _present(users)
    value = (weights * users.residuals * present).sum(axis=1) / np.sqrt(present.sum(axis=1) + 1.0)
    return np.where((users.count > 0) & (weights != 0).any(axis=1), value, np.nan).astype(np.float32)


def _present(users: KeyStates) -> NDArray[np.bool_]:
    """(K, N) which places hold an event, in the order of memory and newest first alike."""
    return np.arange(users.items.shape[1]) < users.count[:, None]


def _newest_first(users: KeyStates) -> NDArray[np.int64]:
    """(K, N) places of the lists from the newest event to the oldest, empty ones last."""
    last = users.items.shape[1]
    return (users.count[:, None] - 1 - np.arange(last)) % last


def _ones(candidates: NDArray[np.uint64]) -> NDArray[np.float32]:
    return np.ones(len(candidates), np.float32)
