"""`llactr diagnose`: how similar the fields are (FAISS), and the report of everything that was run so far."""

from __future__ import annotations

import glob
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from llactr.ctr import TrainingSet
from llactr.datasets import RECIPES
from llactr.diagnostics import (
    Consistency,
    DataCard,
    FieldAccuracy,
    FieldCard,
    Provenance,
    ReportData,
    Semantics,
    SplitCard,
    StepCost,
    Tuning,
    ValuesCard,
    write_report,
)
from llactr.errors import NotReadyError
from llactr.evaluation.result import EvaluationResult
from llactr.manifest import MANIFEST, package_versions
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, StepOutcome, outcome_of
from llactr.store import events_table
from llactr.store.ingested import dataset_spec

__all__ = ["STEPS", "describe", "run"]

STEPS = (
    "ingest", "finetune", "encode", "tune_values", "encode_values", "apply", "materialize", "join", "train", "tune",
    "evaluate", "check",
)  # fmt: skip


def run(job: Job, dataset: str, *, device: str) -> StepOutcome:
    """Measures the current field vectors and writes `report.html`; sections of steps not yet run say which to run."""
    spec = dataset_spec(job.workspace, dataset)
    found = {step: outcome_of(folder) for step, folder in job.workspace.current(dataset).items()}
    outcomes = {step: outcome for step in STEPS if (outcome := found.get(step)) is not None}
    if "encode" not in outcomes:
        raise NotReadyError(f"{dataset!r} has no field vectors yet: run 'llactr encode' first")

    def work(draft: Path, advance: Advance) -> dict[str, Any]:
        advance(0, 2, "similarity of the fields")
        vectors = FieldVectors.load(outcomes["encode"].folder)
        semantics = Semantics.measure(vectors, device=device)  # type: ignore[arg-type]
        advance(1, 2, "report")
        data = _report_data(job, spec, outcomes, semantics)
        (draft / "report.json").write_text(data.model_dump_json(indent=1), encoding="utf-8")
        write_report(data, draft / "report.html")
        report = job.workspace.artifact("reports", dataset) / "report.html"
        advance(2, 2, f"FAISS on {semantics.faiss_device}")
        return {
            "report": str(report),
            "faiss_device": semantics.faiss_device,
            "effective_rank": semantics.centered.effective_rank,
            "nearest": {one.field: [near.field for near in one.neighbours] for one in semantics.nearest},
        }

    return job.step(
        "diagnose",
        job.workspace.artifact("reports", dataset),
        dataset=dataset,
        config={"device": device},
        inputs={step: f"{outcome.key} {outcome.seconds}" for step, outcome in outcomes.items()},
        work=work,
    )


def _report_data(job: Job, spec: DatasetSpec, outcomes: dict[str, StepOutcome], semantics: Semantics) -> ReportData:
    evaluated, checked, tuned = (outcomes.get(step) for step in ("evaluate", "check", "finetune"))
    read = EvaluationResult.read(evaluated.result) if evaluated else None
    return ReportData(
        dataset=spec.name,
        comparisons=read.comparisons if read else (),
        test_reading=read.test_reading if read else None,
        curves=read.curves if read else (),
        tuning=_tunings(job, spec.name),
        semantics=semantics,
        accuracy=_accuracy(tuned.result) if tuned else None,
        values=_values_card(spec, outcomes),
        data=_data_card(job, spec, outcomes),
        steps=tuple(_cost(outcome) for outcome in outcomes.values()),
        consistency=_consistency(checked.result) if checked else None,
        provenance=Provenance(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            command=" ".join(["llactr", *sys.argv[1:]]),
            device=semantics.faiss_device,
            seeds=read.seeds if read else (),
            packages=package_versions(),
            hashes={step: outcome.key for step, outcome in outcomes.items()} | {"semantics version": semantics.version},
        ),
    )


