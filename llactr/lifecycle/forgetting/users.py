"""Forgets users, step by step; each step may be done again, so that a command that was killed is simply run again."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from llactr.atomic import write_text
from llactr.ctr.forget import forget_in_bundle, holds_keys
from llactr.errors import InputError
from llactr.lifecycle.forgetting.receipts import Receipt, announce_cleared, begin_receipt
from llactr.lifecycle.forgetting.tables import forget_in_files, forget_in_tables, forget_values, tables_hold
from llactr.lifecycle.graph import Node, workspace_graph
from llactr.lifecycle.running import running_services
from llactr.spec import DatasetSpec
from llactr.steps import Advance
from llactr.store.events import EventLog
from llactr.store.history import has_snapshots, known_definitions, known_versions, write_snapshots, write_states
from llactr.store.ingested import dataset_spec
from llactr.transforms import Transform
from llactr.workspace import Workspace

__all__ = ["forget_users", "read_keys"]

_HELD_BY = ("training_sets", "evaluation_runs", "evaluation_values")
"""Artifacts that hold users' rows, or weights of theirs, and that the next step makes anew."""
_LEARNED = ("bundles", "adapters", *_HELD_BY)
_SERVICE_S = 30.0


def read_keys(given: Collection[str], file: Path | None) -> tuple[str, ...]:
    """The keys of some users: those given, and those in a file, one a line.

    Raises:
        InputError: there are none, or the file cannot be read.
    """
    keys = [key for key in given if key]
    if file is not None:
        try:
            keys += [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the file {file} cannot be read ({error}): give a text file with a user a line") from None
    if not keys:
        raise InputError("nobody is named: give --user ID, or --file with a user a line")
    return tuple(dict.fromkeys(keys))


def forget_users(
    workspace: Workspace,
    dataset: str,
    keys: Collection[str],
    *,
    advance: Advance = lambda done, total, note: None,
    wait_s: float = _SERVICE_S,
) -> Receipt:
    """Removes users from all that the workspace and its online store hold; the caller holds the workspace.

    In this order: the log of pushed events; the tables of events and users; states of history, made anew without their
    events; value vectors; the online store; training sets and models of evaluations; bundles, whose vocabularies and
    weights are written anew; running services, which load the bundle again and forget what they hold; the log of served
    features; the log of commands, and the report.

    Args:
        workspace: where.
        dataset: whose users.
        keys: the users' join keys, as the tables hold them.
        advance: told how far it is.
        wait_s: how long running services may take to confirm.

    Returns:
        the receipt, which is kept.

    Raises:
        InputError: the dataset has no users.
        DataError, BundleError: a file that may speak of them cannot be read.
        StoreError: the online store does not answer.
    """
    spec = dataset_spec(workspace, dataset)
    if "user" not in spec.entities:
        raise InputError(f"dataset {dataset!r} has no entity 'user': there is nobody to forget")
    receipt = begin_receipt(workspace, dataset, keys, _seen_by(workspace, spec, keys))
    wanted = {spec.entities["user"].join_key: keys}
    log = EventLog(workspace, dataset)
    steps: list[tuple[str, Callable[[], dict[str, int]]]] = [
        ("event log", lambda: {"event log": log.forget_users(set(keys))}),
        ("tables", lambda: forget_in_tables(workspace, spec, keys)),
        ("states of history", lambda: _states(workspace, spec, wanted)),
        ("value vectors", lambda: {"value_vectors": forget_values(workspace, spec, keys)}),
        ("online store", lambda: _online(workspace, spec, keys)),
        ("training sets", lambda: _artifacts(workspace, dataset, receipt)),
        ("bundles", lambda: _bundles(workspace, dataset, keys)),
    ]
    for number, (name, step) in enumerate(steps):
        advance(number, len(steps) + 2, name)
        receipt = receipt.with_removed(step())
        receipt.save(workspace)
    advance(len(steps), len(steps) + 2, "running services")
    announce_cleared(workspace, dataset, receipt.number)
    left = _wait_for_services(workspace, dataset, receipt.number, wait_s)
    advance(len(steps) + 1, len(steps) + 2, "logs")
    served = forget_in_files(workspace.offline_table(dataset, "served"), wanted)
    receipt = receipt.with_removed({"served log": served, "command log": _command_log(workspace, keys)})
    _remove(workspace.root / "reports" / dataset)
    for half_done in sorted((workspace.root / "replays" / "running").glob(f"{dataset}-*")):
        _remove(half_done)  # models of a walk that was killed
    left += [
        "the sources, and copies of them under downloads/: take the users out there too, or a new ingest brings them"
    ]
    if any(name.startswith(("bundles/", "adapters/")) for name in receipt.had_seen):
        left += ["what bundles and adapters learned from the users' rows beside their own numbers: train anew"]
    receipt = receipt.finished(left)
    receipt.save(workspace)
    return receipt


def _online(workspace: Workspace, spec: DatasetSpec, keys: Collection[str]) -> dict[str, int]:
    from llactr.store import materialize  # feast
    from llactr.store.events.filling import filling_again
    from llactr.store.feast.expire import expire_users

    removed = expire_users(workspace, spec, keys)
    if known_versions(workspace, spec.name):
        with filling_again():  # items' states, also those that hold pushed events of these users
            materialize(workspace)
    return {f"online {view}": count for view, count in removed.items()}


def _seen_by(workspace: Workspace, spec: DatasetSpec, keys: Collection[str]) -> list[str]:
    """The artifacts that may have learned from users' rows: all, where a table holds one; else those that list them.

    A training set does not tell whose rows it holds: of users who are rare, or came late, no vocabulary knows.
    """
    nodes = [node for kind in _LEARNED for node in workspace_graph(workspace).of(kind, spec.name)]
    if tables_hold(workspace, spec, keys):
        return [str(node.artifact) for node in nodes]
    listed = [
        str(node.artifact)
        for node in nodes
        if (node.paths[0] / "transform").is_dir()
        and holds_keys(Transform.load(node.paths[0] / "transform"), spec, keys)
    ]
    if not any(name.startswith("training_sets/") for name in listed):
        return listed
    return listed + [str(node.artifact) for node in nodes if node.artifact.kind.startswith("evaluation_")]


def _states(workspace: Workspace, spec: DatasetSpec, wanted: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Removes users' states; the items', which remember who came, are made anew of the events that are left."""
    removed = forget_in_files(workspace.root / "states" / spec.name, wanted)
    if known_versions(workspace, spec.name):
        for definition in known_definitions(workspace, spec.name):
            write_states(workspace, spec, definition)
            if has_snapshots(workspace, spec.name, definition.version):
                write_snapshots(workspace, spec, definition)
    return {"states": removed}


def _artifacts(workspace: Workspace, dataset: str, receipt: Receipt) -> dict[str, int]:
    """Removes what holds rows of users, or weights of theirs."""
    removed: dict[str, int] = {}
    for node in _nodes(workspace, dataset, _HELD_BY):
        if str(node.artifact) in receipt.had_seen:
            for path in node.paths:
                _remove(path)
            removed[node.artifact.kind] = removed.get(node.artifact.kind, 0) + 1
    return removed


def _bundles(workspace: Workspace, dataset: str, keys: Collection[str]) -> dict[str, int]:
    values = sum(forget_in_bundle(workspace, node.paths[0], keys) for node in _nodes(workspace, dataset, ("bundles",)))
    return {"values of bundles": values}


def _nodes(workspace: Workspace, dataset: str, kinds: Collection[str]) -> Iterator[Node]:
    graph = workspace_graph(workspace)
    for kind in kinds:
        yield from graph.of(kind, dataset)


def _wait_for_services(workspace: Workspace, dataset: str, number: int, wait_s: float) -> list[str]:
    """Waits until running services have dropped what they hold; says which have not."""
    deadline = time.monotonic() + wait_s
    while True:
        late = [one for one in running_services(workspace) if one.dataset == dataset and one.cleared < number]
        if not late or time.monotonic() > deadline:
            return [
                f"the memory of the service {one.pid} on {one.machine}, which has not confirmed: restart it, and run "
                "this again"
                for one in late
            ]
        time.sleep(0.2)


def _command_log(workspace: Workspace, keys: Collection[str]) -> int:
    """Takes lines that name a user out of `llactr.log`."""
    named = re.compile("|".join(rf"(?<!\w){re.escape(key)}(?!\w)" for key in sorted(keys, key=len, reverse=True)))
    removed = 0
    for path in sorted(workspace.root.glob("llactr.log*")):
        with contextlib.suppress(UnicodeDecodeError):
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            # The time and process that a line begins with are no names.
            kept = [line for line in lines if not named.search(re.sub(r"^[\d\-:, ]+", "", line))]
            if len(kept) < len(lines):
                write_text(path, "".join(kept))
                removed += len(lines) - len(kept)
    return removed


def _remove(path: Path) -> None:
    """Removes a folder; it is renamed first, so that a kill leaves no half of it under its name."""
    if path.is_dir():
        doomed = path.with_name(f".{path.name}.00000000.draft")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed)
