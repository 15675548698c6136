"""What the field vectors look like, whether they help, and a report that says so.

Names are loaded on first use: a cosine needs no matplotlib, a comparison no FAISS.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llactr.diagnostics.comparison import ArmRuns, Comparison, TestedRun, compare
    from llactr.diagnostics.cosines import Neighbour, Similarity, effective_rank, nearest_fields, similarity
    from llactr.diagnostics.evidence import Difference, Run, paired_difference
    from llactr.diagnostics.index import Device, InnerProductIndex, build_index, choose_device
    from llactr.diagnostics.pictures import (
        Picture,
        confusion_picture,
        curve_picture,
        forest_picture,
        similarity_picture,
        trials_picture,
        tuned_picture,
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
        TestReading,
        TunedDimension,
        TunedTrial,
        Tuning,
        ValuesCard,
    )
    from llactr.diagnostics.verdict import Judgement, Verdict
    from llactr.diagnostics.version_drift import Drift, FieldDrift, drift

__all__ = [
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
    "Judgement",
    "NearField",
    "NearestFields",
    "Neighbour",
    "Picture",
    "Provenance",
    "ReportData",
    "Run",
    "Semantics",
    "Similarity",
    "SplitCard",
    "StepCost",
    "TestReading",
    "TestedRun",
    "TunedDimension",
    "TunedTrial",
    "Tuning",
    "ValuesCard",
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
    "trials_picture",
    "tuned_picture",
    "write_report",
]

_HOME = {
    "ArmRuns": "comparison",
    "Comparison": "comparison",
    "Consistency": "report_data",
    "Curve": "report_data",
    "DataCard": "report_data",
    "Device": "index",
    "Difference": "evidence",
    "Drift": "version_drift",
    "FieldAccuracy": "report_data",
    "FieldCard": "report_data",
    "FieldDrift": "version_drift",
    "FieldSimilarity": "report_data",
    "InnerProductIndex": "index",
    "Judgement": "verdict",
    "NearField": "report_data",
    "NearestFields": "report_data",
    "Neighbour": "cosines",
    "Picture": "pictures",
    "Provenance": "report_data",
    "ReportData": "report_data",
    "Run": "evidence",
    "Semantics": "report_data",
    "Similarity": "cosines",
    "SplitCard": "report_data",
    "StepCost": "report_data",
    "TestReading": "report_data",
    "TestedRun": "comparison",
    "TunedDimension": "report_data",
    "TunedTrial": "report_data",
    "Tuning": "report_data",
    "ValuesCard": "report_data",
    "Verdict": "verdict",
    "build_index": "index",
    "choose_device": "index",
    "compare": "comparison",
    "confusion_picture": "pictures",
    "curve_picture": "pictures",
    "drift": "version_drift",
    "effective_rank": "cosines",
    "forest_picture": "pictures",
    "nearest_fields": "cosines",
    "paired_difference": "evidence",
    "render_report": "report",
    "similarity": "cosines",
    "similarity_picture": "pictures",
    "trials_picture": "pictures",
    "tuned_picture": "pictures",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
