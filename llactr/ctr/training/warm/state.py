"""What a training leaves beside its bundle, so that another can go on from it; nothing that scores reads it.

```
warm.json              until when it was trained, on which tables, from which bundle
warm.safetensors       NAME.first, NAME.second and NAME.steps: the moments of Adam, by parameter
```
The moments take twice the room of the weights. A bundle without these two files is as good for serving.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from llactr.errors import BundleError
from llactr.manifest import file_hash, is_sealed, sealed

__all__ = ["TABLES", "TrainedState", "TrainingFacts"]

_FACTS, _TENSORS = "warm.json", "warm.safetensors"
_FORMAT = 1
TABLES = ("embedding.weight", "embedding.linear")
"""The parameters with a row a value."""


class TrainingFacts(BaseModel):
    """What another training has to know.

    Attributes:
        until_us: the newest event time that was trained on, in microseconds.
        history_before_us: events known before it are in the item-item table of the history definition.
        tables: content hash of the dataset's tables at that time.
        base: the bundle that it went on from; None for a training that began anew.
        config: what the model is: backbone, arm, settings, enhancement, values, cold starts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    until_us: int
    history_before_us: int
    tables: str
    base: str | None
    config: dict[str, Any]


@dataclass(frozen=True)
class TrainedState:
    """The state of one training.

    Attributes:
        facts: see `TrainingFacts`.
        moments: as `TrainingStep.moments` names them.
    """

    facts: TrainingFacts
    moments: Mapping[str, Tensor]

    def save(self, folder: Path) -> int:
        """Writes both files into a bundle's folder; returns their size in bytes."""
        save_file(
            {name: value.detach().cpu().contiguous().clone() for name, value in self.moments.items()}, folder / _TENSORS
        )
        content = {
            "format": _FORMAT,
            "sha256": file_hash(folder / _TENSORS),
            "facts": self.facts.model_dump(mode="json"),
        }
        (folder / _FACTS).write_text(json.dumps(sealed(content), indent=2) + "\n", encoding="utf-8")
        return sum((folder / name).stat().st_size for name in (_FACTS, _TENSORS))

    @classmethod
    def load(cls, folder: Path) -> TrainedState | None:
        """The state in a bundle's folder; None where there is none.

        Raises:
            BundleError: it is damaged.
        """
        facts = cls.facts_in(folder)
        if facts is None:
            return None
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if file_hash(folder / _TENSORS) != content["sha256"]:
                raise BundleError(_damaged(folder, f"{_TENSORS} is not the file that was saved"))
            return cls(facts, load_file(folder / _TENSORS))
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise BundleError(_damaged(folder, type(error).__name__)) from None

    @classmethod
    def facts_in(cls, folder: Path) -> TrainingFacts | None:
        """What the state in a folder says of itself, without its tensors; None where there is none.

        Raises:
            BundleError: it is damaged.
        """
        try:
            content = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            if content["format"] != _FORMAT or not is_sealed(content):
                raise BundleError(_damaged(folder, f"{_FACTS} is not the file that was saved"))
            return TrainingFacts.model_validate(content["facts"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
            raise BundleError(_damaged(folder, f"{_FACTS} cannot be read ({type(error).__name__})")) from None

    def without(self, rows: Sequence[int]) -> TrainedState:
        """The state after the values of some rows of the tables left: nothing is remembered of them."""
        moments = {name: value.clone() for name, value in self.moments.items()}
        own = torch.tensor(rows)
        for table in TABLES:
            for part in ("first", "second"):
                if f"{table}.{part}" in moments:
                    moments[f"{table}.{part}"][own] = 0
        return TrainedState(self.facts, moments)


def _damaged(folder: Path, reason: str) -> str:
    return f"the training state of the bundle {folder} is damaged: {reason}; train anew, without --warm"
