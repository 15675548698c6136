"""The rivals, one file each; another package adds its own through the entry points `llactr.rivals`.

Importing this package imports none of them: names are those of the files.
"""

from __future__ import annotations

from typing import Any

from llactr.registry import Registry

__all__ = ["RIVALS"]


def _check(entry: Any) -> None:
    from llactr.evaluation.rivals.base import Rival

    if not (isinstance(entry, type) and issubclass(entry, Rival)):
        raise TypeError(f"expected a subclass of {Rival.__module__}.Rival, found {entry!r}")


RIVALS: Registry[type[Any]] = Registry(
    "rival",
    package=__name__,
    group="llactr.rivals",
    order=("lightgbm", "catboost", "vowpalwabbit"),
    check=_check,
)
"""Name -> subclass of `llactr.evaluation.rivals.base.Rival`."""
