"""What is left of value vectors after training: the folded model, and what places a value that it has never seen.

Letters: N values, L semantic dim, r numbers of z, D embedding dim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from llactr.ctr.config import ValuesConfig
from llactr.ctr.model import CTRModel
from llactr.ctr.values.embedding import ValueEmbedding
from llactr.ctr.values.pca import FieldPca

__all__ = ["FieldProjection", "ValueProjections", "folded"]

_TENSORS, _FACTS = "value_projections.safetensors", "value_projections.json"


@dataclass(frozen=True)
class FieldProjection:
    """z_f P_k and z_f q_k of one field.

    Attributes:
        pca: vector -> z.
        embedding: (r, D) float32, P_k.
        linear: (r,) float32, q_k; zeros where the backbone has no first-order weights.
    """

    pca: FieldPca
    embedding: NDArray[np.float32]
    linear: NDArray[np.float32]

    def place(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(N, L) vectors of unseen values to (N, D) and (N,): what is added to the out-of-vocabulary row."""
        z = self.pca.project(vectors)
        return z @ self.embedding, z @ self.linear


@dataclass(frozen=True)
class ValueProjections:
    """The projections of all text fields of a trained model.

    Attributes:
        version: the values' semantics version; vectors of any other are refused.
        encoder: the encoder's name, for people.
        config: as trained.
        fields: by field name.
    """

    version: str
    encoder: str
    config: ValuesConfig
    fields: Mapping[str, FieldProjection]

    @classmethod
    def of(cls, model: CTRModel) -> ValueProjections | None:
        """Those of a trained model; None when it was trained without value vectors."""
        embedding = model.embedding
        if not isinstance(embedding, ValueEmbedding):
            return None
        fields = {}
        for number, field in enumerate(embedding.values.fields):
            projection = embedding.projections[number].detach().cpu().numpy().copy()
            linear = np.zeros(field.pca.rank, np.float32)
            if embedding.linear is not None:
                linear = embedding.linear_projections[number].detach().cpu().numpy()[:, 0].copy()
            fields[field.name] = FieldProjection(field.pca, projection, linear)
        return cls(embedding.values.version, embedding.values.encoder, embedding.values.config, fields)

    def save(self, folder: Path) -> None:
        """Writes one safetensors file and one JSON file."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, NDArray[np.float32]] = {}
        for number, field in enumerate(self.fields.values()):
            parts = {"mean": field.pca.mean, "components": field.pca.components,
                     "embedding": field.embedding, "linear": field.linear}  # fmt: skip
            tensors |= {f"{number}.{name}": np.ascontiguousarray(part) for name, part in parts.items()}
        save_file(tensors, folder / _TENSORS)
        facts = {
            "version": self.version,
            "encoder": self.encoder,
            "config": self.config.model_dump(mode="json"),
            "fields": [{"name": name, "scale": field.pca.scale} for name, field in self.fields.items()],
        }
        (folder / _FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> ValueProjections:
        """Reads what `save` wrote; OSError, ValueError or KeyError where it cannot be read."""
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        tensors = load_file(folder / _TENSORS)
        fields = {}
        for number, one in enumerate(facts["fields"]):
            pca = FieldPca(tensors[f"{number}.mean"], tensors[f"{number}.components"], float(one["scale"]))
            fields[one["name"]] = FieldProjection(pca, tensors[f"{number}.embedding"], tensors[f"{number}.linear"])
        return cls(facts["version"], facts["encoder"], ValuesConfig.model_validate(facts["config"]), fields)


def folded(model: CTRModel) -> CTRModel:
    """The same scores from a plain table: value vectors are added to the embeddings once. A plain model is returned."""
    embedding = model.embedding
    if not isinstance(embedding, ValueEmbedding):
        return model
    vectors = None if model.enhancement is None else model.enhancement.field_vectors
    plain = CTRModel(model.config, model.layout, vectors)
    with torch.no_grad():
        state = {name: value for name, value in model.state_dict().items() if "projections." not in name}
        rows = embedding.row_count
        state["embedding.weight"] = embedding.table()[:rows].clone()
        linear = embedding.linear_table()
        if linear is not None:
            state["embedding.linear"] = linear[:rows].clone()
    plain.load_state_dict(state)
    return plain.train(model.training)
