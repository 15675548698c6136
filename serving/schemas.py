"""Bodies of requests, made from the bundle's spec, field by field."""

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

__all__ = ["ReloadRequest", "RequestSchemas"]

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


class ReloadRequest(_Request):
    """Which bundle to load; without an id, the one promoted last (where none was, trained last)."""

    bundle: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")] | None = None
