"""A window of rows compared with a bundle's profile: distances, shares, and which of them are an alarm.

A distance is an alarm when it is both large (a floor, which says what matters) and larger than chance makes it (a
quantile of its distribution when nothing has changed). PSI, the sum of (p - q) ln(p / q) over bins, is then near
chi2(B - 1) (1/n + 1/m) for n and m rows (Yurdakul, "Statistical properties of population stability index", 2018); bins
of which a window is to hold fewer than five rows are put together. The quantile is shared out over all that is looked
at, so that one window in some thousands is a false alarm however many fields there are.

Rows of one request are not independent: of users and context each request counts once.

Letters: N rows, C id slots, B bins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from llactr.lifecycle.monitoring.profile import FieldProfile, Profile, cold_shares, field_counts
from llactr.spec import DatasetSpec
from llactr.transforms import FieldLayout

__all__ = ["DEFAULTS", "Finding", "Thresholds", "Window", "compare", "jensen_shannon", "psi"]


class Thresholds(BaseModel):
    """When a difference is an alarm.

    Attributes:
        psi: floor of PSI of fields and scores; 0.1 is the usual line between none and a small shift.
        share: floor of a change of a share (nulls, out of vocabulary, cold), in points from 0 to 1; of the label rate a
            quarter of it, where that is less.
        calibration: floor of a change of the mean score's distance from the label rate.
        false_alarms: share of unchanged windows that may give one, over all that is looked at.
        least_rows: a window of fewer rows is not judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    psi: float = Field(default=0.1, gt=0)
    share: float = Field(default=0.02, gt=0, lt=1)
    calibration: float = Field(default=0.05, gt=0, lt=1)
    false_alarms: float = Field(default=0.0002, gt=0, lt=0.5)
    least_rows: int = Field(default=200, ge=20)


DEFAULTS = Thresholds()


@dataclass(frozen=True)
class Window:
    """Rows that came in.

    Attributes:
        ids: (N, C) local ids of the bundle.
        scores: (N,) its scores; None where they are not known.
        labels: (N,) 0 or 1; None before outcomes are known.
        requests: (N,) the number of each row's request; None where each row is one.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32] | None = None
    labels: NDArray[np.float32] | None = None
    requests: NDArray[np.int64] | None = None

    def first_rows(self) -> NDArray[np.int64]:
        """(R,) a row of each request."""
        if self.requests is None:
            return np.arange(len(self.ids), dtype=np.int64)
        return np.unique(self.requests, return_index=True)[1].astype(np.int64)


class Finding(BaseModel):
    """One figure of a window beside that of the profile.

    Attributes:
        what: `psi`, `nulls`, `unknown`, `cold`, `scores`, `label rate`, `calibration`.
        of: a field or an owner; empty for the model.
        expected, found: shares, where it is one.
        distance: PSI, or the difference of shares.
        limit: past which it is an alarm.
        js: Jensen-Shannon distance, from 0 to 1, beside a PSI.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    of: str
    expected: float | None
    found: float | None
    distance: float
    limit: float
    js: float | None = None

    @property
    def is_alarm(self) -> bool:
        """Whether it is large, and larger than chance makes it."""
        return self.distance > self.limit

    @property
    def sentence(self) -> str:
        """The figure in words."""
        whose = f" of {self.of}" if self.of else ""
        if self.expected is None or self.found is None:
            return f"{self.what}{whose}: {self.distance:.3f}, limit {self.limit:.3f}"
        return f"{self.what}{whose}: {self.found:.1%}, was {self.expected:.1%} (limit {self.limit:.1%} away)"


def compare(
    profile: Profile, spec: DatasetSpec, layout: FieldLayout, window: Window, thresholds: Thresholds = DEFAULTS
) -> tuple[Finding, ...]:
    """All figures of a window, alarms first, then by how far each is past its limit."""
    once = window.first_rows()
    looked_at = 3 * len(profile.fields) + len(profile.cold) + 3
    chance = thresholds.false_alarms / looked_at
    found: list[Finding] = []
    for place, field in enumerate(profile.fields):
        rows = window.ids if field.owner == "item" else window.ids[once]
        found += _of_field(field, field_counts(field, layout, place, rows), len(rows), chance, thresholds)
    for owner, share in cold_shares(spec, layout, window.ids).items():
        number = len(window.ids) if owner == "item" else len(once)
        found.append(
            _share("cold", owner, profile.cold.get(owner, 0.0), share, profile.rows, number, chance, thresholds)
        )
    if profile.scores is not None and window.scores is not None:
        bins = np.searchsorted(np.array(profile.scores.edges), window.scores, side="right")
        counts = np.bincount(bins, minlength=len(profile.scores.counts))
        # Scores of one request share a user: as many of them are independent as there are requests, at the least.
        found.append(_psi("scores", "", profile.scores.counts, counts, len(once), chance, thresholds))
    if window.labels is not None:
        rate = float(window.labels.mean())
        of_rate = thresholds.model_copy(update={"share": min(thresholds.share, profile.label_rate / 4)})
        found.append(
            _share("label rate", "", profile.label_rate, rate, profile.rows, len(window.labels), chance, of_rate)
        )
        if window.scores is not None and profile.scores is not None:
            found.append(_calibration(profile, window.scores, window.labels, chance, thresholds))
    if len(window.ids) < thresholds.least_rows:
        found = [one.model_copy(update={"limit": math.inf}) for one in found]
    return tuple(sorted(found, key=lambda one: one.limit - one.distance))


