"""Bodies of answers."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ColdStarts",
    "ComparedBundle",
    "ExplainResponse",
    "FieldInfo",
    "HistoryInfo",
    "ModelInfo",
    "PredictResponse",
    "PushResponse",
    "RankResponse",
    "ReloadResponse",
    "SimilarField",
    "SimilarResponse",
]


class _Answer(BaseModel):
    bundle: str = Field(description="id of the bundle that scored")
    semantics_version: str | None = Field(description="version of the field vectors; null for a bundle without any")
    request_id: str


class ColdStarts(BaseModel):
    """How many distinct users and items the online store did not know; of other entities, those of no row there."""

    model_config = ConfigDict(extra="allow")

    user: int = 0
    item: int = 0


class UnseenCounts(BaseModel):
    """Distinct values of text fields that training did not see, by field."""

    placed: dict[str, int] = Field(description="scored by the vector of their text")
    cold: dict[str, int] = Field(description="without a vector: scored as out of vocabulary")


_UNSEEN = Field(default=None, description="for a bundle with value vectors")


_HISTORY = Field(
    default=None, description="with return_features, of a bundle with history: field -> its number in each row"
)


_PLACED = Field(default=None, description="with return_features: for each score, the fields whose value was placed")


class Comparison(BaseModel):
    """The same rows, scored by the second bundle."""

    bundle: str
    semantics_version: str | None
    scores: list[float]


class MaterializationRead(BaseModel):
    """Of which materialization the features are."""

    run: str = Field(description="the run that ended last; several, joined by +, where views were run one by one")
    mixed: bool = Field(description="another run was under way: rows may be of either")


_MATERIALIZATION = Field(default=None, description="null for a row of context alone")


class RecentEvent(BaseModel):
    """An event of the person's past."""

    item: str | None = Field(description="the item's key; null where the service does not know it")
    outcome: Literal[0, 1]
    timestamp: datetime


_RECENT = Field(
    default=None, description="with return_features, of a bundle with history: the user's last events, newest first"
)


class RankResponse(_Answer):
    """Scores of the candidates: `items[i]` has click probability `scores[i]`."""

    items: list[str]
    scores: list[float]
    cold: ColdStarts
    materialization: MaterializationRead | None = _MATERIALIZATION
    unseen: UnseenCounts | None = _UNSEEN
    ids: list[list[int]] | None = None
    features: dict[str, list[Any]] | None = None
    history: dict[str, list[float | None]] | None = _HISTORY
    recent: list[RecentEvent] | None = _RECENT
    placed: list[list[str]] | None = _PLACED
    compare: Comparison | None = None


class LeftOut(BaseModel):
    """A field, and the score without it."""

    field: str
    without: float = Field(description="the click probability with this field alone taken for unknown")
    contribution: float = Field(description="by how much the field raises the logit; these need not add up")


class ExplainResponse(_Answer):
    """One row's click probability, and what each field does to it by itself."""

    score: float
    fields: list[LeftOut]
    history: list[LeftOut] | None = Field(description="the same of history's numbers; null for a bundle without any")


class PredictResponse(_Answer):
    """Click probabilities, in the order of the rows."""

    scores: list[float]
    cold: ColdStarts
    materialization: MaterializationRead | None = _MATERIALIZATION
    unseen: UnseenCounts | None = _UNSEEN
    ids: list[list[int]] | None = None
    features: dict[str, list[Any]] | None = None
    history: dict[str, list[float | None]] | None = _HISTORY
    placed: list[list[str]] | None = _PLACED
    compare: Comparison | None = None


_VALUES_VERSION = Field(description="version of the value vectors; null for a bundle without any")


class FieldInfo(BaseModel):
    """A field as the model sees it."""

    name: str
    description: str
    owner: str
    kind: str
    vocabulary_size: int
    values: list[str] = Field(
        default_factory=list, description="of a context field: values that training saw, the most frequent first"
    )


class HistoryInfo(BaseModel):
    """The history that the bundle reads."""

    version: str
    fields: dict[str, str] = Field(description="history field -> its description")
    outcome_delay_s: float = Field(description="how long after an event it counts")
    last: int = Field(description="how many events of a person are kept one by one")


_HISTORY_INFO = Field(default=None, description="null for a bundle without history")


class ComparedBundle(BaseModel):
    """The second bundle."""

    bundle: str
    backbone: str
    enhanced: bool
    values_version: str | None = _VALUES_VERSION
    history: HistoryInfo | None = _HISTORY_INFO


class ModelInfo(BaseModel):
    """The bundle in use."""

    bundle: str
    dataset: str
    backbone: str
    enhanced: bool
    semantics_version: str | None
    values_version: str | None = _VALUES_VERSION
    current_release: str | None = Field(description="the version released last, as the online store has it")
    metrics: dict[str, Any]
    fields: list[FieldInfo]
    created: str | None
    loaded_at: datetime
    compare: ComparedBundle | None = Field(description="the bundle of --compare-bundle")
    examples: dict[str, list[str]] = Field(description="keys that training saw, the most frequent first")
    history: HistoryInfo | None = _HISTORY_INFO


class SimilarField(BaseModel):
    """Another field, and how alike its description is."""

    field: str
    description: str
    cosine: float


class SimilarResponse(BaseModel):
    """Fields by likeness, nearest first."""

    field: str
    semantics_version: str
    centered: bool
    similar: list[SimilarField]


class PushResponse(BaseModel):
    """What became of pushed events: they are on the disk, and in the history of their users and items."""

    accepted: int = Field(description="how many events")
    repeated: int | None = Field(
        description="how many of them were there already (same user, item and time) and count once; null where it is "
        "not known: no bundle in use reads history, or another process applied them"
    )
    request_id: str


class ReloadResponse(BaseModel):
    """What a reload did."""

    previous: str
    bundle: str
    changed: bool
    seconds: float
