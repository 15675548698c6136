"""The `history:` part of a dataset spec: which numbers of a person's and an item's past the model reads.

History fields are computed from the events, not read from a column. `llactr.history` defines which events count.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic import Field as Setting

__all__ = [
    "Duration",
    "HistoryField",
    "HistorySpec",
    "SequenceField",
    "TasteField",
    "VectorSource",
    "WindowField",
    "columns_of",
    "vector_sources",
]

VectorSource = Literal["categories", "text", "both", "item_item"]
TasteMeasure = Literal[
    "level", "recent", "regression", "uncertainty", "similarity", "nearest", "liked_near", "disliked_near"
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _seconds(value: Any) -> Any:
    """`90`, `"90s"`, `"15m"`, `"1h"`, `"7d"` or `"2w"` in seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", value)
    if match is None:
        raise ValueError(f"{value!r} is no duration: give seconds, or a number with s, m, h, d or w, such as 7d")
    return float(match[1]) * _UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(_seconds)]
"""A length of time in seconds; a spec may say 1h, 7d or 2w."""


class _HistoryModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, content: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in content if isinstance(content, dict) else ():
            if key not in known and key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), known, 1)
                meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise ValueError(f"unknown key {key!r}, {meant}")
        return content


class _HistoryFieldBase(_HistoryModel):
    name: str = Setting(min_length=1, max_length=100, pattern=r"^[^:\s][^:]*$")
    description: str = Setting(min_length=3)


class WindowField(_HistoryFieldBase):
    """Impressions or clicks of a user or an item: of all time, of the `last` seconds, or decaying with a `half_life`.

    `count` and `clicks` are log(1 + n); `rate` is the smoothed share of clicks. `last` is kept in 8 tiles: it covers
    between 7/8 and all of the duration.

    Of a `pair` it is what the user did with items of the candidate's values of the item field that `with` names, such
    as their genre: the mean over its values. A pair's rate is smoothed towards the user's own; `last` is not for pairs.
    """

    kind: Literal["window"]
    owner: Literal["user", "item", "pair"]
    category: str | None = Setting(default=None, alias="with")
    measure: Literal["count", "clicks", "rate"]
    last: Duration | None = Setting(default=None, gt=0)
    half_life: Duration | None = Setting(default=None, gt=0)

    @model_validator(mode="after")
    def _one_window(self) -> WindowField:
        if self.last is not None and self.half_life is not None:
            raise ValueError("'last' and 'half_life' are two kinds of windows: give one of them, or none for all time")
        if (self.owner == "pair") != (self.category is not None):
            raise ValueError("'with' names the item field of a window whose owner is 'pair', and of no other")
        if self.owner == "pair" and self.last is not None:
            raise ValueError("a pair's window is of all time or has a 'half_life': leave 'last' out")
        return self


class TasteField(_HistoryFieldBase):
    """How near the candidate lies to what the person liked.

    `vectors` says which vectors of items: their `categories`, their `text`, `both`, or `item_item` (what became of
    those two among the same people; `similarity` only). `measure` says which number:

    - `regression`: of the person's Bayesian linear regression, what the candidate's vector adds; `uncertainty`: the
      standard deviation of that; `level`: what the person adds for any candidate;
    - `recent`: the mean residual of the last events, whatever the candidate (no vectors are read);
    - `similarity`: residuals of the last events beside that mean, weighted by likeness; `nearest`: those of the five
      most alike;
    - `liked_near`, `disliked_near`: log(1 + n) of clicks, and of others, among the last events whose cosine with the
      candidate is at least `above` and below `below`.
    """

    kind: Literal["taste"]
    vectors: VectorSource = "both"
    measure: TasteMeasure
    above: float = Setting(default=0.5, ge=-1, le=1)
    below: float = Setting(default=1.1, ge=-1, le=1.1)

    @model_validator(mode="after")
    def _measures_of_item_item(self) -> TasteField:
        if self.vectors == "item_item" and self.measure != "similarity":
            raise ValueError(f"vectors 'item_item' have the measure 'similarity' only, not {self.measure!r}")
        if self.above >= self.below:
            raise ValueError(f"'above' {self.above:g} must be less than 'below' {self.below:g}")
        return self


