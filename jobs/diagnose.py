"""`llactr diagnose`: how similar the fields are (FAISS), and the report of everything that was run so far."""

from __future__ import annotations

from llactr.diagnostics.index import Device
from llactr.diagnostics.reporting import DiagnoseSummary, diagnose_dataset
from llactr.steps import Job, StepOutcome

__all__ = ["describe", "run"]


def run(job: Job, dataset: str, *, device: Device) -> StepOutcome[DiagnoseSummary]:
    """Measures the current field vectors and writes `report.html`; sections of steps not yet run say which to run."""
    return diagnose_dataset(job, dataset, device=device)


def describe(outcome: StepOutcome[DiagnoseSummary]) -> str:
    """The outcome in a sentence."""
    values = [f"{name} {one.index}, recall {one.recall:.3f}" for name, one in outcome.result.values.items()]
    searched = f", values of {'; '.join(values)}" if values else ""
    return f"FAISS on {outcome.result.faiss_device}{searched}, report {outcome.result.report}"
