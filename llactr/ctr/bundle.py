"""A bundle: all that is needed to score, in one folder, and nothing that only training needs.

```
bundle.json            spec, model configuration, semantics version, metrics, sha256 of every other file
model.safetensors      weights
field_vectors/         the K vectors of the semantics version that the bundle is pinned to
transform/             vocabularies, one Parquet file a field
value_projections/     only with value vectors: what places a value that training never saw
history/               only with history: the definition that events become numbers by
```
A bundle with history has format 2, so that a version that knows of none refuses it; others have format 1, as ever.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from llactr.ctr.config import ModelConfig
from llactr.ctr.history import with_history
from llactr.ctr.model import CTRModel, predict
from llactr.ctr.values.projections import ValueProjections, folded
from llactr.ctr.values.unseen import UnseenValues
from llactr.errors import BundleError, DataError
from llactr.history import HistoryDefinition
from llactr.manifest import file_hash, is_sealed, sealed
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec
from llactr.transforms import Transform

__all__ = ["Bundle"]

_FACTS, _WEIGHTS, _VECTORS, _TRANSFORM = "bundle.json", "model.safetensors", "field_vectors", "transform"
_VALUES, _HISTORY = "value_projections", "history"
_FORMAT, _FORMAT_WITH_HISTORY = 1, 2
_SAME_VECTORS = 1e-5


@dataclass(frozen=True)
class Bundle:
    """A trained model with its vocabularies, pinned to one semantics version.

    Attributes:
        spec: the dataset's resolved spec.
        transform: raw rows -> ids.
        model: in evaluation mode, with the pinned version's vectors alone.
        vectors: that version's field vectors.
        metrics: what training measured, JSON-like.
        values: what places unseen values by their vectors; None for a model without value vectors.
        history: by which events become the model's history numbers; None for a model that reads none.
    """

    spec: DatasetSpec
    transform: Transform
    model: CTRModel
    vectors: FieldVectors
    metrics: dict[str, Any]
    values: ValueProjections | None = None
    history: HistoryDefinition | None = None

    @property
    def version(self) -> str:
        """The semantics version that the bundle is pinned to."""
        return self.vectors.version

    @classmethod
    def of(
        cls,
        model: CTRModel,
        *,
        spec: DatasetSpec,
        transform: Transform,
        vectors: FieldVectors,
        metrics: dict[str, Any],
        history: HistoryDefinition | None = None,
    ) -> Bundle:
        """The bundle of a trained model; of several versions that it was trained with, only the pinned one is kept.

        Value vectors are folded into the table.
        """
        pinned = _model(model.config, transform, vectors)
        pinned.load_state_dict(folded(model).state_dict())
        return cls(spec, transform, pinned.eval(), vectors, metrics, ValueProjections.of(model), history)

    def score(self, rows: pa.Table, history: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Click probabilities (N,) float32 of raw rows.

        Args:
            rows: one column per field, in the raw types; see `llactr.transforms`.
            history: (N, H) float32 numbers of `self.history`; needed where the model reads them.

        Raises:
            DataError: a column is missing or has the wrong type, or the history is missing.
        """
        return predict(self.model, self.rows(self.transform.ids(rows), history))

    def rows(self, ids: NDArray[np.int32], history: NDArray[np.float32] | None) -> NDArray[np.int32]:
        """What the model reads of ids (N, C): these, or (N, C + H) with their history numbers (N, H) behind.

        Raises:
            DataError: the model reads history and there is none, or the other way round.
        """
        if (history is None) != (self.history is None):
            raise DataError(
                "the bundle's model reads history: give the rows' history numbers as well, or score in the workspace"
                if history is None
                else "the bundle's model reads no history, and history numbers were given: leave them out"
            )
        return ids if history is None else with_history(ids, history)

    def unseen_values(self) -> UnseenValues | None:
        """What scores rows with values that training never saw by their vectors; None without value vectors."""
        return None if self.values is None else UnseenValues(self.model, self.transform, self.values)

    def check_dataset(self, dataset: str) -> None:
        """Refuses rows of another dataset.

        Raises:
            BundleError: the model was trained on another one.
        """
        if dataset != self.vectors.dataset:
            raise BundleError(
                f"field vectors are of dataset {dataset!r}, the model was trained on {self.vectors.dataset!r}: "
                "give the bundle of that dataset"
            )

    def check_vectors(self, vectors: FieldVectors) -> None:
        """Refuses field vectors that are not those that the model was trained with.

        Raises:
            BundleError: another dataset, version, dimension, field, or vector.
        """
        self.check_dataset(vectors.dataset)
        if vectors.version != self.version:
            raise BundleError(
                f"field vectors have semantics version {vectors.version}, the model was trained with {self.version}: "
                f"run 'llactr encode' with the encoder of that version and 'llactr materialize', or retrain"
            )
        if vectors.dim != self.vectors.dim:
            raise BundleError(
                f"field vectors have dim {vectors.dim}, the model was trained with {self.vectors.dim}: "
                f"run 'llactr encode' with the encoder {self.vectors.encoder!r}, or retrain"
            )
        if vectors.fields != self.vectors.fields:
            gone, new = set(self.vectors.fields) - set(vectors.fields), set(vectors.fields) - set(self.vectors.fields)
            raise BundleError(
                f"field vectors lack {sorted(gone) or 'nothing'}, have {sorted(new) or 'nothing'} in excess, or come "
                "in another order than the model's fields: run 'llactr encode', or retrain"
            )
        gap = float(np.abs(vectors.vectors - self.vectors.vectors).max())
        if gap > _SAME_VECTORS:
            raise BundleError(
                f"field vectors of version {vectors.version} differ by {gap:.1e} from those that the model was trained "
                "with: the store was written by hand or is damaged, run 'llactr materialize --force'"
            )

    def save(self, folder: Path) -> None:
        """Writes the bundle into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        save_file(weights, folder / _WEIGHTS)
        self.vectors.save(folder / _VECTORS)
        self.transform.save(folder / _TRANSFORM)
        if self.values is not None:
            self.values.save(folder / _VALUES)
        if self.history is not None:
            self.history.save(folder / _HISTORY)
        facts = {
            "format": _FORMAT if self.history is None else _FORMAT_WITH_HISTORY,
            "spec": self.spec.model_dump(mode="json"),
            "model": self.model.config.model_dump(mode="json"),
            "semantics_version": self.version,
            "values_version": self.values.version if self.values else None,
            **({} if self.history is None else {"history_version": self.history.version}),
            "metrics": self.metrics,
            "files": {str(path.relative_to(folder)): file_hash(path) for path in _files(folder)},
        }
        text = json.dumps(sealed(facts), indent=2, ensure_ascii=False)
        (folder / _FACTS).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """The bundle in a folder, every file checked against its hash.

        Raises:
            BundleError: a file is missing, damaged, or not the one that was saved.
        """
        facts = _facts(folder)
        try:
            for name, expected in facts["files"].items():
                if file_hash(folder / name) != expected:
                    raise BundleError(_damaged(folder, f"{name} is not the file that was saved"))
            spec = DatasetSpec.model_validate(facts["spec"])
            config = ModelConfig.model_validate(facts["model"])
            vectors = FieldVectors.load(folder / _VECTORS)
            transform = Transform.load(folder / _TRANSFORM)
            model = _model(config, transform, vectors)
            weights = load_file(folder / _WEIGHTS)
            _refuse_not_finite(weights, folder)
            model.load_state_dict(weights)
            values = ValueProjections.load(folder / _VALUES) if facts.get("values_version") else None
            history = _history(folder, facts, config)
        except (OSError, KeyError, AttributeError, RuntimeError, SafetensorError, ValidationError, DataError) as error:
            said = " ".join(str(error).split())[:200]
            raise BundleError(_damaged(folder, f"{type(error).__name__}: {said}")) from None
        return cls(spec, transform, model.eval(), vectors, facts["metrics"], values, history)


def _history(folder: Path, facts: dict[str, Any], config: ModelConfig) -> HistoryDefinition | None:
    """The definition that the model's history numbers are made by."""
    version = facts.get("history_version")
    if config.history is None and version is None:
        return None
    definition = HistoryDefinition.load(folder / _HISTORY)
    if definition.version != version:
        said = f"{_HISTORY}/ has the version {definition.version}, the model was trained with {version}"
        raise BundleError(_damaged(folder, said))
    if config.history is None or config.history.names != definition.spec.columns:
        raise BundleError(_damaged(folder, f"{_HISTORY}/ has other fields than the model reads"))
    return definition


