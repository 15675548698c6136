"""What all kinds of encoders share: batching, adapters, device, and the hash of all that a vector depends on.

Legend: N texts, B texts of a batch, L semantic dim.
"""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from llactr.errors import ModelError
from llactr.manifest import content_hash
from llactr.semantics.encoders.adapters import adapter_hash, attach, load_adapter, save_adapter
from llactr.semantics.encoders.batching import encode_distinct
from llactr.semantics.encoders.weights import folder_fingerprint
from llactr.semantics.prompts import Prompts
from llactr.semantics.tuning.config import LoraSettings

if TYPE_CHECKING:
    from peft import LoraConfig

__all__ = ["ENCODER_FILE", "GenerativeEncoder", "TorchEncoder"]

ENCODER_FILE = "encoder.json"


class TorchEncoder(ABC):
    """A language model that turns texts into unit vectors, and that can be tuned through an adapter.

    Attributes:
        name: the model's name, for people.
        folder: where its files are.
        prompts: the sentences it is tuned with and asked with.
        kind: its name in the registry of kinds.
        pooling: how token vectors become one vector.
        device: where it computes.
    """

    kind: str
    pooling: str

    def __init__(self, *, name: str, folder: Path, prompts: Prompts, device: torch.device, dtype: torch.dtype) -> None:
        self.name = name
        self.folder = folder
        self.prompts = prompts
        self.device = device
        self.dtype = dtype
        self._adapter: LoraConfig | None = None

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether a model folder is one of this kind; asked where a configuration says `kind: auto`."""
        return False

    @property
    @abstractmethod
    def dim(self) -> int:
        """L, the length of a vector."""

    @property
    @abstractmethod
    def module(self) -> nn.Module:
        """The whole torch module; adapters sit inside it."""

    @property
    def _transformer(self) -> nn.Module:
        """The part that takes the adapter."""
        return self.module

    @abstractmethod
    def embed(self, texts: list[str]) -> Tensor:
        """Unit vectors of one batch, with gradients where they are enabled: (B, L) float32 on the encoder's device."""

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Unit vectors of N texts, (N, L) float32: each distinct text once, in batches of similar length."""
        self.module.eval()

        def batch_vectors(batch: list[str]) -> NDArray[np.float32]:
            with torch.inference_mode():
                vectors: NDArray[np.float32] = self.embed(batch).cpu().numpy()
            return vectors

        return encode_distinct(batch_vectors, texts, dim=self.dim, batch_size=batch_size, progress=progress)

    @property
    def fingerprint(self) -> str:
        """Content hash of weights, tokenizer, adapter, pooling, number type and prompts; 64 hex digits."""
        adapter = adapter_hash(self._transformer, self._adapter) if self._adapter else None
        return content_hash([self.base_fingerprint, adapter, self.prompts.model_dump()])

    @property
    def base_fingerprint(self) -> str:
        """Content hash of the model without its adapter; 64 hex digits."""
        return content_hash([folder_fingerprint(self.folder), self.kind, self.pooling, str(self.dtype), self.dim])

    @property
    def adapted(self) -> bool:
        """Whether an adapter is attached."""
        return self._adapter is not None

    @property
    def adapter_size(self) -> int:
        """How many numbers the adapter holds; 0 without one."""
        return sum(p.numel() for name, p in self.module.named_parameters() if ".lora_" in name)

    def add_adapter(self, settings: LoraSettings) -> None:
        """Attaches a fresh LoRA adapter; its start depends on torch's random state.

        Raises:
            ModelError: there is one already, or no module has such a name.
        """
        if self._adapter is not None:
            raise ModelError(f"the encoder {self.name!r} has an adapter already: tune the base model, or load it anew")
        self._adapter = attach(self._transformer, settings)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The adapter's parameters; the base model's are frozen."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    @contextlib.contextmanager
    def tuning(self) -> Iterator[None]:
        """Within the block the adapter's dropout is on; the base model stays as it is when it encodes."""
        self.module.eval()
        for name, part in self.module.named_modules():
            if name.endswith("lora_dropout.default"):
                part.train()
        try:
            yield
        finally:
            self.module.eval()

    def save_adapter(self, folder: Path) -> None:
        """Writes the adapter, and in `encoder.json` what it belongs to: model, prompts, base fingerprint.

        Raises:
            ModelError: there is no adapter.
        """
        if self._adapter is None:
            raise ModelError(f"the encoder {self.name!r} has no adapter to save: fine-tune it first")
        save_adapter(self._transformer, self._adapter, folder, base_model=self.name)
        content = {
            "model": self.name,
            "kind": self.kind,
            "pooling": self.pooling,
            "prompts": self.prompts.model_dump(),
            "base_fingerprint": self.base_fingerprint,
            "fingerprint": self.fingerprint,
        }
        (folder / ENCODER_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def load_adapter(self, folder: Path) -> None:
        """Attaches a saved adapter, after which texts have the same vectors as when it was saved.

        Raises:
            ModelError: the folder holds no adapter, a damaged one, or one of another model or other prompts.
        """
        try:
            saved = json.loads((folder / ENCODER_FILE).read_text(encoding="utf-8"))
            expected, model, fingerprint = saved["base_fingerprint"], saved["model"], saved["fingerprint"]
        except FileNotFoundError:
            raise ModelError(f"{folder} holds no adapter ({ENCODER_FILE} is missing): run 'llactr finetune'") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"the adapter in {folder} is damaged ({ENCODER_FILE}: {error}): "
                             "run 'llactr finetune' again") from None  # fmt: skip
        if expected != self.base_fingerprint:
            raise ModelError(
                f"the adapter in {folder} was tuned on {model!r} with fingerprint {expected[:12]}, this model is "
                f"{self.name!r} with {self.base_fingerprint[:12]}: use the same model, or run 'llactr finetune' again"
            )
        self._adapter = load_adapter(self._transformer, folder)
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        if self.fingerprint != fingerprint:
            raise ModelError(
                f"the adapter in {folder} has fingerprint {self.fingerprint[:12]}, it was saved with "
                f"{fingerprint[:12]}: its files or prompts were changed; run 'llactr finetune' again"
            )


class GenerativeEncoder(TorchEncoder):
    """An encoder that also says how probable an answer is; what the generative loss needs."""

    @abstractmethod
    def log_probability(self, prompts: list[str], answers: list[str]) -> Tensor:
        """log P(answer | prompt) of each pair, summed over the answer's tokens: (B,) float32, with gradients."""

    @abstractmethod
    def log_probability_of_each(self, prompts: list[str], answers: list[str], *, rows: int = 64) -> NDArray[np.float32]:
        """log P(answer | prompt) of all pairs of N prompts and K answers, (N, K) float32, without gradients.

        Args:
            prompts: N texts.
            answers: K texts.
            rows: pairs in one pass.
        """
