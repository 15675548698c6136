"""The pydantic models of a dataset spec; unknown keys are refused, and every model is frozen."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic import Field as Setting

from llactr.columns import RESERVED
from llactr.spec.history import HistorySpec, WindowField

__all__ = [
    "FIELD_KINDS",
    "CategoricalField",
    "DatasetSpec",
    "EntityOwner",
    "EntitySpec",
    "Field",
    "LabelRule",
    "MultiValuedField",
    "NumericField",
    "Owner",
    "SourceSpec",
    "SplitSpec",
    "TimestampPartField",
    "TimestampSpec",
]

Owner = Literal["user", "item", "context"]
EntityOwner = Literal["user", "item"]
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


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSpec(_Model):
    """Where a table is read from.

    `path` is a file, or a folder or glob of Parquet files, relative to the data folder (by default the spec's own
    folder). For `duckdb` it is the database file and `table` the table's name. `separator` and `quote` are for `csv`,
    plain or compressed: `quote` is the character around cells that hold separators or line ends, `""` where the file
    quotes nothing; by default it is `"`, and a cell that swallows what looks like whole lines is refused.
    """

    path: str
    format: Literal["parquet", "csv", "duckdb"]
    table: str | None = None
    separator: str = ","
    quote: str | None = None

    @model_validator(mode="after")
    def _settings_go_with_the_format(self) -> SourceSpec:
        if (self.format == "duckdb") != (self.table is not None):
            raise ValueError("'table' is needed for format duckdb, and for no other")
        if len(self.separator) != 1 or not self.separator.isascii():
            raise ValueError(f'\'separator\' is {self.separator!r}, expected one character, such as "," or "\\t"')
        if self.quote is not None and self.quote != "" and (len(self.quote) != 1 or not self.quote.isascii()):
            raise ValueError(f"'quote' is {self.quote!r}, expected one character, or \"\" where nothing is quoted")
        if self.quote is not None and self.format != "csv":
            raise ValueError("'quote' is for format csv, and for no other")
        return self


class TimestampSpec(_Model):
    """A timestamp column. Integers need a `unit`, local times a `zone`; zoned timestamps need neither."""

    column: str
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str | None = None

    @model_validator(mode="after")
    def _unit_or_zone(self) -> TimestampSpec:
        if self.unit is not None and self.zone is not None:
            raise ValueError("'unit' counts from 1970 in UTC and 'zone' is for local times: give one of them")
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (OSError, ValueError, KeyError):
                raise ValueError(f"unknown zone {self.zone!r}, expected a name such as UTC or Europe/Berlin") from None
        return self


class LabelRule(_Model):
    """What a click is.

    The column itself (0 or 1, true or false); `column > above`; or, of any column, its being `equals`, a text or number
    as it stands in the source. Rows whose value is listed in `drop` are left out.
    """

    column: str
    above: float | None = None
    equals: bool | int | float | str | None = None
    drop: tuple[float | str, ...] = ()

    @property
    def words(self) -> str:
        """The rule in short: `stars > 3`."""
        if self.equals is not None:
            return f"{self.column} = {self.equals}"
        return self.column if self.above is None else f"{self.column} > {self.above:g}"

    @model_validator(mode="after")
    def _one_rule(self) -> LabelRule:
        if self.equals is not None and self.above is not None:
            raise ValueError("'above' is for numbers and 'equals' for one value: give one of them")
        texts = [value for value in self.drop if isinstance(value, str)]
        if texts and self.equals is None:
            raise ValueError(f"'drop' lists the text {texts[0]!r}, and only a rule with 'equals' reads text")
        return self


class EntitySpec(_Model):
    """A user or an item: its key, and the table of its features.

    Without `source` the entity has no features but its key. Without `timestamp` its rows hold from the start.
    `created` is when a row was written; among rows of one event timestamp the last written holds.
    """

    join_key: Name
    source: str | None = None
    timestamp: TimestampSpec | None = None
    created: TimestampSpec | None = None

    @model_validator(mode="after")
    def _timestamps_have_a_table(self) -> EntitySpec:
        if self.source is None and (self.timestamp or self.created):
            raise ValueError("'timestamp' and 'created' are columns of the entity's 'source', which is not given")
        if self.created is not None and self.timestamp is None:
            raise ValueError("'created' needs 'timestamp': rows without a time of their own have one version only")
        return self


class _FieldBase(_Model):
    name: Name
    description: str = Setting(min_length=3)
    owner: Owner
    source_column: str | None = None
    nulls: NullRule = "own_id"

    @property
    def column(self) -> str:
        """The table's column that holds the field; the field's name unless the spec says otherwise."""
        return self.source_column or self.name


class _TextField(_FieldBase):
    """A field whose values a language model may read; see `llactr.semantics.texts`.

    `value_text` says what the text of a value is: `true` takes the value itself, a list of fields of the same entity
    takes their values (for a field that reads the join key, which says nothing by itself), `false` gives it none.
    """

    value_text: bool | tuple[Name, ...] = False


class CategoricalField(_TextField):
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


class MultiValuedField(_TextField):
    """Several values in one string; the field's embedding is the mean over at most `max_values` of them."""

    kind: Literal["multi_valued"]
    separator: str = Setting(default=" ", min_length=1)
    min_count: int = Setting(default=1, ge=1)
    max_values: int = Setting(default=8, ge=1, le=64)