def psi(expected: Sequence[int] | NDArray[np.int64], found: Sequence[int] | NDArray[np.int64]) -> float:
    """The population stability index of two counts of the same bins; half a row is added to each."""
    p, q = _shares(expected), _shares(found)
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(expected: Sequence[int] | NDArray[np.int64], found: Sequence[int] | NDArray[np.int64]) -> float:
    """The Jensen-Shannon distance of two counts, base 2: from 0, the same shares, to 1, nothing in common."""
    p, q = (np.asarray(one, np.float64) / max(np.sum(one), 1) for one in (expected, found))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(one > 0, one * np.log2(one / middle), 0.0).sum() for one in (p, q)]
    return float(math.sqrt(max(0.0, sum(parts) / 2)))


def _of_field(
    field: FieldProfile, counts: NDArray[np.int64], rows: int, chance: float, thresholds: Thresholds
) -> list[Finding]:
    total = max(int(counts.sum()), 1)
    nulls, unknown = counts[-1] / total, counts[-2] / total
    sizes = (field.rows, min(total, max(rows, 1)))
    return [
        _psi("psi", field.name, field.counts, counts, sizes[1], chance, thresholds),
        _share("nulls", field.name, field.null_share, float(nulls), *sizes, chance, thresholds),
        _share("unknown", field.name, field.unknown_share, float(unknown), *sizes, chance, thresholds),
    ]


def _psi(
    what: str, of: str, expected: Sequence[int], found: NDArray[np.int64], rows: int, chance: float, at: Thresholds
) -> Finding:
    was, now = _together(np.asarray(expected, np.int64), np.asarray(found, np.int64), rows)
    by_chance = _chi2_quantile(1 - chance, len(was) - 1) * (1 / max(rows, 1) + 1 / max(int(was.sum()), 1))
    limit = max(at.psi, by_chance)
    js = jensen_shannon(was, now)
    return Finding(what=what, of=of, expected=None, found=None, distance=psi(was, now), limit=limit, js=js)


def _share(
    what: str, of: str, expected: float, found: float, was_rows: int, rows: int, chance: float, at: Thresholds
) -> Finding:
    """Two shares: the limit is what chance does to their difference, by the normal law with the pooled share."""
    pooled = (expected * was_rows + found * rows + 1) / (was_rows + rows + 2)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / max(was_rows, 1) + 1 / max(rows, 1)))
    # Rare things come in counts whose tail is longer than the normal law's: half of its square is added.
    z = NormalDist().inv_cdf(1 - chance / 2)
    limit = max(at.share, z * deviation + z * z / (3 * max(rows, 1)))
    return Finding(what=what, of=of, expected=expected, found=found, distance=abs(found - expected), limit=limit)


def _calibration(
    profile: Profile, scores: NDArray[np.float32], labels: NDArray[np.float32], chance: float, at: Thresholds
) -> Finding:
    """How far the mean score is from the label rate, beside how far it was."""
    assert profile.scores is not None
    was = float(np.dot(profile.scores.counts, profile.scores.means)) / max(profile.rows, 1) - profile.label_rate
    now = float(scores.mean()) - float(labels.mean())
    spread = float(np.std(scores - labels))
    deviation = spread * math.sqrt(1 / max(len(scores), 1) + 1 / max(profile.rows, 1))
    limit = max(at.calibration, NormalDist().inv_cdf(1 - chance / 2) * deviation)
    return Finding(what="calibration", of="", expected=was, found=now, distance=abs(now - was), limit=limit)


def _together(
    expected: NDArray[np.int64], found: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bins that a window of so many rows is to hold often enough to be compared; the others become one, the last."""
    rare = expected * (rows / max(int(expected.sum()), 1)) < 5
    if not rare.any():
        return expected, found
    return np.append(expected[~rare], expected[rare].sum()), np.append(found[~rare], found[rare].sum())


def _shares(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    smoothed = np.asarray(counts, np.float64) + 0.5
    shares: NDArray[np.float64] = smoothed / smoothed.sum()
    return shares


def _chi2_quantile(share: float, degrees: int) -> float:
    """A quantile of chi2, by Wilson and Hilferty's cube root; within 2% of it in the tails that are asked for."""
    if degrees < 1:
        return 0.0
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + NormalDist().inv_cdf(share) * math.sqrt(spread)) ** 3)
