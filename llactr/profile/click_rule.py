"""What a click is: the rule that makes one of a row, and why it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Label", "LabelKind"]

LabelKind = Literal["column", "above", "equals", "slate", "pairs", "counts", "chosen"]


@dataclass(frozen=True)
class Label:
    """What a click is, and why.

    Attributes:
        kind: the column itself; a number `above`; a value `equals`; a list of what was shown beside one of what was
            `chosen` (slate); shown things with their outcome in one text (pairs); impressions and clicks in numbers
            (counts); or every row is a choice and what was not chosen is drawn (chosen).
        column: the one it is read from.
        second: of a slate, the chosen; of counts, the clicks.
        above: of `above`; `equals` likewise; `drop` leaves rows out.
        share: of clicks among the rows that stay.
        score: how likely it is what is meant; `reason` in words.
        holds: ratings on a scale, or kinds of acts such as view and purchase; empty where the column holds neither.
    """

    kind: LabelKind
    column: str
    score: float
    reason: str
    second: str = ""
    above: float | None = None
    equals: str | None = None
    drop: tuple[float, ...] = ()
    share: float = 0.0
    holds: Literal["", "ratings", "acts"] = ""

    @property
    def rates(self) -> bool:
        """Whether a click is a rating above something."""
        return self.kind == "above" and self.holds == "ratings"

    @property
    def sure(self) -> bool:
        """Whether a person need not look."""
        return self.score >= 5

    @property
    def words(self) -> str:
        """The rule in short."""
        if self.kind == "above":
            left = f", without {', '.join(f'{value:g}' for value in self.drop)}" if self.drop else ""
            return f"{self.column} > {self.above:g}{left}"
        if self.kind == "equals":
            return f"{self.column} = {self.equals}"
        return {
            "slate": f"{self.column} among {self.second}", "pairs": f"{self.column} marked 1",
            "counts": f"{self.second} of {self.column}", "chosen": "every row, against drawn ones",
        }.get(self.kind, self.column)  # fmt: skip
