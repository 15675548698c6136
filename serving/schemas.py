"""Request and response bodies; those of requests are made from the bundle's spec, field by field."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)

from llactr.spec import DatasetSpec, MultiValuedField, NumericField, TimestampPartField
from llactr.spec import Field as SpecField
from llactr.transforms import split_values

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
    "ReloadRequest",
    "ReloadResponse",
    "RequestSchemas",
    "SimilarField",
    "SimilarResponse",
]

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})")
_EARLIEST, _LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_MAX_KEY, _MAX_TEXT = 256, 4096

Key = Annotated[
    Annotated[StrictStr, Field(min_length=1, max_length=_MAX_KEY)]
    | Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)],
    Field(description="a join key; 25 and '25' are the same"),
]
_Text = Annotated[StrictStr, Field(max_length=_MAX_TEXT)]
_Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
_Category = _Text | Annotated[StrictInt, Field(ge=-(2**63), le=2**63 - 1)] | _Number | StrictBool


def _rfc3339(value: object) -> object:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("expected an RFC 3339 timestamp with a zone, such as 2026-03-01T18:30:00Z")
    return value


_Moment = Annotated[
    Annotated[AwareDatetime, Field(ge=_EARLIEST, lt=_LATEST)],
    BeforeValidator(_rfc3339, json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date-time"})]),
]


_Outcome = StrictBool | Literal[0, 1]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RequestSchemas:
    """The request models of one spec.

    Field names are free text, so the models' attributes are `f0`, `f1`, ... with the names as aliases.

    Attributes:
        rank: the body of /v1/rank; None when the spec has no items.
        predict: the body of /v1/predict.
        row: a row of it, and the body of /v1/explain.
        event: one event of the body of /v1/events; None when the spec has no users and items.
        events: several.
        context_names: attribute of the context model -> field name, in the spec's order.
    """

    def __init__(self, spec: DatasetSpec, *, max_rows: int) -> None:
        context: dict[str, Any] = {}
        self.context_names: dict[str, str] = {}
        for field in spec.owned_by("context"):
            if isinstance(field, TimestampPartField) and field.source_column is None:
                continue  # read from the request's timestamp
            attribute = f"f{len(context)}"
            context[attribute] = _context_entry(field)
            self.context_names[attribute] = field.name
        needed = any(entry[1].is_required() for entry in context.values())
        context_model = create_model("Context", __base__=_Request, **context)
        context_model.__doc__ = f"Context fields of {spec.name}."
        shared: dict[str, Any] = {
            "timestamp": (_Moment | None, Field(default=None, description="when the request happens; now by default")),
            "context": (
                (context_model, Field(description="context fields by name"))
                if needed
                else (
                    context_model,
                    Field(default=context_model.model_construct(), description="context fields by name"),
                )
            ),
        }
        keys: dict[str, Any] = {owner: (Key, Field(description=f"the {owner}'s key")) for owner in spec.entities}
        flags: dict[str, Any] = {
            "return_ids": (StrictBool, Field(default=False, description="also return the local id of every slot")),
            "return_features": (
                StrictBool,
                Field(default=False, description="also return the raw values that were read"),
            ),
            "compare": (StrictBool, Field(default=False, description="also score with the bundle of --compare-bundle")),
        }
        row = self.row = create_model("Row", __base__=_Request, **(keys | shared))
        self.predict: type[BaseModel] = create_model(
            "PredictRequest",
            __base__=_Request,
            rows=(list[row], Field(min_length=1, max_length=max_rows, description="what to score")),  # type: ignore[valid-type]
            **flags,
        )
        self.event: type[BaseModel] | None = None
        self.events: type[BaseModel] | None = None
        if {"user", "item"} <= set(spec.entities):
            event = create_model(
                "PushedEvent",
                __base__=_Request,
                **keys,
                outcome=(_Outcome, Field(description="what came of it: 1 or true for a click, 0 or false for none")),
                timestamp=(
                    _Moment | None, Field(default=None, description="when the item was shown; now by default")
                ),
                context=shared["context"],
            )  # fmt: skip
            self.event = event
            self.events = create_model(
                "PushedEvents",
                __base__=_Request,
                events=(list[event], Field(min_length=1, max_length=max_rows, description="what happened")),  # type: ignore[valid-type]
            )
        self.rank: type[BaseModel] | None = None
        if "item" in spec.entities:
            user = {owner: entry for owner, entry in keys.items() if owner != "item"}
            self.rank = create_model(
                "RankRequest",
                __base__=_Request,
                **user,
                items=(list[Key], Field(min_length=1, max_length=max_rows, description="candidate items' keys")),
                **shared,
                top_k=(
                    Annotated[StrictInt, Field(ge=1, le=max_rows)] | None,
                    Field(default=None, description="best first, at most so many; all in the given order by default"),
                ),
                **flags,
            )


def _context_entry(field: SpecField) -> tuple[Any, Any]:
    if isinstance(field, NumericField):
        kind: Any = _Number
    elif isinstance(field, TimestampPartField):
        kind = _Moment
    elif isinstance(field, MultiValuedField):
        kind = _Text
    else:
        kind = _Category
    if field.nulls == "refuse":
        if kind is _Text or kind is _Category:
            kind = Annotated[kind, AfterValidator(partial(_some_value, field))]
        return kind, Field(alias=field.name, description=field.description)
    return kind | None, Field(default=None, alias=field.name, description=field.description)


def _some_value(field: SpecField, value: object) -> object:
    """An empty text is no value, and neither is a list of values without any."""
    if isinstance(value, str):
        held = split_values(value, field.separator) if isinstance(field, MultiValuedField) else value
        if not held:
            raise ValueError("expected a value: the spec says 'nulls: refuse'")
    return value


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


_VALUES_VERSION = Field(description="version of the value vectors; null for a bundle without any")


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


class ReloadRequest(_Request):
    """Which bundle to load; without an id, the one promoted last (where none was, trained last)."""

    bundle: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")] | None = None


class ReloadResponse(BaseModel):
    """What a reload did."""

    previous: str
    bundle: str
    changed: bool
    seconds: float
