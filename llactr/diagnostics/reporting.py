"""The step that measures the field vectors and reports on everything that was run so far."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from llactr.diagnostics.cards import (
    accuracy_card,
    consistency_card,
    data_card,
    searches,
    served_card,
    step_cost,
    values_card,
)
from llactr.diagnostics.index import Device
from llactr.diagnostics.outcomes import Outcomes
from llactr.diagnostics.report import write_report
from llactr.diagnostics.report_data import Provenance, ReportData, Semantics
from llactr.diagnostics.value_neighbours import ValueSimilarity, value_similarity
from llactr.errors import NotReadyError
from llactr.manifest import package_versions
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome, StepResult
from llactr.store.ingested import dataset_spec
from llactr.store.value_vectors import stored_vectors
from llactr.workspace import Workspace

__all__ = ["DiagnoseSummary", "diagnose_dataset", "report_data"]


class DiagnoseSummary(StepResult):
    """The report's path, where FAISS ran, the vectors' effective rank, nearest fields, and how alike values are."""

    report: str
    faiss_device: str
    effective_rank: float
    nearest: dict[str, tuple[str, ...]]
    values: dict[str, ValueSimilarity] = Field(default_factory=dict)


def diagnose_dataset(job: Job, dataset: str, *, device: Device) -> StepOutcome[DiagnoseSummary]:
    """Measures the current field vectors and writes `report.html`; sections of steps not yet run say which to run.

    Raises:
        NotReadyError: there are no field vectors.
        InputError: there is no such FAISS device.
    """
    spec = dataset_spec(job.workspace, dataset)
    outcomes = Outcomes.of(job.workspace, dataset)
    encoded = outcomes.encode
    if encoded is None:
        raise NotReadyError(f"{dataset!r} has no field vectors yet: run 'llactr encode' first")

    def work(draft: Path, advance: Advance) -> DiagnoseSummary:
        advance(0, 3, "similarity of the fields")
        semantics = Semantics.measure(FieldVectors.load(encoded.folder), device=device)
        advance(1, 3, "similarity of values")
        similar = similar_values(job.workspace, spec, outcomes, device=device)
        advance(2, 3, "report")
        data = report_data(job.workspace, spec, outcomes, semantics, similar)
        (draft / "report.json").write_text(data.model_dump_json(indent=1), encoding="utf-8")
        write_report(data, draft / "report.html")
        advance(3, 3, f"FAISS on {semantics.faiss_device}")
        return DiagnoseSummary(
            report=str(job.workspace.artifact("reports", dataset) / "report.html"),
            faiss_device=semantics.faiss_device,
            effective_rank=semantics.centered.effective_rank,
            nearest={one.field: tuple(near.field for near in one.neighbours) for one in semantics.nearest},
            values=similar,
        )

    return job.step(
        Step.DIAGNOSE,
        job.workspace.artifact("reports", dataset),
        dataset=dataset,
        config={"device": device},
        inputs={one.step.value: f"{one.key} {one.seconds}" for one in outcomes},
        result=DiagnoseSummary,
        work=work,
    )


def similar_values(
    workspace: Workspace, spec: DatasetSpec, outcomes: Outcomes, *, device: Device
) -> dict[str, ValueSimilarity]:
    """Field -> how alike its values are, of those encoded last; fields with fewer than two are left out."""
    if outcomes.encode_values is None:
        return {}
    stored = stored_vectors(workspace, spec.name, outcomes.encode_values.result.version)
    return {name: value_similarity(vectors, device=device) for name, vectors in stored.items() if len(vectors) > 1}


def report_data(
    workspace: Workspace,
    spec: DatasetSpec,
    outcomes: Outcomes,
    semantics: Semantics,
    similar: dict[str, ValueSimilarity] | None = None,
) -> ReportData:
    """All that the report of a dataset shows."""
    evaluated = outcomes.evaluate.result if outcomes.evaluate else None
    return ReportData(
        dataset=spec.name,
        served=served_card(outcomes),
        comparisons=evaluated.comparisons if evaluated else (),
        test_reading=evaluated.test_reading if evaluated else None,
        curves=evaluated.curves if evaluated else (),
        tuning=searches(workspace, spec.name),
        semantics=semantics,
        accuracy=accuracy_card(outcomes),
        values=values_card(spec, outcomes, similar),
        data=data_card(workspace, spec, outcomes),
        steps=tuple(step_cost(outcome) for outcome in outcomes),
        consistency=consistency_card(outcomes),
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=" ".join(["llactr", *sys.argv[1:]]),
            device=semantics.faiss_device,
            seeds=evaluated.seeds if evaluated else (),
            packages=package_versions(),
            hashes={one.step.value: one.key for one in outcomes} | {"semantics version": semantics.version},
        ),
    )