def _refuse_not_finite(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """One NaN among a million embeddings passes any warm-up, and is the score of whoever asks for it."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            count = int((~torch.isfinite(tensor)).sum())
            raise BundleError(
                f"the bundle {folder} has {count} weights in {name!r} that are not finite: run 'llactr train' again"
            )


def _model(config: ModelConfig, transform: Transform, vectors: FieldVectors) -> CTRModel:
    field_vectors = None if config.enhancement is None else torch.from_numpy(vectors.vectors)
    return CTRModel(config, transform.layout, field_vectors)


def _files(folder: Path) -> list[Path]:
    parts = [folder / part for part in (_VECTORS, _TRANSFORM, _VALUES, _HISTORY) if (folder / part).is_dir()]
    return sorted([folder / _WEIGHTS, *(file for part in parts for file in part.iterdir())])


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if facts["format"] not in (_FORMAT, _FORMAT_WITH_HISTORY):
            raise BundleError(
                f"the bundle {folder} has format {facts['format']!r}, this version reads {_FORMAT} and "
                f"{_FORMAT_WITH_HISTORY}: run 'llactr train'"
            )
        if not is_sealed(facts):
            raise BundleError(_damaged(folder, f"{_FACTS} is not the file that was saved"))
        return dict(facts)
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is no bundle, it has no {_FACTS}: give a folder that 'llactr train' made"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(_damaged(folder, f"{_FACTS} cannot be read ({error})")) from None


def _damaged(folder: Path, reason: str) -> str:
    return f"the bundle {folder} is damaged: {reason}; restore it from a copy, or run 'llactr train --force'"
