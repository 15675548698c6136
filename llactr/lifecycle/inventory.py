"""What a workspace holds: every artifact with its size, who needs it and why it is kept; two side by side; one removed.

An artifact is called KIND/NAME, such as `bundles/shop-fm-plain-3f2a`, or by its name alone where that is one of a kind.
`llactr.lifecycle.graph` says what needs what, `llactr.lifecycle.roots` what is kept for its own sake.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from llactr.errors import InputError, NotReadyError
from llactr.lifecycle.garbage import remove_node
from llactr.lifecycle.graph import Artifact, Graph, Node, size_bytes, workspace_graph
from llactr.lifecycle.roots import roots
from llactr.lifecycle.running import gate, running_services
from llactr.manifest import read_manifest
from llactr.store.tables import SEMANTICS_RELEASE
from llactr.workspace import Workspace

__all__ = ["DATASETS", "Difference", "Held", "Shown", "compare_artifacts", "list_artifacts", "remove", "show_artifact"]

DATASETS = "datasets"
_LONG = 12
_HARD = ("the champion", "pinned", "the latest of", "released")
"""Reasons that hold against a person's word too; that something is one of the newest is a rule of collecting alone."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Held(_Model):
    """Something that a workspace holds.

    Attributes:
        what: KIND/NAME.
        dataset: whose; empty where no dataset of the workspace is meant.
        bytes: on the disk.
        made: when.
        kept: why a garbage collection leaves it for its own sake; empty for none.
        needs, needed_by: what it cannot be used without, and what cannot be used without it.
    """

    what: str
    dataset: str
    bytes: int
    made: datetime
    kept: str
    needs: tuple[str, ...]
    needed_by: tuple[str, ...]


class Shown(Held):
    """One of them with what its manifest says: configuration, result, inputs, versions, cost; and its places."""

    places: tuple[Path, ...]
    facts: dict[str, Any]


class Difference(_Model):
    """A setting or figure that differs: its path in the manifests, and its value in each artifact (None: not there)."""

    name: str
    values: tuple[Any, ...]


def list_artifacts(workspace: Workspace, *, kind: str | None = None, dataset: str | None = None) -> tuple[Held, ...]:
    """Datasets and artifacts, by kind and, within, the newest first.

    Cost: a small file an artifact, and a look at the size of each file.

    Raises:
        InputError: there is nothing of that kind in any workspace.
        NotReadyError: there is no workspace.
    """
    graph, why = _graph(workspace)
    found = [_held(graph, node, why) for node in graph.nodes.values()]
    kinds = sorted({one.what.partition("/")[0] for one in found} | {DATASETS})
    if kind is not None and kind not in kinds:
        raise InputError(f"nothing of kind {kind!r} in {workspace.root}: choose one of {', '.join(kinds)}")
    wanted = [
        one for one in found if (kind is None or one.what.startswith(f"{kind}/")) and dataset in (None, one.dataset)
    ]
    newest = sorted(wanted, key=lambda one: one.made, reverse=True)
    return tuple(sorted(newest, key=lambda one: (one.what.partition("/")[0] != DATASETS, one.what.partition("/")[0])))


def show_artifact(workspace: Workspace, name: str) -> Shown:
    """All that is known of one artifact.

    Raises:
        InputError: there is none of that name, or several.
    """
    graph, why = _graph(workspace)
    node = _node(graph, name)
    held = _held(graph, node, why)
    return Shown(**held.model_dump(), places=node.paths, facts=_facts(node))


def compare_artifacts(workspace: Workspace, names: Sequence[str]) -> tuple[Difference, ...]:
    """What differs between artifacts of one kind: settings, versions, metrics, cost. Long lists are left out.

    Raises:
        InputError: there are fewer than two, there is none of a name, or they are of several kinds.
    """
    if len(names) < 2:
        raise InputError("give two artifacts or more to compare, such as two bundles that 'llactr list bundles' names")
    graph, _ = _graph(workspace)
    nodes = [_node(graph, name) for name in names]
    kinds = sorted({node.artifact.kind for node in nodes})
    if len(kinds) > 1:
        raise InputError(f"artifacts of one kind can be compared, these are {' and '.join(kinds)}")
    flat = [dict(_flat(_facts(node))) for node in nodes]
    keys = dict.fromkeys(key for one in flat for key in one)
    differing = [key for key in keys if len({repr(one.get(key)) for one in flat}) > 1]
    ordered = sorted(differing, key=lambda key: (not key.startswith(("result.metrics", "result.metric")), key))
    return tuple(Difference(name=key, values=tuple(one.get(key) for one in flat)) for key in ordered)


def remove(workspace: Workspace, names: Sequence[str], *, force: bool = False) -> tuple[Held, ...]:
    """Removes artifacts, or a dataset with all that was made of it; the caller holds the workspace.

    Args:
        workspace: where.
        names: of artifacts, or `datasets/NAME`.
        force: also what is live (a champion, pinned, released, the latest of a step), and what others need, with these.

    Returns:
        what was removed.

    Raises:
        InputError: one is not there, is in use by a running service, or is live or needed and `force` is not given;
            nothing was removed.
    """
    with gate(workspace):
        graph, why = _graph(workspace)
        doomed = _doomed(graph, [_node(graph, name) for name in names], force=force)
        _refuse_served(workspace, doomed)
        if not force:
            _refuse_kept(graph, doomed, why)
        gone = tuple(_held(graph, node, why) for node in doomed)
        for node in doomed:
            if node.artifact.kind == DATASETS:
                _remove_dataset(workspace, node)
            else:
                remove_node(node)
    return gone


