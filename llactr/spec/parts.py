"""The parts of a dataset spec beside its fields: sources, times, the label rule, entities, the split."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field as Setting
from pydantic import model_validator

from llactr.spec.fields import Name, SpecModel

__all__ = ["EntitySpec", "FeastSpec", "LabelRule", "SourceSpec", "SplitSpec", "TimestampSpec"]


class SourceSpec(SpecModel):
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


class TimestampSpec(SpecModel):
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


class LabelRule(SpecModel):
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


class EntitySpec(SpecModel):
    """A user or an item: its key, and the table of its features.

    Without `source` the entity has no features but its key. Without `timestamp` its rows hold from the start.
    `created` is when a row was written; among rows of one event timestamp the last written holds.

    An entity of any other name has no table of the spec's: its features, if any, are those of your own Feast
    repository, whose views know the join key as `repository_key`; by default it has the same name there.
    """

    join_key: Name
    repository_key: str | None = None
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


class SplitSpec(SpecModel):
    """Shares of the rows, in the order of time; what is left after `train` and `validation` is the test split."""

    train: float = Setting(default=0.8, gt=0, lt=1)
    validation: float = Setting(default=0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _something_left_to_test(self) -> SplitSpec:
        if self.train + self.validation >= 1:
            raise ValueError(f"train {self.train} and validation {self.validation} leave nothing for the test split")
        return self


class FeastSpec(SpecModel):
    """A Feast repository of your own, of which fields are features.

    `repository` is its folder or its `feature_store.yaml`, relative to the data folder (by default the spec's own
    folder). Its registry, online and offline store are used as they are; nothing of yours is changed there.
    """

    repository: str = Setting(min_length=1)
