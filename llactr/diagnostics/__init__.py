"""What the field vectors look like, whether they help, and a report that says so.

Names are loaded on first use: a cosine needs no matplotlib, a comparison no FAISS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.lazy import loader

if TYPE_CHECKING:
    from llactr.diagnostics.cosines import Neighbour, Similarity, effective_rank, nearest_fields, similarity
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
        ServedModel,
        SplitCard,
        StepCost,
        TestReading,
        TunedDimension,
        TunedTrial,
        Tuning,
        ValuesCard,
    )
    from llactr.diagnostics.version_drift import Drift, FieldDrift, drift

__all__ = [
    "Consistency",
    "Curve",
    "DataCard",
    "Device",
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
    "ServedModel",
    "Similarity",
    "SplitCard",
    "StepCost",
    "TestReading",
    "TunedDimension",
    "TunedTrial",
    "Tuning",
    "ValuesCard",
    "build_index",
    "choose_device",
    "confusion_picture",
    "curve_picture",
    "drift",
    "effective_rank",
    "forest_picture",
    "nearest_fields",
    "render_report",
    "similarity",
    "similarity_picture",
    "trials_picture",
    "tuned_picture",
    "write_report",
]

__getattr__ = loader(
    __name__,
    {
        "Consistency": "report_data",
        "Curve": "report_data",
        "DataCard": "report_data",
        "Device": "index",
        "Drift": "version_drift",
        "FieldAccuracy": "report_data",
        "FieldCard": "report_data",
        "FieldDrift": "version_drift",
        "FieldSimilarity": "report_data",
        "InnerProductIndex": "index",
        "NearField": "report_data",
        "NearestFields": "report_data",
        "Neighbour": "cosines",
        "Picture": "pictures",
        "Provenance": "report_data",
        "ReportData": "report_data",
        "Semantics": "report_data",
        "ServedModel": "report_data",
        "Similarity": "cosines",
        "SplitCard": "report_data",
        "StepCost": "report_data",
        "TestReading": "report_data",
        "TunedDimension": "report_data",
        "TunedTrial": "report_data",
        "Tuning": "report_data",
        "ValuesCard": "report_data",
        "build_index": "index",
        "choose_device": "index",
        "confusion_picture": "pictures",
        "curve_picture": "pictures",
        "drift": "version_drift",
        "effective_rank": "cosines",
        "forest_picture": "pictures",
        "nearest_fields": "cosines",
        "render_report": "report",
        "similarity": "cosines",
        "similarity_picture": "pictures",
        "trials_picture": "pictures",
        "tuned_picture": "pictures",
        "write_report": "report",
    },
)
