"""Training data, vectors and scores of a workspace, as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from llactr.api.held import HeldWorkspace
from llactr.extras import naming_extras

if TYPE_CHECKING:
    from llactr.api.scorer import Scorer
    from llactr.api.training_data import TrainingData
    from llactr.ctr.batch_scoring import ScoredFile
    from llactr.ctr.exporting import ExportedBundle
    from llactr.semantics import FieldVectors
    from llactr.semantics.values import ValueVectors

__all__ = ["DataMethods"]


class DataMethods(HeldWorkspace):
    """What a workspace holds, for other libraries, and scores."""

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

    def score(
        self,
        rows: str | Path | None,
        out: str | Path,
        *,
        sql: str | None = None,
        at: str | datetime | None = None,
        keep: Sequence[str] = (),
        bundle: str | Path | None = None,
        ray: str | None = None,
        dataset: str | None = None,
    ) -> ScoredFile:
        """Scores a file or a query of any size into a Parquet file of keys, times, kept columns and `score`.

        Args:
            rows: a .parquet, .csv, .json or .jsonl file, or a folder of Parquet; with `sql` a DuckDB database or None.
            out: the file; one that is there is replaced.
            sql: a query of DuckDB.
            at: features of the offline store as of a time with a zone, or of a column's; None for those online now.
            keep: columns that go out as they are.
            bundle: a folder or an id; None for the one trained last.
            ray: `local`, or the address of a Ray cluster whose machines share the workspace.
            dataset: which.

        Raises:
            DataError: the rows lack a column, hold none at all, or cannot be read.
            StoreError: a store does not answer.

        >>> import llactr
        >>> import pandas as pd
        >>> pd.DataFrame({"person": ["p3"], "dish": ["d4"], "device": ["phone"]}).to_parquet("rows.parquet")
        >>> llactr.open("shop").score("rows.parquet", "scores.parquet").rows
        1
        >>> pd.read_parquet("scores.parquet").columns.tolist()
        ['dish', 'person', 'event_timestamp', 'score']
        """
        from llactr.ctr.batch_scoring import RequestTimes, open_scorer, score_file
        from llactr.datasets.row_batches import RowSource
        from llactr.pieces import Workers
        from llactr.store.ingested import dataset_spec

        name, times = self.workspace.chosen_dataset(dataset), RequestTimes(at)
        source = RowSource(dataset_spec(self.workspace, name), None if rows is None else Path(rows), sql)
        scorer = open_scorer(self.workspace, name, None if bundle is None else str(bundle), times)
        return score_file(scorer, source, Path(out), times=times, keep=keep, workers=Workers(ray=ray))

    def export(
        self,
        out: str | Path,
        *,
        to: str,
        bundle: str | Path | None = None,
        buckets: int | None = None,
        ray: str | None = None,
        dataset: str | None = None,
    ) -> ExportedBundle:
        """Writes a bundle for other programs: `torch`, `onnx`, `parquet`, `training_set` or `hf`; see docs/scoring.md.

        Args:
            out: a folder that is not there, or holds an earlier export.
            to: the format.
            bundle: a folder or an id; None for the one trained last.
            buckets: for `training_set`: join the rows in so many parts, by users.
            ray: join the buckets on Ray: `local`, or a cluster's address.
            dataset: which.

        Raises:
            InputError: there is no such format, or its extra is not installed.
            ConsistencyError: the program's scores are not the bundle's.

        >>> import llactr
        >>> llactr.open("shop").export("tables", to="parquet").files
        ('export.json', 'field_vectors.parquet', 'values.parquet')
        """
        from llactr.ctr.exporting import export_bundle
        from llactr.pieces import Workers

        name = self.workspace.chosen_dataset(dataset)
        with naming_extras():
            named = None if bundle is None else str(bundle)
            workers = Workers(ray=ray)
            return export_bundle(self.workspace, name, named, to=to, out=Path(out), buckets=buckets, workers=workers)
