"""History fields worked out the slow way: for every row, all events again, one by one, from the definitions alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Seen:
    """One event of the oracle."""

    user: str
    item: str
    time: int
    outcome: float


def distinct(events: list[Seen]) -> list[Seen]:
    """Of repeated events the first."""
    known, kept = set(), []
    for event in events:
        key = (event.user, event.item, event.time)
        if key not in known:
            known.add(key)
            kept.append(event)
    return sorted(kept, key=lambda event: event.time)


class Oracle:
    """Answers for one set of events; vectors are item -> list of floats."""

    def __init__(self, events, *, delay, overall, smoothing, vectors, prior_taste, prior_level, last, genres):
        self.events = distinct(events)
        self.delay, self.overall, self.smoothing, self.last = delay, overall, smoothing, last
        self.genres = {item: set(values) for item, values in genres.items()}
        self.vectors, self.prior_taste, self.prior_level = vectors, prior_taste, prior_level

    def before(self, now, *, user=None, item=None):
        return [
            e
            for e in self.events
            if e.time + self.delay < now and (user is None or e.user == user) and (item is None or e.item == item)
        ]

    def rate(self, past):
        clicks = sum(e.outcome for e in past)
        return (clicks + self.smoothing * self.overall) / (len(past) + self.smoothing)

    def residual(self, event):
        return event.outcome - self.rate(self.before(event.time, item=event.item))

    def window(self, past, now, *, measure, last=None, half_life=None):
        if last is not None:
            tile = last // 8
            kept = [(e, 1.0) for e in past if now // tile - e.time // tile < 8]
        elif half_life is not None:
            kept = [(e, 0.5 ** ((now - e.time) / half_life)) for e in past]
        else:
            kept = [(e, 1.0) for e in past]
        count, clicks = sum(w for _, w in kept), sum(w * e.outcome for e, w in kept)
        if measure == "rate":
            return (clicks + self.smoothing * self.overall) / (count + self.smoothing) if count > 0 else math.nan
        return math.log1p(count if measure == "count" else clicks)

    def pair(self, past, item, now, *, measure, half_life=None):
        """Of the user's past, what had the candidate's genres, counted once a genre."""
        genres = self.genres.get(item, set())
        if not genres or not past:
            return math.nan
        count = clicks = 0.0
        for event in past:
            weight = 1.0 if half_life is None else 0.5 ** ((now - event.time) / half_life)
            shared = len(genres & self.genres.get(event.item, set()))
            count, clicks = count + weight * shared, clicks + weight * shared * event.outcome
        if measure == "rate":
            return (clicks + self.smoothing * self.rate(past)) / (count + self.smoothing)
        return math.log1p((count if measure == "count" else clicks) / len(genres))

    def posterior(self, user, now):
        """Ridge regression in closed form over all events at once."""
        past = self.before(now, user=user)
        dim = len(next(iter(self.vectors.values())))
        x = np.array([[*self.vectors.get(e.item, [0.0] * dim), 1.0] for e in past]).reshape(len(past), dim + 1)
        y = np.array([self.residual(e) for e in past])
        precision = np.diag([1 / self.prior_taste] * dim + [1 / self.prior_level]) + x.T @ x
        covariance = np.linalg.inv(precision)
        return covariance @ x.T @ y, covariance, len(past)

    def taste(self, user, item, now, *, measure, above=0.0, below=2.0):
        mean, covariance, count = self.posterior(user, now)
        if measure == "level":
            return mean[-1] if count else math.nan
        last = self.before(now, user=user)[-self.last :]
        own = sum(self.residual(event) for event in last) / (len(last) + 1)
        if measure == "recent":
            return own if count else math.nan
        z = self.vectors.get(item)
        if not count or z is None:
            return math.nan
        z = np.array(z)
        if measure == "regression":
            return float(mean[:-1] @ z)
        if measure == "uncertainty":
            return math.sqrt(z @ covariance[:-1, :-1] @ z)
        near = []
        for event in reversed(self.before(now, user=user)[-self.last :]):
            other = self.vectors.get(event.item)
            if other is not None:
                other = np.array(other)
                cosine = float(z @ other / math.sqrt((z @ z) * (other @ other)))
                near.append((cosine, self.residual(event) - own, event.outcome))
        if not near:
            return math.nan
        if measure == "similarity":
            weights = [math.exp(6 * (cosine - 1)) for cosine, _, _ in near]
            return sum(w * r for w, (_, r, _) in zip(weights, near, strict=True)) / (sum(weights) + 1)
        if measure == "nearest":
            best = sorted(near, key=lambda entry: -entry[0])[:5]
            return sum(r for _, r, _ in best) / (len(best) + 1)
        wanted = 1.0 if measure == "liked_near" else 0.0
        return math.log1p(sum(above <= c < below and outcome == wanted for c, _, outcome in near))

    def neighbours(self, user, item, now, *, table_time, shrink=20.0):
        """Weights from pairs of events known before `table_time`, against the user's last events."""
        past = self.before(now, user=user)[-self.last :]
        own = sum(self.residual(event) for event in past) / (len(past) + 1)
        total, some = 0.0, False
        for event in past:
            product, pairs = 0.0, 0
            for later in self.events:
                if later.time + self.delay >= table_time:
                    continue
                for earlier in self.before(later.time, user=later.user)[-self.last :]:
                    if {later.item, earlier.item} == {item, event.item} and later.item != earlier.item:
                        product += self.residual(later) * self.residual(earlier)
                        pairs += 1
            weight = product / (pairs + shrink)
            some = some or weight != 0
            total += weight * (self.residual(event) - own)
        return total / math.sqrt(len(past) + 1) if some else math.nan
