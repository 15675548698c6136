"""Who needs whom: the artifacts of a workspace, and what each cannot be used without.

The one notion of need: a garbage collection removes what nothing that is kept needs, and whoever removes an artifact
by hand is told what needs it. An artifact is a folder of a step, or the vectors of one semantics version.

```
bundle -> its training set                     evaluating and going on with the training
bundle -> field vectors, value vectors         scoring: online, and offline, of the versions that it is pinned to
bundle -> states of its history version        scoring, where its model reads history
vectors of a version -> what encoded them -> adapter      encoding new values for the same version
```

Evaluations and searches are results: they need nothing. Of an artifact whose manifest cannot be read nobody knows what
it needs: it is listed as damaged, and taken to need whatever it could.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from llactr.manifest import read_manifest
from llactr.store.history import known_versions
from llactr.store.tables import FIELD_SEMANTICS, VALUE_SEMANTICS
from llactr.workspace import Workspace

__all__ = ["FIELD_VECTORS", "STATES", "VALUE_VECTORS", "Artifact", "Graph", "Node", "size_bytes", "workspace_graph"]

FIELD_VECTORS, VALUE_VECTORS, STATES = "field_vectors", "value_vectors", "states"
_TABLES = {FIELD_VECTORS: FIELD_SEMANTICS, VALUE_VECTORS: VALUE_SEMANTICS}
_FOLDERS = (
    "bundles", "training_sets", "adapters", "semantics", "value_semantics", "evaluations", "evaluation_runs",
    "evaluation_values", "searches",
)  # fmt: skip
_PINNED = (
    (FIELD_VECTORS, "semantics_version"), (VALUE_VECTORS, "values_version"), (STATES, "history_version"),
)  # fmt: skip
_WITHOUT_MANIFEST = {"evaluation_runs"}
_COULD_NEED = {
    "bundles": ("training_sets", FIELD_VECTORS, VALUE_VECTORS, STATES), "semantics": ("adapters",),
    "value_semantics": ("adapters",),
}  # fmt: skip


class Artifact(NamedTuple):
    """What an artifact is called: the folder's kind and name, or `field_vectors` and `DATASET@VERSION`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Node:
    """One artifact.

    Attributes:
        artifact: its name.
        dataset: whose; empty where no dataset of the workspace is meant.
        paths: the files and folders that hold it.
        made: when, in UTC.
        facts: of a bundle its `bundle.json`, of another folder its manifest; empty where there is none.
        damaged: why what it needs is not known; empty for nothing.
    """

    artifact: Artifact
    dataset: str
    paths: tuple[Path, ...]
    made: datetime
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    damaged: str = ""


@dataclass(frozen=True)
class Graph:
    """All artifacts, and for each what it cannot be used without."""

    nodes: Mapping[Artifact, Node]
    needs: Mapping[Artifact, frozenset[Artifact]]

    def needed_by(self, artifact: Artifact) -> list[Artifact]:
        """Those that cannot be used without an artifact, directly or through others; sorted."""
        found: set[Artifact] = set()
        waiting = [artifact]
        while waiting:
            one = waiting.pop()
            new = {other for other, needed in self.needs.items() if one in needed} - found
            found |= new
            waiting += new
        return sorted(found - {artifact})

    def closure(self, roots: Iterable[Artifact]) -> dict[Artifact, Artifact]:
        """Everything that some artifacts need, they themselves included: artifact -> the root it is needed for."""
        found: dict[Artifact, Artifact] = {}
        for root in roots:
            waiting = [root]
            while waiting:
                one = waiting.pop()
                if one not in found:
                    found[one] = root
                    waiting += sorted(self.needs.get(one, frozenset()))
        return found

    def of(self, kind: str, dataset: str) -> list[Node]:
        """A dataset's artifacts of a kind, the newest first."""
        some = [node for node in self.nodes.values() if node.artifact.kind == kind and node.dataset == dataset]
        return sorted(some, key=lambda node: (node.made, node.artifact), reverse=True)


def workspace_graph(workspace: Workspace) -> Graph:
    """The graph of a workspace, read from manifests and names; nothing else of an artifact is opened.

    Cost: a small file an artifact.
    """
    datasets = workspace.datasets()
    nodes: dict[Artifact, Node] = {}
    for kind in _FOLDERS:
        for folder in sorted((workspace.root / kind).glob("[!.]*")):
            if folder.is_dir():
                node = _folder_node(workspace, Artifact(kind, folder.name), folder, datasets)
                nodes[node.artifact] = node
    for kind, table in _TABLES.items():
        for artifact, files in _versions(kind, workspace.semantics_table(table)).items():
            dataset = artifact.name.rpartition("@")[0]
            nodes[artifact] = Node(
                artifact, dataset if dataset in datasets else "", tuple(files), _changed(files[0]), {}
            )
    for dataset in datasets:
        for version in known_versions(workspace, dataset):
            files = _state_files(workspace, dataset, version)
            artifact = Artifact(STATES, f"{dataset}@{version}")
            nodes[artifact] = Node(artifact, dataset, tuple(files), max(_changed(path) for path in files))
    by_key: dict[tuple[str, str], set[Artifact]] = {}
    by_version: dict[tuple[str, str, str], set[Artifact]] = {}
    for artifact, node in nodes.items():
        by_key.setdefault((artifact.kind, str(node.facts.get("key"))), set()).add(artifact)
        made = _part(node.facts, "result").get("version")
        by_version.setdefault((artifact.kind, node.dataset, str(made)), set()).add(artifact)
    return Graph(nodes, {one: frozenset(_needs(node, nodes, by_key, by_version)) for one, node in nodes.items()})


