"""Runs and models in a store of MLflow: the one file that imports it."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven take four minutes to say that nobody is there
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.tracking import MlflowClient
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

from llactr.columns import EVENT_TIMESTAMP
from llactr.ctr.bundle import Bundle
from llactr.datasets.rows import whole_columns
from llactr.errors import StepError
from llactr.lifecycle.tracking.facts import TrackedRun

__all__ = ["MODEL_NAME", "RunStore"]

MODEL_NAME = "bundle"
"""What a run's model is called."""
_LOADER = "llactr.lifecycle.tracking.pyfunc"
_EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
_PARAM_CHARS, _TAG_CHARS, _BATCH = 6000, 5000, 100


class RunStore:
    """A tracking store of MLflow; what is in it already is not written again.

    Args:
        uri: `sqlite:///mlflow.db`, `http://host:5000`, or any other that MLflow takes.

    Raises:
        StepError: it refused, or did not answer.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with self._refusals():
            self._client = MlflowClient(uri)
            self._client.search_experiments(max_results=1)

    def add(self, dataset: str, run: TrackedRun) -> bool:
        """Writes a run, its arms below it and its model; False where a finished run of the same key is there.

        A run that was cut off is removed and written anew. The experiment is `llactr/DATASET`, or what MLflow's
        variable `MLFLOW_EXPERIMENT_NAME` says.

        Raises:
            StepError: the store refused, or did not answer.
        """
        with self._refusals():
            experiment = self._experiment(os.environ.get(_EXPERIMENT_VARIABLE) or f"llactr/{dataset}")
            for known in self._client.search_runs([experiment], f"tags.`llactr.key` = '{run.key}'"):
                if known.info.status == "FINISHED":
                    return False
                self._client.delete_run(known.info.run_id)
            self._write(experiment, run, parent=None)
        return True

    def _experiment(self, name: str) -> str:
        known = self._client.get_experiment_by_name(name)
        return str(known.experiment_id) if known else str(self._client.create_experiment(name))

    def _write(self, experiment: str, run: TrackedRun, *, parent: str | None) -> None:
        below = {} if parent is None else {"mlflow.parentRunId": parent}
        tags = {name: value[:_TAG_CHARS] for name, value in run.tags.items()}
        made = self._client.create_run(experiment, tags={**tags, **below}, run_name=run.name)
        at, place = made.info.start_time, made.info.run_id
        params = [Param(name, value[:_PARAM_CHARS]) for name, value in sorted(run.params.items())]
        metrics = [Metric(one.name, one.value, at, one.step) for one in run.metrics]
        for start in range(0, len(params), _BATCH):
            self._client.log_batch(place, params=params[start : start + _BATCH])
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(place, metrics=metrics[start : start + _BATCH])
        for name, text in run.texts.items():
            self._client.log_text(place, text, name)
        if run.bundle is not None:
            model = self._log_model(experiment, place, run.bundle)
            self._client.log_batch(place, tags=[RunTag("llactr.model", model)])
        for arm in run.arms:
            self._write(experiment, arm, parent=place)
        self._client.set_terminated(place, "FINISHED")

    def _log_model(self, experiment: str, run_id: str, folder: Path) -> str:
        """Keeps a bundle as the run's model; returns its URI.

        By the client, which is told where: MLflow's fluent functions would set the store of the whole process, and of
        those that it starts.
        """
        model = self._client.create_logged_model(experiment, name=MODEL_NAME, source_run_id=run_id)
        with tempfile.TemporaryDirectory() as draft:
            save_model(
                path=f"{draft}/model",
                loader_module=_LOADER,
                data_path=str(folder),
                mlflow_model=Model(
                    run_id=run_id, model_id=model.model_id, artifact_path=model.artifact_location,
                    signature=_signature(Bundle.load(folder)),
                ),
                pip_requirements=[f"llactr=={version('llactr')}"],
            )  # fmt: skip
            self._client.log_model_artifacts(model.model_id, f"{draft}/model")
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        return str(model.model_uri)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """What MLflow raises, as one sentence; what it logs and warns of on the way is not for the terminal.

        Raises:
            StepError: it raised.
        """
        log = logging.getLogger("mlflow")
        level, alembic = log.level, logging.getLogger("alembic")
        log.setLevel(logging.ERROR)
        alembic.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (MlflowException, OSError) as error:
            first = str(error).strip().splitlines()[0][:300]
            raise StepError(
                f"MLflow at {_shown(self.uri)} failed ({first}): what was made is in the workspace; "
                "mend it and run the same command again, which tells it without making anything anew"
            ) from None
        finally:
            log.setLevel(level)


def _signature(bundle: Bundle) -> ModelSignature:
    """The columns of a row. Their types are left to the bundle, which spells values as ingest does."""
    numbers = () if bundle.history is None else bundle.history.spec.field_names
    names = [name for name in whole_columns(bundle.spec) if name != EVENT_TIMESTAMP]
    columns = [ColSpec(AnyType(), name) for name in [*names, *numbers]]
    columns.append(ColSpec(AnyType(), EVENT_TIMESTAMP, required=False))
    return ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec("float")]))


def _shown(uri: str) -> str:
    """A URI without its user and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
