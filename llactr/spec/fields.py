"""The fields of a dataset spec: what the model sees of a row, one kind a class."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting

__all__ = [
    "FIELD_KINDS",
    "CategoricalField",
    "EntityOwner",
    "Field",
    "MultiValuedField",
    "Name",
    "NumericField",
    "Owner",
    "SpecModel",
    "TextField",
    "TimestampPartField",
]

Owner = str
"""Whose a field is: an entity of the spec, such as `user` or `item`, or `context`, the request."""
EntityOwner = str
"""An entity of the spec. `user` and `item` are roles: history, cold start and ranking need them."""
NullRule = Literal["own_id", "oov", "refuse"]

FIELD_KINDS = ("categorical", "numeric", "timestamp_part", "multi_valued")


def _usable_name(name: str) -> str:
    if not name.isprintable() or name != name.strip() or not name or len(name) > 100:
        raise ValueError(f"{name!r} cannot be a name: use 1 to 100 printable characters, not a space at either end")
    if ":" in name:
        raise ValueError(f"{name!r} holds a colon, which separates views from features: rename it")
    return name


Name = Annotated[str, AfterValidator(_usable_name)]
"""A name that becomes a column or a Feast feature: any printable characters but a colon."""


class SpecModel(BaseModel):
    """A part of a spec: frozen, and a key that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


_FEATURE = re.compile(r"[^:@\s]+(@v\d+)?:[^:@\s]+")


class _FieldBase(SpecModel):
    """What all kinds of fields have.

    `feature` names a feature of your own Feast repository, `view:feature` or, of one version of a view,
    `view@v2:feature`; such a field is no column of a table of the spec. Its keys are the view's join keys, each found
    among the entities by its name (see `repository_key`), the owner's first. `keys` says it where that is not enough:
    the view's join key -> an entity of the spec.
    """

    name: Name
    description: str = Setting(min_length=3)
    owner: Owner
    source_column: str | None = None
    feature: str | None = None
    keys: dict[str, str] = Setting(default_factory=dict)
    nulls: NullRule = "own_id"

    @model_validator(mode="after")
    def _a_feature_of_the_repository(self) -> _FieldBase:
        if self.feature is None:
            if self.keys:
                raise ValueError("'keys' is for a field with 'feature', a feature of your own Feast repository")
            return self
        if not _FEATURE.fullmatch(self.feature):
            raise ValueError(f"'feature' is {self.feature!r}, expected view:feature or view@v2:feature")
        if self.source_column is not None:
            raise ValueError("'feature' is read from the Feast repository and 'source_column' from a table: give one")
        if self.nulls == "refuse":
            raise ValueError(
                "'nulls: refuse' cannot be kept for a feature of the repository, which has none for a key that it "
                "does not know or whose value has expired: say own_id or oov"
            )
        return self

    @property
    def column(self) -> str:
        """The table's column that holds the field; the field's name unless the spec says otherwise."""
        return self.source_column or self.name


class TextField(_FieldBase):
    """A field whose values a language model may read; see `llactr.semantics.texts`.

    `value_text` says what the text of a value is: `true` takes the value itself, a list of fields of the same entity
    takes their values (for a field that reads the join key, which says nothing by itself), `false` gives it none.
    """

    value_text: bool | tuple[Name, ...] = False


class CategoricalField(TextField):
    """One id per distinct value seen at least `min_count` times in training."""

    kind: Literal["categorical"]
    min_count: int = Setting(default=1, ge=1)


class NumericField(_FieldBase):
    """A number in buckets: `quantile` edges are fitted on training rows; `log` is floor(log(1 + x)^2) of x >= 0."""

    kind: Literal["numeric"]
    buckets: Literal["quantile", "log"] = "quantile"
    bucket_count: int = Setting(default=10, ge=2, le=1000)


class TimestampPartField(_FieldBase):
    """A part of a timestamp in UTC: `hour` 0..23, `weekday` 0..6 from Monday, `month` 1..12, `day` 1..31.

    A context field reads the event timestamp unless `source_column` names another one.
    """

    kind: Literal["timestamp_part"]
    part: Literal["hour", "weekday", "month", "day"]


class MultiValuedField(TextField):
    """Several values in one string; the field's embedding is the mean over at most `max_values` of them."""

    kind: Literal["multi_valued"]
    separator: str = Setting(default=" ", min_length=1)
    min_count: int = Setting(default=1, ge=1)
    max_values: int = Setting(default=8, ge=1, le=64)


Field = Annotated[
    CategoricalField | NumericField | TimestampPartField | MultiValuedField, Setting(discriminator="kind")
]
