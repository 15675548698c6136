"""Why an artifact is kept: what is live, what may become live, what somebody keeps, and what the next step reads."""

from __future__ import annotations

from llactr.ctr.find import champion_of
from llactr.lifecycle.graph import FIELD_VECTORS, STATES, Artifact, Graph
from llactr.lifecycle.promotions import bundle_states
from llactr.lifecycle.running import running_services
from llactr.store.releases import releases
from llactr.workspace import Workspace

__all__ = ["KEEP", "roots"]

KEEP = 3
"""Retired bundles, evaluations and the like that are kept of each dataset, the newest ones."""

_NEWEST = ("evaluations", "evaluation_runs", "evaluation_values", "searches")


def roots(workspace: Workspace, graph: Graph, *, keep: int = KEEP) -> dict[Artifact, str]:
    """The artifacts that are kept for their own sake -> why.

    - the champion, candidates, pinned bundles, those of running services, and the newest `keep` retired ones;
    - what `current/` points to: the next step reads it;
    - field vectors that a release names: training rows refer to them;
    - the newest states of history;
    - the newest `keep` evaluations, models of evaluations, and searches;
    - everything of a dataset that is not in the workspace (it cannot be told what needs it).

    Raises:
        BundleError: the log of promotions cannot be read.
        StepError: a service is running whose entry cannot be read.
    """
    found: dict[Artifact, str] = {}

    def say(artifact: Artifact, reason: str) -> None:
        if artifact in graph.nodes:
            found.setdefault(artifact, reason)

    for service in running_services(workspace):
        for folder in service.bundles:  # by name: a service may know the workspace by another path
            say(Artifact("bundles", folder.name), f"in use by the service {service.pid} on {service.machine}")
    for dataset in workspace.datasets():
        champion = champion_of(workspace, dataset)
        retired = 0
        for one in bundle_states(workspace, dataset):
            bundle = Artifact("bundles", one.bundle)
            if one.bundle == champion:
                say(bundle, "the champion")
            elif one.pinned:
                say(bundle, "pinned")
            elif one.state == "candidate":
                say(bundle, "a candidate")
            elif retired < keep:
                retired += 1
                say(bundle, f"one of the {keep} newest retired bundles")
        for step, folder in workspace.current(dataset).items():
            say(Artifact(folder.parent.name, folder.name), f"the latest of {step}")
        for release in releases(workspace, dataset):
            say(Artifact(FIELD_VECTORS, f"{dataset}@{release.version}"), "released: training rows refer to it")
        for node in graph.of(STATES, dataset)[:1]:
            say(node.artifact, "the newest states")  # a view over no file at all cannot be read
        for kind in _NEWEST:
            for node in graph.of(kind, dataset)[:keep]:
                say(node.artifact, f"one of the {keep} newest of {kind}")
    for artifact, node in graph.nodes.items():
        if not node.dataset:
            say(artifact, "of no dataset of this workspace")
        elif node.damaged and artifact.kind != "bundles":
            say(artifact, f"{node.damaged}: what needs it is not known")
    return found
