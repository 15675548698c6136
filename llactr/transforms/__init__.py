"""Raw value -> id, once for training and serving; and the chronological split."""

from llactr.transforms.layout import FIRST, NULL, OOV, PAD, FieldLayout
from llactr.transforms.raw import (
    admit,
    admit_key,
    normalize,
    normalize_key,
    normalize_table,
    raw_column,
    raw_type,
)
from llactr.transforms.spelling import scalar_text
from llactr.transforms.split import SplitRanges, chronological_split
from llactr.transforms.timestamps import utc_timestamps
from llactr.transforms.transform import Transform
from llactr.transforms.vocabulary import FORGOTTEN, FieldVocabulary, fit_vocabulary, split_values

__all__ = [
    "FIRST",
    "FORGOTTEN",
    "NULL",
    "OOV",
    "PAD",
    "FieldLayout",
    "FieldVocabulary",
    "SplitRanges",
    "Transform",
    "admit",
    "admit_key",
    "chronological_split",
    "fit_vocabulary",
    "normalize",
    "normalize_key",
    "normalize_table",
    "raw_column",
    "raw_type",
    "scalar_text",
    "split_values",
    "utc_timestamps",
]
