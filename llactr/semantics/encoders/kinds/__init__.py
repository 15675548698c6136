"""Kinds of encoders, one file each; another package adds its own through the entry points `llactr.encoders`.

Importing this package imports none of them, nor torch: names are those of the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llactr.errors import ModelError
from llactr.registry import Registry

if TYPE_CHECKING:
    from llactr.semantics.encoders.torch_encoder import TorchEncoder

__all__ = ["ENCODERS"]


def _check(entry: Any) -> None:
    from llactr.semantics.encoders.torch_encoder import TorchEncoder

    if not (isinstance(entry, type) and issubclass(entry, TorchEncoder)):
        raise TypeError(f"expected a subclass of {TorchEncoder.__module__}.TorchEncoder, found {entry!r}")


ENCODERS: Registry[type[TorchEncoder]] = Registry(
    "encoder kind",
    package=__name__,
    group="llactr.encoders",
    order=("sentence_transformer", "causal_lm"),
    error=ModelError,
    check=_check,
)
"""Name -> class. A folder of no known kind is asked about in this order."""