def _graph(workspace: Workspace) -> tuple[Graph, dict[Artifact, str]]:
    """The graph with the datasets among its nodes, and why each artifact is kept."""
    if not workspace.root.is_dir():
        raise NotReadyError(f"no workspace {workspace.root}: run 'llactr ingest SPEC' first, or give --workspace")
    graph = workspace_graph(workspace)
    why = roots(workspace, graph)
    datasets = {Artifact(DATASETS, name): _dataset_node(workspace, name) for name in workspace.datasets()}
    needs = {
        one: graph.needs[one] | {Artifact(DATASETS, node.dataset)} if node.dataset else graph.needs[one]
        for one, node in graph.nodes.items()
    }
    return Graph({**datasets, **graph.nodes}, {**{one: frozenset() for one in datasets}, **needs}), why


def _dataset_node(workspace: Workspace, name: str) -> Node:
    folder = workspace.dataset(name)
    manifest = read_manifest(folder) or {}
    tables = workspace.offline_table(name, "events").parent
    served = workspace.offline_table(name, "served")
    paths = tuple(path for path in (tables, served, folder) if path.exists())
    made = datetime.fromtimestamp((folder / "spec.yaml").stat().st_mtime).astimezone()
    return Node(Artifact(DATASETS, name), name, paths, made, manifest)


def _node(graph: Graph, name: str) -> Node:
    kind, slash, rest = name.partition("/")
    found = [a for a in graph.nodes if (a.kind == kind and a.name == rest if slash else a.name == name)]
    if len(found) == 1:
        return graph.nodes[found[0]]
    if found:
        raise InputError(f"{name!r} is several: give one of {', '.join(map(str, sorted(found)))}")
    near = sorted(str(one) for one in graph.nodes if (rest or kind) in one.name and (not slash or one.kind == kind))[:5]
    hint = f"did you mean {', '.join(near)}?" if near else "'llactr list' names what there is"
    raise InputError(f"nothing called {name!r}: {hint}")


def _held(graph: Graph, node: Node, why: Mapping[Artifact, str]) -> Held:
    return Held(
        what=str(node.artifact),
        dataset=node.dataset,
        bytes=size_bytes(node),
        made=node.made,
        kept=why.get(node.artifact, ""),
        needs=tuple(sorted(map(str, graph.needs.get(node.artifact, ())))),
        needed_by=tuple(map(str, graph.needed_by(node.artifact))),
    )


def _facts(node: Node) -> dict[str, Any]:
    manifests = [read_manifest(path) for path in node.paths if path.is_dir()]
    found = next((one for one in manifests if one), None)
    return dict(found if found is not None else node.facts)


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif not isinstance(value, list) or (len(value) <= _LONG and not any(isinstance(one, dict) for one in value)):
            yield f"{prefix}{name}", value


def _doomed(graph: Graph, nodes: Sequence[Node], *, force: bool) -> list[Node]:
    """What goes, those that need others first; of a dataset, and with `force`, all that needs it too."""
    found: dict[Artifact, Node] = {}
    for node in nodes:
        if force or node.artifact.kind == DATASETS:
            found |= {one: graph.nodes[one] for one in graph.needed_by(node.artifact)}
        found[node.artifact] = node
    return sorted(found.values(), key=lambda node: (len(graph.needed_by(node.artifact)), node.artifact))


def _refuse_served(workspace: Workspace, doomed: Sequence[Node]) -> None:
    gone = {node.artifact.name for node in doomed if node.artifact.kind == "bundles"}
    for service in running_services(workspace):
        for folder in service.bundles:  # by name: a service may know the workspace by another path
            if folder.name in gone:
                raise InputError(
                    f"bundles/{folder.name} is in use by the service {service.pid} on {service.machine}: stop it first"
                )


def _refuse_kept(graph: Graph, doomed: Sequence[Node], why: Mapping[Artifact, str]) -> None:
    names = {node.artifact for node in doomed}
    of_datasets = {node.dataset for node in doomed if node.artifact.kind == DATASETS}
    for node in doomed:
        if node.dataset in of_datasets:
            continue  # asked for with its dataset
        others = [one for one in graph.needed_by(node.artifact) if one not in names]
        if others:
            raise InputError(f"{node.artifact} is needed by {', '.join(map(str, others))}: give --force to remove all")
        if why.get(node.artifact, "").startswith(_HARD):
            raise InputError(f"{node.artifact} is {why[node.artifact]}: give --force to remove it")


def _remove_dataset(workspace: Workspace, node: Node) -> None:
    """The dataset's own files; its spec goes last, so that what a kill leaves is still a dataset to remove."""
    name = node.artifact.name
    for path in sorted(workspace.semantics_table(SEMANTICS_RELEASE).glob(f"{name}@*.parquet")):
        path.unlink()
    extra = [workspace.root / "current" / name, workspace.root / "promotions" / name]
    for folder in [*extra, *node.paths]:
        if folder.is_dir():
            shutil.rmtree(folder)
