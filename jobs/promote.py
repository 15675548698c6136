"""`llactr promote`, `rollback`, `releases`: which bundle is live, and the way back."""

from __future__ import annotations

import contextlib
from pathlib import Path

from llactr.ctr.find import find_bundle
from llactr.errors import NotReadyError
from llactr.lifecycle.monitoring.profile import read_profile, write_profile
from llactr.lifecycle.promotions import (
    BundleState,
    Promotion,
    bundle_states,
    pin,
    promote,
    promotions,
    rollback,
    rollback_target,
)
from llactr.lifecycle.readiness import check_servable
from llactr.lifecycle.running import RunningService, running_services
from llactr.steps import Job, Step

__all__ = ["back", "describe", "describe_releases", "describe_served", "keep", "keep_profile", "releases", "run"]


def run(job: Job, dataset: str, *, bundle: str | None, because: str, by: str, anyway: bool = False) -> Promotion:
    """Makes a bundle the champion, by default the one trained last, once it is known that it can be served."""
    if bundle is None:
        folder = job.workspace.current(dataset).get(Step.TRAIN)
        if folder is None:
            raise NotReadyError(f"no bundle of {dataset!r} in {job.workspace.root}: run 'llactr train' first")
    else:
        folder = find_bundle(job.workspace, dataset, bundle)
    with job.terminal.step("promote") as advance:
        check_servable(job.workspace, dataset, folder, anyway=anyway)
        keep_profile(job, folder)
        made = promote(job.workspace, dataset, folder, because=because, by=by)
        advance(1, 1, made.champion)
    return made


def keep_profile(job: Job, folder: Path) -> None:
    """Sees to it that a bundle has a profile, unless it is an older one, whose training set is gone."""
    with contextlib.suppress(NotReadyError):
        _ = read_profile(folder) or write_profile(job.workspace, folder)


def back(job: Job, dataset: str, *, to: str | None, because: str, by: str) -> Promotion:
    """Makes the champion before the champion again, once it is known that it can be served."""
    target = rollback_target(promotions(job.workspace, dataset), dataset, to)
    with job.terminal.step("rollback") as advance:
        check_servable(job.workspace, dataset, job.workspace.artifact("bundles", target), anyway=True)
        made = rollback(job.workspace, dataset, to=to, because=because, by=by)
        advance(1, 1, made.champion)
    return made


def releases(job: Job, dataset: str) -> tuple[list[BundleState], list[Promotion]]:
    """The bundles with their states, and all that was promoted."""
    return bundle_states(job.workspace, dataset), promotions(job.workspace, dataset)


def keep(job: Job, dataset: str, bundle: str, *, pinned: bool) -> None:
    """Has a bundle kept whatever its state, or no longer."""
    pin(job.workspace, dataset, bundle, keep=pinned)


def describe(made: Promotion) -> str:
    """The change in a sentence."""
    before = f" in place of {made.previous}" if made.previous and made.previous != made.champion else ""
    figures = ", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in made.figures.items())
    return f"{made.champion} is the champion of {made.dataset}{before}; test: {figures or 'no figures'}"


def describe_served(job: Job, dataset: str) -> str:
    """What running services do about it; empty where none runs."""
    some = [one for one in running_services(job.workspace) if one.dataset == dataset]
    return "".join(f"\n{_service(one)}" for one in some)


def describe_releases(states: list[BundleState], log: list[Promotion]) -> str:
    """Bundles as a table, then the log, a line each."""
    lines = [f"{'state':<10} {'made (UTC)':<17} {'auc':>7} {'logloss':>8}  bundle"]
    for one in states:
        auc, logloss = (_number(one.figures.get(name)) for name in ("auc", "logloss"))
        notes = " (pinned)" * one.pinned + f" (damaged: {one.damaged})" * bool(one.damaged)
        lines.append(f"{one.state:<10} {one.made:%Y-%m-%d %H:%M}  {auc:>7} {logloss:>8}  {one.bundle}{notes}")
    for change in log:
        why = f": {change.because}" if change.because else ""
        lines.append(f"{change.when:%Y-%m-%d %H:%M:%S} {change.action} {change.champion} by {change.who}{why}")
    return "\n".join(lines)


def _service(one: RunningService) -> str:
    if one.follows:
        return f"the service {one.pid} on {one.machine} follows"
    return f"the service {one.pid} on {one.machine} was started with a bundle's name and stays with it"


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.4f}"