def _tunings(job: Job, dataset: str) -> tuple[Tuning, ...]:
    """The dataset's searches, of each backbone and arm the one that was made last."""
    latest: dict[tuple[str, str], Tuning] = {}
    folders = job.workspace.artifact("searches", dataset).parent.glob(f"{glob.escape(dataset)}-*/{MANIFEST}")
    for manifest in sorted(folders, key=lambda path: path.stat().st_mtime_ns):
        made = outcome_of(manifest.parent)
        if made is not None and made.result["dataset"] == dataset:
            found = Tuning.model_validate({name: made.result[name] for name in Tuning.model_fields})
            latest[found.backbone, found.arm] = found
    return tuple(latest[key] for key in sorted(latest))


def _accuracy(facts: dict[str, Any]) -> FieldAccuracy | None:
    before, after = facts["before"], facts["after"]
    if before["accuracy"] is None or after["accuracy"] is None:
        return None
    return FieldAccuracy(
        fields=tuple(before["fields"]),
        before=before["accuracy"],
        after=after["accuracy"],
        confusion_before=before["confusion"],
        confusion_after=after["confusion"],
        held_out=facts["values_held_out"],
    )


def _values_card(spec: DatasetSpec, outcomes: dict[str, StepOutcome]) -> ValuesCard | None:
    """The state of the values' vectors; None where the spec gives no texts."""
    if not spec.text_fields:
        return None
    names = tuple(field.name for field in spec.text_fields)
    encoded, trained, checked = (outcomes.get(step) for step in ("encode_values", "train", "check"))
    if encoded is None:
        return ValuesCard(text_fields=names)
    return ValuesCard(
        text_fields=names,
        version=encoded.result["version"],
        encoder=encoded.result["encoder"],
        tuned=encoded.result["adapter"] is not None,
        values=encoded.result["values"],
        used=bool(trained and trained.result.get("values_version") == encoded.result["version"]),
        placed_rows=checked.result.get("rows_with_placed_values") if checked else None,
    )


def _consistency(facts: dict[str, Any]) -> Consistency:
    return Consistency(
        **{key: facts[key] for key in ("rows", "rows_with_other_ids", "max_score_difference", "tolerance")}
    )


def _cost(outcome: StepOutcome) -> StepCost:
    return StepCost(
        name=outcome.step,
        seconds=outcome.seconds,
        cpu_s=outcome.cpu_seconds,
        peak_rss_bytes=int(outcome.peak_rss_mb * 2**20),
    )


def _data_card(job: Job, spec: DatasetSpec, outcomes: dict[str, StepOutcome]) -> DataCard | None:
    ingested = outcomes.get("ingest")
    if ingested is None:
        return None
    facts = ingested.result
    rule = spec.label
    return DataCard(
        description=spec.description,
        credit=RECIPES[spec.recipe].credit if spec.recipe else "",
        label=f"{rule.column} > {rule.above:g}" if rule.above is not None else rule.column,
        rows=facts["rows"],
        positives=round(facts["positives"] * facts["rows"]),
        users=facts["users"],
        items=facts["items"],
        dropped_rows=facts["dropped"],
        start=facts["start"],
        end=facts["end"],
        splits=_splits(job, spec, outcomes.get("join")),
        fields=tuple(FieldCard(**{key: one[key] for key in FieldCard.model_fields}) for one in facts["fields"]),
    )


def _splits(job: Job, spec: DatasetSpec, joined: StepOutcome | None) -> tuple[SplitCard, ...]:
    if joined is None:
        return ()
    data = TrainingSet.load(joined.folder).data
    times = events_table(job.workspace, spec)["event_timestamp"]
    cards = []
    for name in ("train", "validation", "test"):
        rows = getattr(data.split, name)
        cards.append(
            SplitCard(
                name=name,
                rows=len(rows),
                positives=int(np.count_nonzero(data.label[rows])),
                start=times[int(rows[0])].as_py().isoformat(),
                end=times[int(rows[-1])].as_py().isoformat(),
            )
        )
    return tuple(cards)


def describe(outcome: StepOutcome) -> str:
    """The outcome in a sentence."""
    facts = outcome.result
    return f"FAISS on {facts['faiss_device']}, report {facts['report']}"
