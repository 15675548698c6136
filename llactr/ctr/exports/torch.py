"""`torch`: a program of torch.export, `model.pt2`, with the vocabularies that make its ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import Dim, ExportedProgram

from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.ctr.exports._program import ScoreProgram, checked_gap, program_facts

if TYPE_CHECKING:
    from llactr.ctr.bundle import Bundle

__all__ = ["exported_program", "to_torch"]


@EXPORTS.register("torch")
def to_torch(source: ExportSource, folder: Path) -> dict[str, Any]:
    """`torch.export.load("model.pt2").module()(ids)`: ids (rows, C) int64 to probabilities (rows,) float32.

    Raises:
        InputError: the model reads history.
        ConsistencyError: the program's scores are not the bundle's.
    """
    bundle = source.bundle
    torch.export.save(exported_program(bundle), folder / "model.pt2")
    module = torch.export.load(folder / "model.pt2").module()

    def run(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = module(torch.from_numpy(ids)).numpy()
        return scores

    bundle.transform.save(folder / "transform")
    return {**program_facts(bundle), "program": "model.pt2", "largest_difference": checked_gap(bundle, run)}


def exported_program(bundle: Bundle) -> ExportedProgram:
    """The bundle's model by torch.export, for any number of rows."""
    slots = bundle.transform.layout.slot_count
    with torch.no_grad():
        return torch.export.export(
            ScoreProgram(bundle),
            (torch.ones(3, slots, dtype=torch.int64),),
            dynamic_shapes={"ids": {0: Dim("rows", min=1)}},
            strict=False,
        )
