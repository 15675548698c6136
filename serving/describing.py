"""What is served, for those who ask: the bundle, its fields, and which of them mean alike."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from llactr.diagnostics import similarity
from llactr.serving.answers import ComparedBundle, FieldInfo, HistoryInfo, ModelInfo, SimilarField, SimilarResponse
from llactr.serving.loaded import LoadedBundle, bundle_created
from llactr.serving.problems import Problem
from llactr.serving.service import Service

__all__ = ["model_info", "similar_fields"]


def model_info(service: Service) -> ModelInfo:
    """GET /v1/model."""
    loaded = service.described
    bundle, layout = loaded.bundle, loaded.bundle.transform.layout
    second = service.compare
    return ModelInfo(
        bundle=loaded.id,
        dataset=loaded.spec.name,
        **_kind(loaded),
        semantics_version=loaded.semantics_version,
        current_release=loaded.release,
        metrics=bundle.metrics,
        fields=[
            FieldInfo(
                name=field.name,
                description=field.description,
                owner=field.owner,
                kind=field.kind,
                vocabulary_size=layout.vocab_sizes[layout.names.index(field.name)],
                values=loaded.context_values(field.name),
            )
            for field in loaded.spec.fields
        ],
        created=bundle_created(loaded.folder),
        loaded_at=loaded.loaded_at,
        compare=ComparedBundle(bundle=second.id, history=_history_info(second), **_kind(second)) if second else None,
        examples=loaded.examples(),
        history=_history_info(loaded),
    )


def _history_info(loaded: LoadedBundle) -> HistoryInfo | None:
    history = loaded.bundle.history
    if history is None:
        return None
    return HistoryInfo(
        version=history.version,
        fields={field.name: field.description for field in history.spec.fields},
        outcome_delay_s=history.user.delay_us / 1_000_000,
        last=history.user.last,
    )


def _kind(loaded: LoadedBundle) -> dict[str, Any]:
    config, values = loaded.bundle.model.config, loaded.bundle.values
    return {
        "backbone": config.backbone,
        "enhanced": config.enhancement is not None,
        "values_version": None if values is None else values.version,
    }


async def similar_fields(service: Service, field: str, *, top_k: int | None, centered: bool) -> SimilarResponse:
    """GET /v1/fields/{field}/similar."""
    loaded = service.described
    names = loaded.spec.field_names
    if field not in names:
        raise Problem(404, "unknown-field", f"no field {field[:100]!r}: the fields are {', '.join(names)}")
    found = loaded.similarities.get(centered)
    if found is None:
        found = loaded.similarities[centered] = await asyncio.to_thread(similarity, loaded.vectors, centered=centered)
    row = found.matrix[found.fields.index(field)]
    order = [i for i in np.argsort(-row, kind="stable").tolist() if found.fields[i] != field]
    return SimilarResponse(
        field=field,
        semantics_version=loaded.semantics_version,
        centered=centered,
        similar=[
            SimilarField(
                field=found.fields[i],
                description=loaded.spec.field(found.fields[i]).description,
                cosine=round(float(row[i]), 6),
            )
            for i in order[: top_k or len(order)]
        ],
    )