def size_bytes(node: Node) -> int:
    """What an artifact takes on the disk; hard links count fully."""
    total = 0
    for path in node.paths:
        files = path.rglob("*") if path.is_dir() else [path]
        total += sum(one.lstat().st_size for one in files if one.is_symlink() or one.is_file())
    return total


def _folder_node(workspace: Workspace, artifact: Artifact, folder: Path, datasets: list[str]) -> Node:
    manifest = read_manifest(folder)
    made = _moment((manifest or {}).get("created")) or _changed(folder)
    if artifact.kind != "bundles":
        damaged = "" if manifest or artifact.kind in _WITHOUT_MANIFEST else "its manifest.json cannot be read"
        return Node(artifact, _dataset(artifact.name, datasets), (folder,), made, manifest or {}, damaged)
    paths = tuple(path for path in (folder, workspace.root / "checks" / artifact.name) if path.is_dir())
    try:
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        dataset, version = str(facts["spec"]["name"]), str(facts["semantics_version"])
    except (OSError, ValueError, KeyError, TypeError):
        guess = _dataset(artifact.name, datasets)
        return Node(artifact, guess, paths, made, {}, "its bundle.json cannot be read")
    kept = {"semantics_version": version, "values_version": facts.get("values_version")}
    kept |= {"history_version": facts.get("history_version")}
    kept |= {"inputs": _part(manifest or {}, "inputs"), "key": (manifest or {}).get("key")}
    damaged = "" if manifest else "its manifest.json cannot be read"
    return Node(artifact, dataset if dataset in datasets else "", paths, made, kept, damaged)


def _needs(
    node: Node,
    nodes: Mapping[Artifact, Node],
    by_key: Mapping[tuple[str, str], set[Artifact]],
    by_version: Mapping[tuple[str, str, str], set[Artifact]],
) -> set[Artifact]:
    kind, inputs = node.artifact.kind, _part(node.facts, "inputs")
    found: set[Artifact] = set()
    if node.damaged:
        could = {"training_sets"} if "semantics_version" in node.facts else set(_COULD_NEED.get(kind, ()))
        found |= {one for one, other in nodes.items() if one.kind in could and node.dataset in ("", other.dataset)}
    if kind == "bundles":
        found |= by_key.get(("training_sets", str(inputs.get("training_set"))), set())
        for pinned, fact in _PINNED:
            found.add(Artifact(pinned, f"{node.dataset}@{node.facts.get(fact)}"))
    elif kind in _TABLES:
        made_by = "semantics" if kind == FIELD_VECTORS else "value_semantics"
        found |= by_version.get((made_by, node.dataset, node.artifact.name.rpartition("@")[2]), set())
    elif kind in {"semantics", "value_semantics"} and inputs.get("adapter"):
        found |= by_key.get(("adapters", str(inputs["adapter"])), set())
    return {artifact for artifact in found if artifact in nodes}


def _versions(kind: str, table: Path) -> dict[Artifact, list[Path]]:
    """The files of each version: `DATASET@VERSION.parquet`, `DATASET@VERSION@PIECE.parquet`."""
    found: dict[Artifact, list[Path]] = {}
    for path in sorted(table.glob("[!.]*.parquet")):
        name = path.stem if kind == FIELD_VECTORS else path.stem.rpartition("@")[0]
        if "@" in name:
            found.setdefault(Artifact(kind, name), []).append(path)
    return found


def _state_files(workspace: Workspace, dataset: str, version: str) -> list[Path]:
    """The files of states of a version, and its definition, which comes last: without it the version is not known."""
    tables = [workspace.offline_table(dataset, f"{owner}_history") for owner in ("user", "item")]
    return [path for table in tables for path in sorted(table.glob(f"{version}[@-]*.parquet"))] + [
        tables[0].parent / "definitions" / version
    ]


def _dataset(name: str, datasets: list[str]) -> str:
    """Whose an artifact is by its name, `DATASET-...`; of two that fit the longer one."""
    return max((one for one in datasets if name.startswith(f"{one}-")), key=len, default="")


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, dict) else {}


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
