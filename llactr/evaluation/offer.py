"""Which arms there are to choose from, and what each needs of a dataset.

A new arm to choose from is a line in `CANDIDATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llactr.evaluation.arms import Arm
from llactr.spec import DatasetSpec

__all__ = ["CANDIDATES", "FEWEST_PAST", "Candidate", "Offer", "offered"]

FEWEST_PAST = 5
"""With fewer earlier events of their users, the median over rows, a person's past is not tried (docs/history.md)."""


@dataclass(frozen=True)
class Offer:
    """What a dataset has that arms may need.

    Attributes:
        spec: of the dataset.
        values_encoded: whether the values' texts have been encoded.
        past: owner -> median over the validation rows of how many earlier events their user, or item, has; empty for a
            dataset without users or items.
    """

    spec: DatasetSpec
    values_encoded: bool
    past: Mapping[str, float] = field(default_factory=dict)

    @property
    def has_items_past(self) -> bool:
        """Whether there are users and items.

        No floor of events: one of 20 an item cost .02 of AUC where the median was 4, and validation saw the gain
        (docs/history.md).
        """
        return bool(self.past)

    @property
    def has_persons_past(self) -> bool:
        """Whether half of the rows' users have `FEWEST_PAST` earlier events."""
        return self.past.get("user", 0) >= FEWEST_PAST

    @property
    def left_out(self) -> str:
        """Which arms with history are not offered, and why, in a sentence's part; empty for none."""
        if not self.past or self.has_persons_past:
            return ""
        return (
            f"a person's past is not offered, as half of the validation rows have fewer than {FEWEST_PAST} earlier "
            f"events of their user (median {self.past['user']:g})"
        )


@dataclass(frozen=True)
class Candidate:
    """An arm that may be served, and whether a dataset has what it needs."""

    arm: Arm
    fits: Callable[[Offer], bool]


CANDIDATES: tuple[Candidate, ...] = (
    Candidate(Arm.parse("plain"), lambda _: True),
    Candidate(Arm.parse("paper"), lambda _: True),
    Candidate(Arm.parse("values"), lambda offer: offer.values_encoded),
    Candidate(Arm.parse("items"), lambda offer: offer.has_items_past),
    Candidate(Arm.parse("history"), lambda offer: offer.has_persons_past),
    Candidate(Arm.parse("history taste"), lambda offer: offer.has_persons_past),
)
"""All arms to choose from, the simplest first: what needs less to be kept up in production is simpler.

Those that read the past come without a section `history` in the spec too: whoever does not write one wants the best
model all the same, and the choice takes it only where it is surely better."""


def offered(offer: Offer) -> tuple[Arm, ...]:
    """The arms that a dataset can be served with, the simplest first."""
    return tuple(one.arm for one in CANDIDATES if one.fits(offer))
