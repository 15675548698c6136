"""A workspace as an object: every step of the command line is a method that returns what the step made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from llactr.extras import naming_extras
from llactr.steps import Advance, Job, StepOutcome, exclusive
from llactr.workspace import Workspace

if TYPE_CHECKING:
    from llactr.api.scorer import Scorer
    from llactr.api.training_data import TrainingData
    from llactr.ctr.training.config import TrainJobConfig
    from llactr.ctr.training.fit import TrainSummary
    from llactr.datasets import IngestSummary
    from llactr.diagnostics.agreement import CheckSummary
    from llactr.diagnostics.reporting import DiagnoseSummary
    from llactr.semantics import FieldVectors, SemanticsConfig, ValueSemanticsConfig
    from llactr.semantics.values import ValueVectors
    from llactr.store.feast.steps import ApplySummary, MaterializeSummary
    from llactr.store.vectors.summaries import EncodeSummary, EncodeValuesSummary, FinetuneSummary, TuneValuesSummary

__all__ = ["OpenWorkspace", "Progress", "open", "section"]

Progress = Callable[[str, int, int, str], None]
"""Called with (step, done, total, note) while a step works; total 0 means unknown."""

Section = TypeVar("Section")


def open(path: str | Path | None = None, *, progress: Progress | None = None) -> OpenWorkspace:  # noqa: A001
    """Opens a workspace: the folder that holds datasets, vectors, models and everything else.

    Nothing is read or created until a method is called.

    Args:
        path: the folder; None for `$LLACTR_WORKSPACE`, else `.llactr`.
        progress: called with (step, done, total, note) while a step works; total 0 means unknown.

    >>> import llactr
    >>> llactr.open("shop").datasets()
    ['tiny']
    """
    return OpenWorkspace(Workspace.at(path), progress=progress)


class OpenWorkspace:
    """A workspace: made by `llactr.open`.

    A method that writes holds the workspace while it runs; a second process that wants to write meanwhile is refused.
    A step whose inputs did not change is skipped unless `force` is set. Where a workspace holds one dataset, `dataset`
    may be left out. A `config` is a section of the file that the command line's `--config` takes, as a mapping of
    what differs from the defaults.

    >>> import llactr
    >>> ws = llactr.open("shop")
    >>> ws.root.name, ws.datasets()
    ('shop', ['tiny'])
    """

    def __init__(self, workspace: Workspace, *, progress: Progress | None = None) -> None:
        self.workspace = workspace
        self._progress = progress

    @property
    def root(self) -> Path:
        """The workspace's folder, absolute."""
        return self.workspace.root

    def datasets(self) -> list[str]:
        """Names of the ingested datasets, sorted."""
        return self.workspace.datasets()

    def ingest(
        self,
        spec: str | Path,
        *,
        data: str | Path | None = None,
        append: bool = False,
        allow_unmatched: bool = False,
        force: bool = False,
    ) -> StepOutcome[IngestSummary]:
        """Fetches and checks a dataset, and writes its offline tables.

        Args:
            spec: a YAML file, or the name of a spec that comes with llactr.
            data: the folder of its source files; None for the recipe's, else for those beside the spec.
            append: add what `data` holds to the tables that are there.
            allow_unmatched: go on although no event finds its user's or item's row.
            force: do it although nothing changed.

        Raises:
            SpecError: the spec cannot be read, or contradicts itself.
            DataError: a table is missing, or does not fit the spec.

        >>> import llactr
        >>> made = llactr.open("shop").ingest("tiny.yaml")
        >>> made.skipped, made.result.users, made.result.items
        (True, 30, 20)
        """
        from llactr.datasets.steps import append_spec, ingest_spec

        step = append_spec if append else ingest_spec
        with self.writing(force=force) as job:
            folder = None if data is None else Path(data)
            return step(job, str(spec), data_folder=folder, allow_unmatched=allow_unmatched)

    def finetune(
        self,
        config: SemanticsConfig | Mapping[str, Any] | None = None,
        *,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[FinetuneSummary]:
        """Fine-tunes the encoder on field-feature pairs, section `semantics`.

        >>> import llactr
        >>> ws = llactr.open("shop")
        >>> tuned = ws.finetune({"finetune": {"epochs": 1, "values_per_field": 4,
        ...                                   "validation_per_field": 1, "held_out_per_field": 3}})
        >>> tuned.result.model
        'sentence-transformers/all-MiniLM-L6-v2'
        """
        from llactr.store.vectors.tuning import tune_fields

        chosen = section("semantics", config)
        with self.writing(force=force) as job:
            return tune_fields(job, self.workspace.chosen_dataset(dataset), chosen)

    def encode(
        self,
        config: SemanticsConfig | Mapping[str, Any] | None = None,
        *,
        untuned: bool = False,
        effective_from: str = "start",
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[EncodeSummary]:
        """Encodes the field descriptions and makes the release, section `semantics`.

        Args:
            config: the encoder; the one that was tuned last where nothing is said.
            untuned: use it as published.
            effective_from: when the release takes effect: `start` (of the dataset), `now`, or an ISO time with a zone.
            dataset: which.
            force: do it although nothing changed.

        >>> import llactr
        >>> made = llactr.open("shop").encode(untuned=True)
        >>> made.result.dim, len(made.result.fields)
        (384, 7)
        """
        from llactr.store.vectors.encode_fields import encode_dataset

        chosen = section("semantics", config)
        with self.writing(force=force) as job:
            name = self.workspace.chosen_dataset(dataset)
            return encode_dataset(job, name, chosen, untuned=untuned, effective_from=effective_from)

    def tune_values(
        self,
        config: ValueSemanticsConfig | Mapping[str, Any] | None = None,
        *,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[TuneValuesSummary]:
        """Tunes the encoder of values on what people liked in close succession, section `values`.

        Raises:
            InputError: no field of the spec has a `value_text`.

        >>> import llactr
        >>> llactr.open("shop").tune_values()
        Traceback (most recent call last):
        llactr.errors.InputError: collaborative tuning of 'tiny' needs users, and a value_text for the field ...
        """
        from llactr.store.vectors.tuning import tune_values

        chosen = section("values", config)
        with self.writing(force=force) as job:
            return tune_values(job, self.workspace.chosen_dataset(dataset), chosen)

    def encode_values(
        self,
        config: ValueSemanticsConfig | Mapping[str, Any] | None = None,
        *,
        untuned: bool = False,
        shards: int = 1,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[EncodeValuesSummary]:
        """Encodes the texts of values that have no vector yet, section `values`.

        Args:
            config: the encoder; the one that was tuned for values last where nothing is said.
            untuned: use it as published.
            shards: processes that encode side by side.
            dataset: which.
            force: encode all anew.

        Raises:
            InputError: no field of the spec has a `value_text`.

        >>> import llactr
        >>> llactr.open("shop").encode_values()
        Traceback (most recent call last):
        llactr.errors.InputError: no field of 'tiny' has a value_text: ...
        """
        from llactr.store.vectors.encode_values import encode_dataset_values

        chosen = section("values", config)
        with self.writing(force=force) as job:
            name = self.workspace.chosen_dataset(dataset)
            return encode_dataset_values(job, name, chosen, untuned=untuned, shards=shards)

    def apply(self, *, force: bool = False) -> StepOutcome[ApplySummary]:
        """Registers entities, views and services of all datasets: what `feast apply` does.

        >>> import llactr
        >>> "tiny__user" in llactr.open("shop").apply().result.views
        True
        """
        from llactr.store.feast.steps import apply_datasets

        with self.writing(force=force) as job:
            return apply_datasets(job)

    def materialize(self, *, force: bool = False) -> StepOutcome[MaterializeSummary]:
        """Loads every view's newest rows into the online store: what `feast materialize` does.

        >>> import llactr
        >>> llactr.open("shop").materialize().result.datasets
        ('tiny',)
        """
        from llactr.store.feast.steps import materialize_datasets

        with self.writing(force=force) as job:
            return materialize_datasets(job)

    def train(
        self,
        config: TrainJobConfig | Mapping[str, Any] | None = None,
        *,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[TrainSummary]:
        """Trains one backbone into a bundle, the outcome's `folder`; section `train`.

        Raises:
            NotReadyError: a step that the arm needs has not been run.
            InputError: the settings do not fit the backbone.

        >>> import llactr
        >>> ws = llactr.open("shop")
        >>> made = ws.train({"backbone": "fm", "training": {"max_epochs": 3, "min_steps": 0, "batch_size": 128}})
        >>> made.result.arm, made.result.metrics.test.rows
        ('paper', 78)
        """
        from llactr.ctr.training.fit import train_bundle

        chosen = section("train", config)
        with self.writing(force=force) as job:
            return train_bundle(job, self.workspace.chosen_dataset(dataset), chosen)

    def check(
        self, *, bundle: str | Path | None = None, rows: int = 1000, dataset: str | None = None
    ) -> StepOutcome[CheckSummary]:
        """Scores test rows by the online and by the offline path, and compares ids and scores.

        Args:
            bundle: a folder or an id; None for the one trained last.
            rows: how many, evenly spread over the test split.
            dataset: which.

        Raises:
            ConsistencyError: an id differs, or a score by more than the tolerance.

        >>> import llactr
        >>> llactr.open("shop").check(rows=20).result.holds
        True
        """
        from llactr.diagnostics.agreement import check_online

        with self.writing() as job:
            name = self.workspace.chosen_dataset(dataset)
            return check_online(job, name, bundle=None if bundle is None else str(bundle), rows=rows)

    def diagnose(
        self, *, device: str = "auto", dataset: str | None = None, force: bool = False
    ) -> StepOutcome[DiagnoseSummary]:
        """Measures how similar the fields are, and writes the report of all that was run.

        >>> import llactr
        >>> llactr.open("shop").diagnose(device="cpu").result.report.endswith("report.html")
        True
        """
        from llactr.diagnostics.index import Device
        from llactr.diagnostics.reporting import diagnose_dataset

        with self.writing(force=force) as job:
            return diagnose_dataset(job, self.workspace.chosen_dataset(dataset), device=cast(Device, device))

    def training_set(self, dataset: str | None = None) -> TrainingData:
        """The point-in-time training set, for Arrow, pandas, torch, and `llactr.train`.

        Raises:
            NotReadyError: the dataset has no release of field vectors, or nothing is applied.

        >>> import llactr
        >>> llactr.open("shop").training_set().split_rows
        {'train': 621, 'validation': 78, 'test': 78}
        """
        from llactr.api.training_data import TrainingData
        from llactr.ctr.training.join import join
        from llactr.store.ingested import dataset_spec

        name = self.workspace.chosen_dataset(dataset)
        with self.writing() as job:
            _, joined = join(job, name)
        return TrainingData(self.workspace, dataset_spec(self.workspace, name), joined)

    def field_vectors(self, version: str | None = None, *, dataset: str | None = None) -> FieldVectors:
        """The field vectors of a semantics version, read from the offline store: (K, L) float32 with their names.

        Args:
            version: which; None for the one that is current.
            dataset: which.

        Raises:
            NotReadyError: there is no release, or that version has no vectors.

        >>> import llactr
        >>> found = llactr.open("shop").field_vectors()
        >>> found.fields[:3], found.vectors.shape
        (('person', 'job', 'age'), (7, 384))
        """
        from llactr.errors import NotReadyError
        from llactr.store import current_release, read_field_vectors
        from llactr.store.ingested import dataset_spec

        name = self.workspace.chosen_dataset(dataset)
        chosen = version or current_release(self.workspace, name)
        if chosen is None:
            raise NotReadyError(f"dataset {name!r} has no release of field vectors: run 'llactr encode' first")
        with naming_extras():
            return read_field_vectors(self.workspace, name, chosen, dataset_spec(self.workspace, name).field_names)

    def value_vectors(
        self, values: Mapping[str, Sequence[str]] | None = None, *, dataset: str | None = None
    ) -> ValueVectors:
        """The value vectors encoded last, read from the offline store: each field's values, and (N, L) float32.

        Args:
            values: field -> distinct values; None for all that have a vector. Those without one are left out.
            dataset: which.

        Raises:
            NotReadyError: no values have been encoded, or none of these.

        >>> import llactr
        >>> llactr.open("shop").value_vectors()
        Traceback (most recent call last):
        llactr.errors.NotReadyError: the values of 'tiny' have no vectors: run 'llactr encode --values' first
        """
        from llactr.store import read_value_vectors, stored_texts
        from llactr.store.ingested import dataset_spec
        from llactr.store.vectors.summaries import current_values_version

        name = self.workspace.chosen_dataset(dataset)
        version = current_values_version(self.workspace, name)
        wanted: dict[str, list[str]] = {}
        if values is None:
            for field, value in stored_texts(self.workspace, name, version):
                wanted.setdefault(field, []).append(value)
        return read_value_vectors(self.workspace, dataset_spec(self.workspace, name), version, values or wanted)

    def scorer(self, bundle: str | Path | None = None, *, dataset: str | None = None) -> Scorer:
        """A scorer whose features come from the online store; see `llactr.Scorer`.

        Args:
            bundle: a folder or an id; None for the one trained last.
            dataset: which.

        >>> import llactr
        >>> row = {"person": "p3", "dish": "d4", "device": "phone"}
        >>> llactr.open("shop").scorer().score([row]).shape
        (1,)
        """
        from llactr.api.scorer import Scorer
        from llactr.ctr.scoring import RowScorer

        name = self.workspace.chosen_dataset(dataset)
        return Scorer(RowScorer.online(self.workspace, name, None if bundle is None else str(bundle)))

    @contextmanager
    def writing(self, *, force: bool = False) -> Iterator[Job]:
        """A job that holds the workspace: what this package runs steps in."""
        job = Job(self.workspace, _Watched(self._progress), force=force)
        with naming_extras(), exclusive(self.workspace):
            yield job


class _Watched:
    """Where a step shows its progress: a function, or nowhere."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """Passes on what a step says of itself."""
        said = self._progress

        def advance(done: int, total: int, note: str) -> None:
            if said is not None:
                said(str(name), done, total, note)

        yield advance


def section(name: str, given: Section | Mapping[str, Any] | None) -> Any:
    """A section of the configuration: the one given, or the defaults with what a mapping says.

    Raises:
        InputError: unknown keys or values out of range.
    """
    if given is not None and not isinstance(given, Mapping):
        return given
    from llactr.lifecycle.config import run_config

    return getattr(run_config({name: dict(given or {})}), name)
