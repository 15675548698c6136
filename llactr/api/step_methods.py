"""The steps of the command line as methods that return what they made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llactr.api.held import HeldWorkspace, section
from llactr.steps import StepOutcome

if TYPE_CHECKING:
    from llactr.ctr.training.config import TrainJobConfig
    from llactr.ctr.training.fit import TrainSummary
    from llactr.ctr.training.warm.config import WarmConfig
    from llactr.datasets import IngestSummary
    from llactr.diagnostics.agreement import CheckSummary
    from llactr.diagnostics.reporting import DiagnoseSummary
    from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
    from llactr.store.feast.steps import ApplySummary, MaterializeSummary
    from llactr.store.vectors.summaries import EncodeSummary, EncodeValuesSummary, FinetuneSummary, TuneValuesSummary

__all__ = ["StepMethods"]


class StepMethods(HeldWorkspace):
    """Every step, from the data to the report."""

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
        from llactr.datasets.steps import append_spec
        from llactr.store.repository.ingest import ingest

        step = append_spec if append else ingest
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
        shards: int | None = None,
        ray: str | None = None,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[EncodeValuesSummary]:
        """Encodes the texts of values that have no vector yet, section `values`.

        Args:
            config: the encoder; the one that was tuned for values last where nothing is said.
            untuned: use it as published.
            shards: processes that encode side by side; one, or on Ray as many as there is room for.
            ray: `local`, or the address of a Ray cluster whose machines share the workspace.
            dataset: which.
            force: encode all anew.

        Raises:
            InputError: no field of the spec has a `value_text`.

        >>> import llactr
        >>> llactr.open("shop").encode_values()
        Traceback (most recent call last):
        llactr.errors.InputError: no field of 'tiny' has a value_text: ...
        """
        from llactr.pieces import Workers
        from llactr.store.vectors.encode_values import encode_dataset_values

        chosen = section("values", config)
        with self.writing(force=force) as job:
            name = self.workspace.chosen_dataset(dataset)
            return encode_dataset_values(job, name, chosen, untuned=untuned, workers=Workers(shards, ray))

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
        warm: str | Path | None = None,
        warm_config: WarmConfig | Mapping[str, Any] | None = None,
        dataset: str | None = None,
        force: bool = False,
    ) -> StepOutcome[TrainSummary]:
        """Trains one backbone into a bundle, the outcome's `folder`; section `train`.

        Args:
            config: the model, and how it is trained; where training goes on from a bundle, what it leaves out is the
                bundle's.
            warm: a bundle to go on from, on the rows that came since; None to begin anew.
            warm_config: how, section `warm`.
            dataset: which.
            force: do it although nothing changed.

        Raises:
            NotReadyError: a step that the arm needs has not been run.
            InputError: the settings do not fit the backbone, or training cannot go on from that bundle.

        >>> import llactr
        >>> ws = llactr.open("shop")
        >>> made = ws.train({"backbone": "fm", "training": {"max_epochs": 3, "min_steps": 0, "batch_size": 128}})
        >>> made.result.arm, made.result.metrics.test.rows
        ('paper', 78)
        """
        from llactr.ctr.training.fit import train_bundle
        from llactr.ctr.training.warm.step import train_on

        chosen, how = section("train", config), section("warm", warm_config)
        with self.writing(force=force) as job:
            name = self.workspace.chosen_dataset(dataset)
            return train_bundle(job, name, chosen) if warm is None else train_on(job, name, chosen, how, str(warm))

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
