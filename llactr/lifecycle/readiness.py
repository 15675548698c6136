"""Whether a bundle could be served now: what the service would refuse is refused before it is promoted."""

from __future__ import annotations

from pathlib import Path

from llactr.ctr import Bundle
from llactr.ctr.soundness import doubts_of_metrics
from llactr.errors import BundleError
from llactr.store import OnlineReader
from llactr.workspace import Workspace

__all__ = ["check_servable"]


def check_servable(
    workspace: Workspace, dataset: str, folder: Path, *, anyway: bool = False, config: Path | None = None
) -> Bundle:
    """Loads a bundle, and looks for what it needs in the online store: views, features, both versions' vectors.

    Args:
        workspace: where.
        dataset: whose bundle it has to be.
        folder: the bundle.
        anyway: whether one passes that is below chance, worse than a constant, or not calibrated, on its test rows.
        config: the service's feature_store.yaml; see `open_store`.

    Returns:
        the bundle.

    Raises:
        BundleError: it is damaged, of another dataset, not fit to be served, or reads features that the store lacks.
        NotReadyError: a view or a version's vectors are not online.
        StoreError: the store does not answer.
    """
    bundle = Bundle.load(folder)
    if bundle.spec.name != dataset:
        raise BundleError(f"bundle {folder.name} is of dataset {bundle.spec.name!r}, expected {dataset!r}")
    found = doubts_of_metrics(bundle.metrics)
    if found and not anyway:
        raise BundleError(
            f"the bundle {folder.name} is not fit to be served: {'; '.join(found)}: train another one, or give "
            "--anyway here and to 'llactr serve'"
        )
    online = OnlineReader(workspace, bundle.spec, config=config)
    online.require_whole()
    missing = online.missing_features()
    if missing:
        raise BundleError(
            f"bundle {folder.name} reads {', '.join(missing)}, which the online store no longer has: ingest with a "
            "spec that has them, apply and materialize, or choose another bundle"
        )
    bundle.check_vectors(online.field_vectors(bundle.version))
    return bundle
