"""The dataset spec: what the tables are, what a click is, and what each field means."""

from llactr.spec.history import HistoryField, HistorySpec, TasteField, VectorSource, WindowField
from llactr.spec.load import dump_spec, find_spec, load_spec, spec_difference
from llactr.spec.model import (
    CategoricalField,
    DatasetSpec,
    EntityOwner,
    EntitySpec,
    Field,
    LabelRule,
    MultiValuedField,
    NumericField,
    Owner,
    SourceSpec,
    SplitSpec,
    TimestampPartField,
    TimestampSpec,
)

__all__ = [
    "CategoricalField",
    "DatasetSpec",
    "EntityOwner",
    "EntitySpec",
    "Field",
    "HistoryField",
    "HistorySpec",
    "LabelRule",
    "MultiValuedField",
    "NumericField",
    "Owner",
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
