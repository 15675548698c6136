"""What a workspace holds, as methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llactr.api.held import HeldWorkspace

if TYPE_CHECKING:
    from llactr.lifecycle.inventory import Difference, Held, Shown

__all__ = ["InventoryMethods"]


class InventoryMethods(HeldWorkspace):
    """Artifacts listed, shown, compared and removed."""

    def artifacts(self, kind: str | None = None, *, dataset: str | None = None) -> tuple[Held, ...]:
        """Datasets, versions, bundles, evaluations and the rest, with sizes and who needs whom.

        >>> import llactr
        >>> [one.what for one in llactr.open("shop").artifacts("datasets")]
        ['datasets/tiny']
        """
        from llactr.lifecycle.inventory import list_artifacts

        return list_artifacts(self.workspace, kind=kind, dataset=dataset)

    def artifact(self, name: str) -> Shown:
        """One of them, with all that its manifest says: configuration, result, inputs, cost.

        >>> import llactr
        >>> llactr.open("shop").artifact("datasets/tiny").facts["summary"]["rows"]
        777
        """
        from llactr.lifecycle.inventory import show_artifact

        return show_artifact(self.workspace, name)

    def compare(self, *names: str) -> tuple[Difference, ...]:
        """The settings, versions and metrics that differ between artifacts of one kind.

        >>> import llactr
        >>> llactr.open("shop").compare("datasets/tiny", "datasets/tiny")
        ()
        """
        from llactr.lifecycle.inventory import compare_artifacts

        return compare_artifacts(self.workspace, names)

    def remove(self, *names: str, force: bool = False) -> tuple[Held, ...]:
        """Removes artifacts, or `datasets/NAME` with all that was made of it.

        Raises:
            InputError: one is not there, is in use by a service, or is live or needed and `force` is not given.

        >>> import llactr
        >>> llactr.open("shop").remove("bundles/gone")
        Traceback (most recent call last):
        llactr.errors.InputError: nothing called 'bundles/gone': 'llactr list' names what there is
        """
        from llactr.lifecycle.inventory import remove

        with self.writing():
            return remove(self.workspace, names, force=force)
