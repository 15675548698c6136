"""The backbones, one file each; another package adds its own through the entry points `llactr.backbones`.

Importing this package imports none of them, nor torch: names are those of the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llactr.ctr.backbones._settings import BackboneSettings
from llactr.registry import Registry

if TYPE_CHECKING:
    from llactr.ctr.backbones.base import Backbone

__all__ = ["BACKBONES", "BackboneSettings"]


def _check(entry: Any) -> None:
    from llactr.ctr.backbones.base import Backbone

    if not (isinstance(entry, type) and issubclass(entry, Backbone)):
        raise TypeError(f"expected a subclass of {Backbone.__module__}.Backbone, found {entry!r}")
    if not (isinstance(entry.settings, type) and issubclass(entry.settings, BackboneSettings)):
        raise TypeError(f"its 'settings' are {entry.settings!r}, expected a subclass of BackboneSettings")


BACKBONES: Registry[type[Backbone]] = Registry(
    "backbone",
    package=__name__,
    group="llactr.backbones",
    order=("fm", "fwfm", "fmfm", "deepfm", "finalmlp", "wukong", "din"),
    check=_check,
)
"""Name -> class."""
