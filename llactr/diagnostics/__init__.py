"""What the field vectors look like, whether they help, and a report that says so."""

from llactr.diagnostics.comparison import (
    Arm,
    ArmRuns,
    Comparison,
    Difference,
    Verdict,
    compare,
    paired_difference,
)
from llactr.diagnostics.drift import Drift, FieldDrift, drift
from llactr.diagnostics.index import Device, InnerProductIndex, build_index, choose_device
from llactr.diagnostics.pictures import (
    Picture,
    confusion_picture,
    curve_picture,
    forest_picture,
    similarity_picture,
)
from llactr.diagnostics.report import render_report, write_report
from llactr.diagnostics.report_data import (
    Consistency,
    Curve,
    DataCard,
    FieldAccuracy,
    FieldCard,
    FieldSimilarity,
    NearestFields,
    NearField,
    Provenance,
    ReportData,
    Semantics,
    SplitCard,
    StepCost,
)
from llactr.diagnostics.similarity import Neighbour, Similarity, effective_rank, nearest_fields, similarity

__all__ = [
    "Arm",
    "ArmRuns",
    "Comparison",
    "Consistency",
    "Curve",
    "DataCard",
    "Device",
    "Difference",
    "Drift",
    "FieldAccuracy",
    "FieldCard",
    "FieldDrift",
    "FieldSimilarity",
    "InnerProductIndex",
    "NearField",
    "NearestFields",
    "Neighbour",
    "Picture",
    "Provenance",
    "ReportData",
    "Semantics",
    "Similarity",
    "SplitCard",
    "StepCost",
    "Verdict",
    "build_index",
    "choose_device",
    "compare",
    "confusion_picture",
    "curve_picture",
    "drift",
    "effective_rank",
    "forest_picture",
    "nearest_fields",
    "paired_difference",
    "render_report",
    "similarity",
    "similarity_picture",
    "write_report",
]
