"""What a day's training goes on from."""

from __future__ import annotations

from llactr.ctr.find import champion_of, find_bundle
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.start import WarmBase
from llactr.ctr.training.warm.state import TrainedState
from llactr.ctr.training.warm.step import why_cold
from llactr.steps import Step
from llactr.store.ingested import dataset_hash
from llactr.workspace import Workspace

__all__ = ["day_base"]


def day_base(workspace: Workspace, dataset: str, config: TrainJobConfig) -> tuple[WarmBase | None, str]:
    """The bundle that a day goes on from: the champion, else the one trained last; or None, and why in a few words.

    A bundle that was trained on the tables as they are is what this day has made before: the day goes on from the base
    of that one again, so that the same bundle is found. One that was trained anew on them leaves nothing to go on with.

    Args:
        workspace: where.
        dataset: which.
        config: the model that is wanted; what it leaves out is the bundle's.

    Raises:
        BundleError: the bundle is damaged.
    """
    if champion_of(workspace, dataset) is None and Step.TRAIN not in workspace.current(dataset):
        return None, "there is no bundle yet"
    folder = find_bundle(workspace, dataset)
    facts = TrainedState.facts_in(folder)
    if facts is not None and facts.tables == dataset_hash(workspace, dataset):
        if facts.base is None:
            return None, f"{folder.name} was trained anew on the same rows"
        before = workspace.artifact("bundles", facts.base)
        folder = before if before.is_dir() else folder
    if TrainedState.facts_in(folder) is None:
        return None, f"{folder.name} has no training state"
    base = WarmBase.load(folder)
    reason = why_cold(workspace, dataset, base.wanted(config), base)
    return (None, f"training cannot go on from {base.name}: {reason}") if reason else (base, "")
