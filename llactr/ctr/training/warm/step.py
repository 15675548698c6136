"""The step that goes on from a bundle: it trains on the rows that came since, and keeps what comes out as a bundle.

Of the dataset only the rows that are needed are joined: new ones, those that are trained on again, and the newest of
validation and test (`llactr.ctr.training.warm.rows`). The vocabularies grow by the new rows' values, so that all ids
stay; what places value vectors (their PCA) and what history numbers are made by (the definition) stay too. A training
that begins anew fits all three again, and leaves out the values that have vanished.

Cost: in proportion to the rows that are read and to the tables' sizes, but for one pass over the events' keys and times
where the model reads history.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.ctr.config import ModelConfig
from llactr.ctr.find import find_bundle
from llactr.ctr.history_arms import history_input
from llactr.ctr.training.build import train_config
from llactr.ctr.training.config import TrainJobConfig, enhancement_of, has_values, history_arm
from llactr.ctr.training.fit import TrainSummary, bundle_place, model_facts, resolved_arm
from llactr.ctr.training.history import past_of, section_of
from llactr.ctr.training.join import JoinSummary
from llactr.ctr.training.trainer import EpochRecord
from llactr.ctr.training.training_set import TrainingSet
from llactr.ctr.training.warm.config import WarmConfig
from llactr.ctr.training.warm.fit import grown_set, kept_warm, warm_settings
from llactr.ctr.training.warm.rows import WarmRows, warm_rows
from llactr.ctr.training.warm.start import WarmBase, unlike_fields, unlike_models
from llactr.ctr.training.warm.state import TrainingFacts
from llactr.errors import InputError
from llactr.manifest import file_hash
from llactr.spec import DatasetSpec
from llactr.steps import Advance, Job, Step, StepOutcome
from llactr.store import events_table, read_field_vectors, training_rows
from llactr.store.history import events_of, write_states
from llactr.store.ingested import dataset_hash, dataset_spec, release_hash, values_hash
from llactr.store.releases import releases
from llactr.store.repository.state import repository_state
from llactr.store.vectors.summaries import current_values_version
from llactr.transforms import chronological_split
from llactr.workspace import Workspace

__all__ = [
    "train_on",
    "train_warm",
    "waiting_rows",
    "why_cold",
]


def why_cold(workspace: Workspace, dataset: str, config: TrainJobConfig, base: WarmBase) -> str:
    """Why a model cannot go on from a bundle, in a few words; empty where it can."""
    spec, known = dataset_spec(workspace, dataset), base.bundle
    if known.spec.name != dataset:
        return f"it is of dataset {known.spec.name!r}"
    config = resolved_arm(workspace, dataset, config)
    was = base.state.facts.config
    if config.backbone != was["backbone"]:
        return f"its backbone is {was['backbone']}, not {config.backbone}"
    if config.arm != was["arm"]:
        return f"its arm is {was['arm']!r}, not {config.arm!r}"
    if unlike := unlike_fields(known.spec, spec):
        return unlike
    arm, past = str(config.arm), None
    reads = history_arm(arm)
    if reads is not None and known.history is not None:
        own = reads.spec(section_of(reads, past_of(spec))).field_names
        if set(known.history.spec.field_names) - set(own):
            return "its model reads other history fields"
        past = history_input(known.history.spec)
    enhancement = enhancement_of(arm, config.enhancement)
    wanted = ModelConfig(
        backbone=config.backbone,
        settings=config.settings,  # type: ignore[arg-type]
        enhancement=enhancement,
        history=past,
    )
    if unlike := unlike_models(known.model.config, wanted):
        return unlike
    released = releases(workspace, dataset)
    if enhancement is not None and released and released[-1].version != known.version:
        return f"its field vectors have the version {known.version}, the release has {released[-1].version}"
    if has_values(arm) and known.values is not None:
        current = current_values_version(workspace, dataset)
        if known.values.version != current:
            return f"its value vectors have the version {known.values.version}, those encoded last have {current}"
        if known.values.config != config.values:
            return "its value vectors enter by other settings"
    return ""


def train_on(
    job: Job, dataset: str, config: TrainJobConfig, warm: WarmConfig, bundle: str
) -> StepOutcome[TrainSummary]:
    """`train_warm` from a bundle of that name; what the configuration leaves out of the model is the bundle's.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
        InputError: as for `train_warm`, or the bundle has no training state.
    """
    base = WarmBase.load(find_bundle(job.workspace, dataset, bundle))
    return train_warm(job, dataset, base.wanted(config), warm, base=base)


def train_warm(
    job: Job, dataset: str, config: TrainJobConfig, warm: WarmConfig, *, base: WarmBase
) -> StepOutcome[TrainSummary]:
    """Goes on from a bundle with the rows that came since, and keeps a new bundle; the old one stays as it is.

    Args:
        job: where.
        dataset: which.
        config: the model that is wanted, which must be like that of the bundle; how it is trained may differ.
        warm: how many rows and passes.
        base: the bundle.

    Raises:
        InputError: the bundle is unlike what is wanted, or nothing has come since.
        DataError: the rows to train on, to validate with or to test on hold one class.
    """
    spec = dataset_spec(job.workspace, dataset)
    if reason := why_cold(job.workspace, dataset, config, base):
        raise InputError(f"training cannot go on from {base.name}: {reason}; train anew, without --warm")
    config = resolved_arm(job.workspace, dataset, config)
    events = events_table(job.workspace, spec)
    times = _times(events)
    ranges, until = chronological_split(len(times), spec.split), base.state.facts.until_us
    rows = warm_rows(times, ranges, warm, until=until, seed=config.seed)
    if not rows.new_count:
        raise InputError(
            f"training cannot go on from {base.name}: no row of the training split has come since; append rows first"
        )
    joined, training_set = _joined(job, spec, base, rows, warm, events)
    training_set.data.check_test_split()
    given = train_config(config.backbone, config.seed, config.training, arm=str(config.arm))
    settings = warm_settings(given, warm)
    inputs = {"training_set": joined.key, "base": _identity(base)}
    if has_values(str(config.arm)):
        inputs["values"] = values_hash(job.workspace, dataset, current_values_version(job.workspace, dataset))

    def work(draft: Path, advance: Advance) -> TrainSummary:
        def shown(record: EpochRecord) -> None:
            advance(record.epoch, warm.epochs, f"epoch {record.epoch}: validation AUC {record.validation_auc:.4f}")

        facts = TrainingFacts(
            until_us=int(times[ranges.train[-1]]),
            history_before_us=base.state.facts.history_before_us,
            tables=dataset_hash(job.workspace, dataset),
            base=base.name,
            config=model_facts(config),
        )
        known = None if base.bundle.history is None else events_of(spec, events)
        made = kept_warm(
            draft, base, training_set, rows, config, settings, facts,
            workspace=job.workspace, spec=spec, warm=warm, known=known, progress=shown,
        )  # fmt: skip
        advance(1, 1, f"{rows.new_count:,} new rows on {base.name}: test AUC {made.metrics.test.auc:.4f}")
        return made

    outcome = job.step(
        Step.TRAIN,
        lambda key: bundle_place(job.workspace, dataset, config, key),
        dataset=dataset,
        config={
            **config.model_dump(mode="json"),
            "training": settings.model_dump(mode="json"),
            "warm": warm.model_dump(mode="json"),
        },
        inputs=inputs,
        result=TrainSummary,
        work=work,
    )
    if base.bundle.history is not None:
        with job.terminal.step("states") as advance:
            written = write_states(job.workspace, spec, base.bundle.history)
            advance(1, 1, f"{written.states:,} states of {written.events:,} events")
    return outcome


def waiting_rows(workspace: Workspace, dataset: str, base: WarmBase) -> int:
    """How many rows of the training split have come since a bundle was trained."""
    spec = dataset_spec(workspace, dataset)
    times = _times(events_table(workspace, spec))
    end = len(chronological_split(len(times), spec.split).train)
    return max(0, end - int(np.searchsorted(times, base.state.facts.until_us, side="right")))


def _joined(
    job: Job, spec: DatasetSpec, base: WarmBase, rows: WarmRows, warm: WarmConfig, events: pa.Table
) -> tuple[StepOutcome[JoinSummary], TrainingSet]:
    """The training set of the rows that a warm training reads, joined point-in-time and kept."""

    def work(draft: Path, advance: Advance) -> JoinSummary:
        advance(0, 0, "point-in-time join of new rows")
        table = training_rows(job.workspace, spec, events=events.take(pa.array(rows.places)))
        built = grown_set(
            base,
            spec,
            table,
            rows,
            lambda version: read_field_vectors(job.workspace, spec.name, version, spec.field_names),
        )
        built.save(draft)
        advance(1, 1, f"{rows.new_count:,} new rows of {events.num_rows:,}")
        split = built.data.split
        return JoinSummary(
            rows=table.num_rows,
            features=built.transform.layout.total_rows,
            versions=tuple(vectors.version for vectors in built.vectors),
            split={name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        )

    outcome = job.step(
        Step.WARM_JOIN,
        lambda key: job.workspace.artifact("training_sets", f"{spec.name}-{key[:12]}"),
        dataset=spec.name,
        config={"held_out_rows": warm.held_out_rows, "rows": _identity_of_rows(rows)},
        inputs={
            "dataset": dataset_hash(job.workspace, spec.name),
            "releases": release_hash(job.workspace, spec.name),
            **repository_state(job.workspace, spec),
            "base": _identity(base),
        },
        result=JoinSummary,
        work=work,
        quiet=True,
    )
    return outcome, TrainingSet.load(outcome.folder)


def _times(events: pa.Table) -> NDArray[np.int64]:
    """(N,) event times in microseconds, rising."""
    found: NDArray[np.int64] = events[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return found


def _identity(base: WarmBase) -> str:
    """Content hash of what a bundle says of itself."""
    return file_hash(base.folder / "bundle.json")


def _identity_of_rows(rows: WarmRows) -> list[int]:
    """What tells two choices of rows of the same events and base apart."""
    return [len(rows.places), rows.new_count, int(np.sum(rows.places))]