Field = Annotated[
    CategoricalField | NumericField | TimestampPartField | MultiValuedField, Setting(discriminator="kind")
]


class SplitSpec(_Model):
    """Shares of the rows, in the order of time; what is left after `train` and `validation` is the test split."""

    train: float = Setting(default=0.8, gt=0, lt=1)
    validation: float = Setting(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _something_left_to_test(self) -> SplitSpec:
        if self.train + self.validation >= 1:
            raise ValueError(f"train {self.train} and validation {self.validation} leave nothing for the test split")
        return self


class DatasetSpec(_Model):
    """A dataset: sources, label rule, event timestamp, entities and fields. Everything else follows from it."""

    name: str = Setting(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    description: str = ""
    recipe: str | None = None
    sources: dict[str, SourceSpec]
    events: str
    timestamp: TimestampSpec
    label: LabelRule
    entities: dict[EntityOwner, EntitySpec]
    fields: tuple[Field, ...] = Setting(min_length=2)
    split: SplitSpec = SplitSpec()
    history: HistorySpec | None = None

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the K fields, in the spec's order: the order of ids, embeddings and vectors everywhere."""
        return tuple(field.name for field in self.fields)

    @property
    def identifier(self) -> str:
        """The dataset's name as an identifier: what Feast object names begin with."""
        return re.sub(r"[^a-z0-9]", "_", self.name)

    def field(self, name: str) -> CategoricalField | NumericField | TimestampPartField | MultiValuedField:
        """The field of that name; KeyError when there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)

    @property
    def text_fields(self) -> tuple[CategoricalField | MultiValuedField, ...]:
        """The fields whose values have texts, in the spec's order."""
        return tuple(f for f in self.fields if isinstance(f, CategoricalField | MultiValuedField) and f.value_text)

    @property
    def past(self) -> HistorySpec | None:
        """What arms with history read: `history`, or its defaults where the spec has none; None without users or items.

        A default field that has the name of one of the spec's gets an ending.
        """
        if self.history is not None or not {"user", "item"} <= set(self.entities):
            return self.history
        section, taken = HistorySpec(), self._taken_names()
        fields = tuple(
            field.model_copy(update={"name": f"{field.name}_before"}) if field.name in taken else field
            for field in section.fields
        )
        return section.model_copy(update={"fields": fields})

    def owned_by(
        self, owner: Owner
    ) -> tuple[CategoricalField | NumericField | TimestampPartField | MultiValuedField, ...]:
        """The fields of a user, of an item, or of the request's context."""
        return tuple(field for field in self.fields if field.owner == owner)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DatasetSpec:
        self._check_names()
        for role, source in [("events", self.events), *((o, e.source) for o, e in self.entities.items())]:
            if source is not None and source not in self.sources:
                raise ValueError(f"{role} reads source {source!r}, which is not among {sorted(self.sources)}")
        for field in self.fields:
            if field.owner == "context":
                if field.column == self.label.column:
                    raise ValueError(f"field {field.name!r} reads the label column {field.column!r}: it would leak")
                continue
            entity = self.entities.get(field.owner)
            if entity is None:
                raise ValueError(f"field {field.name!r} belongs to {field.owner!r}, which 'entities' does not have")
            if entity.source is None and field.column != entity.join_key:
                raise ValueError(
                    f"field {field.name!r} belongs to {field.owner!r}, which has no source: "
                    "only its join key can be read"
                )
        self._check_value_texts()
        self._check_history()
        return self

    def _check_history(self) -> None:
        """History is of users and items, and its fields stand beside the others."""
        if self.history is None:
            return
        missing = [owner for owner in ("user", "item") if owner not in self.entities]
        if missing:
            raise ValueError(f"'history' needs entities 'user' and 'item', {missing[0]!r} is missing")
        taken = self._taken_names()
        for name in self.history.field_names:
            if name.lower() in taken:
                raise ValueError(f"history field {name!r} has the name of another field or key: rename it")
        possible = [f.name for f in self.owned_by("item") if isinstance(f, CategoricalField | MultiValuedField)]
        for field in self.history.fields:
            if isinstance(field, WindowField) and field.category is not None and field.category not in possible:
                raise ValueError(
                    f"history field {field.name!r} counts with {field.category!r}: expected a categorical or "
                    f"multi_valued field of the item, {possible}"
                )

    def _taken_names(self) -> frozenset[str]:
        """Names that no field of history may have, in lower case."""
        keys = (entity.join_key for entity in self.entities.values())
        return frozenset(name.lower() for name in (*self.field_names, *keys)) | RESERVED

    def _check_value_texts(self) -> None:
        """A text made of other fields belongs to a field that reads the join key they hang on."""
        for field in self.fields:
            if not isinstance(field, _TextField) or isinstance(field.value_text, bool):
                continue
            entity = None if field.owner == "context" else self.entities.get(field.owner)
            if entity is None or field.column != entity.join_key:
                raise ValueError(
                    f"field {field.name!r} takes its value_text from other fields, which only a field that reads its "
                    "entity's join key can: say true instead of a list"
                )
            sources = [other.name for other in self.owned_by(field.owner) if other.column != entity.join_key]
            unknown = [name for name in field.value_text if name not in sources]
            if unknown or not field.value_text:
                raise ValueError(
                    f"field {field.name!r} takes its value_text from {list(field.value_text)}: expected some of the "
                    f"fields of the same entity, {sources}"
                )

    def _check_names(self) -> None:
        """Names are columns of one table, and SQL does not tell `Age` from `age`."""
        keys = {entity.join_key.lower(): (owner, entity.join_key) for owner, entity in self.entities.items()}
        if len(keys) < len(self.entities):
            raise ValueError(f"user and item share the join key {next(iter(keys))!r}: they must differ")
        seen: dict[str, str] = {}
        for field in self.fields:
            lower = field.name.lower()
            if lower in seen:
                other = "is listed twice" if seen[lower] == field.name else f"differs from {seen[lower]!r} only in case"
                raise ValueError(f"field {field.name!r} {other}: field names are unique")
            seen[lower] = field.name
            owner, key = keys.get(lower, (field.owner, field.name))
            if (owner, key) != (field.owner, field.name) or (lower in keys and field.column != key):
                raise ValueError(
                    f"field {field.name!r} has the name of {owner}'s join key {key!r} but is not it: rename it"
                )
        for name in [*self.field_names, *(entity.join_key for entity in self.entities.values())]:
            if name.lower() in RESERVED:
                raise ValueError(f"{name!r} is a reserved name: rename the field and keep 'source_column', or the key")
