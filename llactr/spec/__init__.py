"""The dataset spec: what the tables are, what a click is, and what each field means."""

from llactr.spec.fields import (
    CategoricalField,
    EntityOwner,
    Field,
    MultiValuedField,
    NumericField,
    Owner,
    TimestampPartField,
)
from llactr.spec.history import HistoryField, HistorySpec, SequenceField, TasteField, VectorSource, WindowField
from llactr.spec.load import dump_spec, find_spec, load_spec, spec_difference
from llactr.spec.model import DatasetSpec
from llactr.spec.parts import EntitySpec, FeastSpec, LabelRule, SourceSpec, SplitSpec, TimestampSpec

__all__ = [
    "CategoricalField",
    "DatasetSpec",
    "EntityOwner",
    "EntitySpec",
    "FeastSpec",
    "Field",
    "HistoryField",
    "HistorySpec",
    "LabelRule",
    "MultiValuedField",
    "NumericField",
    "Owner",
    "SequenceField",
    "SourceSpec",
    "SplitSpec",
    "TasteField",
    "TimestampPartField",
    "TimestampSpec",
    "VectorSource",
    "WindowField",
    "dump_spec",
    "find_spec",
    "load_spec",
    "spec_difference",
]
