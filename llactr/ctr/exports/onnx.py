"""`onnx`: the same program for ONNX runtimes, `model.onnx`, with the vocabularies that make its ids."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import onnxscript  # noqa: F401  # torch.onnx needs it: missing, it is named before anything is done
import torch
from numpy.typing import NDArray

from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.ctr.exports._program import checked_gap, program_facts
from llactr.ctr.exports.torch import exported_program

__all__ = ["to_onnx"]


@EXPORTS.register("onnx")
def to_onnx(source: ExportSource, folder: Path) -> dict[str, Any]:
    """Input `ids` (rows, C) int64, output `scores` (rows,) float32; checked by onnxruntime.

    Raises:
        InputError: the model reads history, or the extra `onnx` is not installed.
        ConsistencyError: the program's scores are not the bundle's.
    """
    path, bundle = folder / "model.onnx", source.bundle
    with _quiet():
        program = torch.onnx.export(
            exported_program(bundle), input_names=["ids"], output_names=["scores"], dynamo=True, verbose=False
        )
    assert program is not None
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = session.run(None, {"ids": ids})[0]
        return scores

    bundle.transform.save(folder / "transform")
    return {**program_facts(bundle), "program": "model.onnx", "largest_difference": checked_gap(bundle, run)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps to itself what torch says of packages that no model here needs, and of its own deprecations."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(level)
