"""What a fine-tuning measured, kept beside its adapter as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llactr.errors import ModelError
from llactr.semantics.tuning.accuracy import FieldAccuracy
from llactr.semantics.tuning.loop import TuningRun

__all__ = ["FINETUNE_FILE", "FinetuneResult"]

FINETUNE_FILE = "finetune.json"


@dataclass(frozen=True)
class FinetuneResult:
    """Field accuracy on held-out values before and after, and how the tuning went.

    Attributes:
        model: the base model's name.
        loss: `contrastive` or `generative`.
        before, after: confusion of fields on the held-out values.
        run: losses, validation scores, times.
        values_tuned, values_held_out: number of distinct values.
        trained_parameters: numbers in the adapter.
        threads: torch's threads; together with the seed they fix the bits.
    """

    model: str
    loss: str
    before: FieldAccuracy
    after: FieldAccuracy
    run: TuningRun
    values_tuned: int
    values_held_out: int
    trained_parameters: int
    threads: int

    def to_json(self) -> dict[str, Any]:
        """Everything as a JSON-like object; an accuracy without values is None."""
        content = asdict(self)
        for when, measured in (("before", self.before), ("after", self.after)):
            accuracy = measured.accuracy
            content[when] = {
                "accuracy": None if math.isnan(accuracy) else accuracy,
                "fields": list(measured.fields),
                "confusion": measured.confusion.tolist(),
            }
        return content

    def save(self, folder: Path) -> None:
        """Writes `finetune.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False)
        (folder / FINETUNE_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FinetuneResult:
        """Reads what `save` wrote.

        Raises:
            ModelError: the file is missing or damaged.
        """
        try:
            content = json.loads((folder / FINETUNE_FILE).read_text(encoding="utf-8"))
            run = content.pop("run")
            run = TuningRun(**{**run, "losses": tuple(run["losses"]), "validation": tuple(run["validation"])})
            before, after = (
                FieldAccuracy(tuple(part["fields"]), np.array(part["confusion"], dtype=np.int64))
                for part in (content.pop("before"), content.pop("after"))
            )
            return cls(**content, run=run, before=before, after=after)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder / FINETUNE_FILE} cannot be read ({error}): run 'llactr finetune' again"
            ) from None
