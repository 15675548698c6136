"""Encoders of the sentence-transformers library: MiniLM by default, any other by its name or folder.

Legend: B texts, L semantic dim.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llactr.errors import ModelError
from llactr.semantics.encoders.kinds import ENCODERS
from llactr.semantics.encoders.torch_encoder import TorchEncoder
from llactr.semantics.prompts import Prompts

__all__ = ["SentenceTransformerEncoder"]


@ENCODERS.register("sentence_transformer")
class SentenceTransformerEncoder(TorchEncoder):
    """A sentence-transformers model; its own modules pool the tokens. Any other transformer is pooled by their mean."""

    kind = "sentence_transformer"
    pooling = "modules"

    def __init__(self, *, name: str, folder: Path, prompts: Prompts, device: torch.device, dtype: torch.dtype) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(name=name, folder=folder, prompts=prompts, device=device, dtype=dtype)
        _refuse_foreign_modules(folder)
        self._model = SentenceTransformer(
            str(folder),
            device=str(device),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"dtype": dtype, "use_safetensors": True},
        )
        for parameter in self._model.parameters():
            parameter.requires_grad_(False)
        with torch.inference_mode():
            self._dim = int(self.embed(["dimension"]).shape[1])

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether the folder lists modules of sentence-transformers."""
        return (folder / "modules.json").is_file()

    @property
    def dim(self) -> int:
        """L, the length of a vector."""
        return self._dim

    @property
    def module(self) -> nn.Module:
        """The whole sentence-transformers model."""
        model: nn.Module = self._model
        return model

    @property
    def _transformer(self) -> nn.Module:
        model = getattr(self._model[0], "auto_model", None)
        if not isinstance(model, nn.Module):
            raise ModelError(f"the model {self.name!r} has no transformer that could take an adapter: use another one")
        return model

    def embed(self, texts: list[str]) -> Tensor:
        """Unit vectors of one batch, (B, L) float32."""
        # sentence-transformers 6 renamed `tokenize`.
        tokenize = self._model.preprocess if hasattr(self._model, "preprocess") else self._model.tokenize
        features = {
            key: value.to(self.device) if isinstance(value, Tensor) else value for key, value in tokenize(texts).items()
        }
        return F.normalize(self._model(features)["sentence_embedding"].float(), dim=-1)  # (B, L)


def _refuse_foreign_modules(folder: Path) -> None:
    """A model folder names Python classes to import; only the library's own are followed."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return
    for part in json.loads(listing.read_text(encoding="utf-8")):
        if not str(part["type"]).startswith("sentence_transformers."):
            raise ModelError(
                f"the model folder {folder} asks for the code {part['type']!r}: "
                "only modules of sentence_transformers are run, choose another model"
            )