class SequenceField(_HistoryFieldBase):
    """The person's last events beside the candidate, for attention over them (`llactr.ctr.attention`).

    Three numbers for each of the `last` events, the newest first: the cosine of its item with the candidate by their
    `vectors`, 0 where one has none; its residual beside the mean of the last events; log(1 + seconds) since then.
    """

    kind: Literal["sequence"]
    vectors: Literal["categories", "text", "both"] = "both"
    last: int = Setting(default=20, ge=1, le=200)


HistoryField = Annotated[WindowField | TasteField | SequenceField, Setting(discriminator="kind")]


def _default_fields() -> tuple[WindowField | TasteField, ...]:
    def window(owner: Literal["user", "item"], measure: Literal["count", "rate"], text: str) -> WindowField:
        return WindowField(name=f"{owner}_{measure}", description=text, kind="window", owner=owner, measure=measure)

    def taste(measure: TasteMeasure, text: str, vectors: VectorSource = "both") -> TasteField:
        name = f"taste_{measure}" if vectors == "both" else f"taste_{vectors}"
        return TasteField(name=name, description=text, kind="taste", vectors=vectors, measure=measure)

    return (
        window("user", "count", "how many items the person was shown before"),
        window("user", "rate", "how often the person clicked before"),
        window("item", "count", "how many people were shown the item before"),
        window("item", "rate", "how often people clicked the item before"),
        taste("level", "how much more than others the person clicked before, item by item"),
        taste("recent", "how much more than others the person clicked of late"),
        taste("regression", "how well the item fits what the person clicked and left before"),
        taste("similarity", "what the person did with items like this one"),
        taste("nearest", "what the person did with the items most like this one"),
        taste("similarity", "whether those who clicked what the person clicked also clicked this item", "item_item"),
    )


def columns_of(field: HistoryField) -> tuple[str, ...]:
    """Names of a field's numbers."""
    if not isinstance(field, SequenceField):
        return (field.name,)
    return tuple(f"{field.name} {part} {n}" for n in range(1, field.last + 1) for part in ("cosine", "residual", "age"))


def vector_sources(fields: Iterable[HistoryField]) -> set[str]:
    """Whose vectors of items some fields read, `item_item` among them."""
    return {
        field.vectors
        for field in fields
        if isinstance(field, SequenceField) or (isinstance(field, TasteField) and field.measure != "recent")
    }


class HistorySpec(_HistoryModel):
    """What of the past the model reads.

    Attributes:
        outcome_delay: an event's outcome is known this long after the event; it counts for later moments only.
        last: N, the events of a user that are kept one by one.
        rank: dimensions of item vectors after their PCA.
        smoothing: a smoothed rate is that of the events and as many at the overall rate.
        prior_taste: variance of the regression's weights before any event, in units of the outcomes' noise; how far
            one event moves the taste.
        prior_level: the same of its bias.
        pair_values: of each field that pair windows name, at most so many values a user; one more takes the place of
            the least frequent.
        fields: what enters the model.
    """

    outcome_delay: Duration = Setting(default=0.0, ge=0)
    last: int = Setting(default=50, ge=1, le=200)
    rank: int = Setting(default=24, ge=1, le=64)
    smoothing: float = Setting(default=10.0, gt=0)
    prior_taste: float = Setting(default=0.2, gt=0)
    prior_level: float = Setting(default=0.2, gt=0)
    pair_values: int = Setting(default=32, ge=1, le=128)
    fields: tuple[HistoryField, ...] = Setting(default_factory=_default_fields, min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> HistorySpec:
        seen: set[str] = set()
        for field in self.fields:
            if field.name.lower() in seen:
                raise ValueError(f"history field {field.name!r} is listed twice: field names are unique")
            seen.add(field.name.lower())
            if isinstance(field, SequenceField) and field.last > self.last:
                raise ValueError(
                    f"history field {field.name!r} reads the last {field.last} events, and {self.last} are kept: give "
                    "'history' a longer 'last'"
                )
        return self

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the history fields, in the spec's order."""
        return tuple(field.name for field in self.fields)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers of all fields: a field has one of its own name, a `sequence` three for each event."""
        return tuple(name for field in self.fields for name in columns_of(field))

    @property
    def places(self) -> dict[str, int | slice]:
        """Field -> where among the numbers it is."""
        found: dict[str, int | slice] = {}
        at = 0
        for field in self.fields:
            width = len(columns_of(field))
            found[field.name] = slice(at, at + width) if isinstance(field, SequenceField) else at
            at += width
        return found

    @property
    def delay_us(self) -> int:
        """`outcome_delay` in microseconds."""
        return round(self.outcome_delay * 1_000_000)
