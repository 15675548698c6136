"""Garbage: artifacts that nothing live, nothing pinned and no rule of retention needs, and their rows online."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from llactr.atomic import flush, left_over
from llactr.lifecycle.graph import FIELD_VECTORS, STATES, VALUE_VECTORS, Artifact, Node, size_bytes, workspace_graph
from llactr.lifecycle.roots import KEEP, roots
from llactr.lifecycle.running import gate
from llactr.store.ingested import dataset_spec
from llactr.store.names import PhysicalNames
from llactr.store.tables import FIELD_SEMANTICS, VALUE_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["Garbage", "Plan", "collect", "plan_garbage", "remove_artifacts", "remove_node"]

_VIEWS = {FIELD_VECTORS: FIELD_SEMANTICS, VALUE_VECTORS: VALUE_SEMANTICS}


class Garbage(BaseModel):
    """Something that goes, or stays: what, how large, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    what: str
    dataset: str
    bytes: int
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a collection would do.

    Attributes:
        removed, kept: with sizes and reasons, the largest first.
        nodes: of what is removed.
        drafts: files and folders that a process left which died while it wrote.
    """

    removed: tuple[Garbage, ...]
    kept: tuple[Garbage, ...]
    nodes: tuple[Node, ...]
    drafts: tuple[Path, ...]

    @property
    def freed_bytes(self) -> int:
        """What the removed artifacts take on the disk."""
        return sum(one.bytes for one in self.removed)


def plan_garbage(workspace: Workspace, *, keep: int = KEEP) -> Plan:
    """What nothing needs; `llactr.lifecycle.roots` says what is kept, `llactr.lifecycle.graph` who needs whom.

    Raises:
        BundleError, StepError: see `roots`.
    """
    graph = workspace_graph(workspace)
    kept = roots(workspace, graph, keep=keep)
    needed = graph.closure(kept)
    stay, go, nodes = [], [], []
    for artifact, node in graph.nodes.items():
        if artifact in needed:
            why = kept.get(artifact) or f"needed by {needed[artifact]} ({kept[needed[artifact]]})"
            stay.append(_entry(node, why))
        else:
            go.append(_entry(node, _no_need(artifact, graph.needed_by(artifact), keep)))
            nodes.append(node)
    return Plan(_largest(go), _largest(stay), tuple(nodes), tuple(left_over(workspace.root)))


def remove_artifacts(workspace: Workspace, *, keep: int = KEEP) -> Plan:
    """Removes the artifacts that nothing needs; the caller holds the workspace (`llactr.steps.exclusive`).

    What needs others goes before what it needs: killed between two, nothing is left that lacks something.

    Returns:
        the plan that was carried out.

    Raises:
        BundleError, StepError: see `plan_garbage`; nothing was removed.
    """
    with gate(workspace):
        plan = plan_garbage(workspace, keep=keep)
        order = {"bundles": 0, "value_vectors": 1, "field_vectors": 1, "semantics": 2, "value_semantics": 2}
        for node in sorted(plan.nodes, key=lambda one: order.get(one.artifact.kind, 3)):
            remove_node(node)
    return plan


def collect(workspace: Workspace, *, keep: int = KEEP) -> tuple[Plan, dict[str, int]]:
    """Removes what nothing needs, first artifacts, then rows online.

    The rows are those of versions that have no files any more: a run after a kill finds them again.

    Returns:
        the plan that was carried out, and how many rows of each view were taken out of the online store.

    Raises:
        BundleError, StepError: see `plan_garbage`; nothing was removed.
        StoreError: the online store does not answer; the files are removed, and another call removes the rows.
    """
    plan = remove_artifacts(workspace, keep=keep)
    if not workspace.datasets():
        return plan, {}
    from llactr.store.feast.expire import expire_versions  # feast, which `plan_garbage` does without

    there = workspace_graph(workspace).nodes
    alive = {view: {one.name for one in there if one.kind == kind} for kind, view in _VIEWS.items()}
    for dataset in workspace.datasets():
        states = {
            one.name.rpartition("@")[2] for one in there if one.name.startswith(f"{dataset}@") and one.kind == STATES
        }
        names = PhysicalNames(dataset_spec(workspace, dataset))
        alive |= {names.history_view(owner): states for owner in ("user", "item")}
    return plan, expire_versions(workspace, alive)


def remove_node(node: Node) -> None:
    """Removes an artifact: a folder is renamed first, so that a kill leaves no half of it under its name."""
    for path in node.paths:
        if path.is_dir():
            doomed = path.with_name(f".{path.name}.00000000.draft")
            shutil.rmtree(doomed, ignore_errors=True)
            path.rename(doomed)
            shutil.rmtree(doomed)
        else:
            path.unlink(missing_ok=True)
        flush(path.parent)


def _entry(node: Node, reason: str) -> Garbage:
    return Garbage(what=str(node.artifact), dataset=node.dataset, bytes=size_bytes(node), reason=reason)


def _largest(some: Sequence[Garbage]) -> tuple[Garbage, ...]:
    return tuple(sorted(some, key=lambda one: (-one.bytes, one.what)))


def _no_need(artifact: Artifact, needed_by: Sequence[Artifact], keep: int) -> str:
    if artifact.kind == "bundles":
        return f"retired, and not one of the {keep} newest"
    if needed_by:
        return f"only needed by {needed_by[0]}, which is removed too"
    return "nothing needs it"
