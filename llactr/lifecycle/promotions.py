"""Which bundle is live: a log of promotions, one file each, and the states that follow from it.

`promotions/DATASET/000001.json` is written once and never changed; the champion is what the last record says, so that a
promotion is one link() and a kill leaves the one before. A bundle is

- the **champion**: promoted last;
- **retired**: champion once, or passed over when another was promoted after it was trained;
- a **candidate**: neither; trained since.

A rollback goes to the champion before, and a second one to the one before that: of champions a stack is kept, on which
a promotion puts one and from which a rollback takes one.
"""

from __future__ import annotations

import getpass
import json
import math
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.atomic import add_file, write_text
from llactr.ctr.find import promotion_files
from llactr.errors import BundleError, InputError, NotReadyError, StepError
from llactr.lifecycle.graph import Artifact, Node, workspace_graph
from llactr.manifest import is_sealed, sealed
from llactr.workspace import Workspace

__all__ = [
    "BundleState", "Promotion", "State", "bundle_states", "pin", "pinned", "promote", "promotions", "rollback",
    "rollback_target",
]  # fmt: skip

State = Literal["champion", "candidate", "retired"]


class Promotion(BaseModel):
    """One change of the champion.

    Attributes:
        champion: from then on.
        previous: until then; None for none.
        stack: champions that a rollback leads to, the next one last.
        passed_over: bundles that were candidates until then.
        who, when, because: the login name and machine, the moment (UTC), the reason given.
        figures: what training measured of the champion; see `llactr.ctr.training.fit.TrainMetrics`.
        semantics_version, values_version: that the champion is pinned to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int
    action: Literal["promote", "rollback"]
    dataset: str
    champion: str
    previous: str | None
    stack: tuple[str, ...]
    passed_over: tuple[str, ...]
    who: str
    when: datetime
    because: str
    figures: dict[str, float | int | None]
    semantics_version: str
    values_version: str | None


class BundleState(BaseModel):
    """A bundle of the workspace and where it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    state: State
    made: datetime
    pinned: bool
    semantics_version: str | None
    values_version: str | None
    figures: dict[str, float | int | None]
    damaged: str = ""


def promotions(workspace: Workspace, dataset: str) -> list[Promotion]:
    """All records, oldest first.

    Raises:
        BundleError: one cannot be read, or is not what was written.
    """
    found = []
    for path in promotion_files(workspace, dataset):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if not is_sealed(content):
                raise ValueError("it is not what was written")
            found.append(Promotion.model_validate({k: v for k, v in content.items() if k in Promotion.model_fields}))
        except (OSError, ValueError, TypeError, AttributeError, ValidationError) as error:
            raise BundleError(
                f"the record {path} of a promotion cannot be read ({type(error).__name__}): restore it from a copy, "
                "or remove it"
            ) from None
    return found


def promote(workspace: Workspace, dataset: str, bundle: Path, *, because: str = "", by: str = "") -> Promotion:
    """Makes a bundle of the workspace the champion; promoting the champion again adds no record.

    Args:
        workspace: where.
        dataset: whose.
        bundle: the folder, as `find_bundle` gives it; it is taken as checked (`llactr.lifecycle.readiness`).
        because: why, in a few words.
        by: who; by default the login name.

    Raises:
        BundleError: the bundle is damaged, of another dataset, or lies elsewhere.
    """
    node = _bundle_node(workspace, dataset, bundle)
    past = promotions(workspace, dataset)
    if past and past[-1].champion == bundle.name:
        return past[-1]
    states = bundle_states(workspace, dataset)
    over = [one.bundle for one in states if one.state == "candidate" and one.bundle != bundle.name]
    stack = (*past[-1].stack, past[-1].champion) if past else ()
    return _record(workspace, dataset, node, "promote", past, stack=stack, over=over, because=because, by=by)


def rollback(
    workspace: Workspace, dataset: str, *, to: str | None = None, because: str = "", by: str = ""
) -> Promotion:
    """Makes the champion before the champion again, or an earlier one.

    Args:
        workspace: where.
        dataset: whose.
        to: a former champion; by default the one before.
        because, by: see `promote`.

    Raises:
        NotReadyError: there is no champion before.
        InputError: `to` was never champion.
        BundleError: its bundle is gone or damaged.
    """
    past = promotions(workspace, dataset)
    target = rollback_target(past, dataset, to)
    node = _bundle_node(workspace, dataset, workspace.artifact("bundles", target))
    if past[-1].champion == target:
        return past[-1]
    stack = past[-1].stack
    stack = stack[: len(stack) - 1 - stack[::-1].index(target)] if target in stack else (*stack, past[-1].champion)
    return _record(workspace, dataset, node, "rollback", past, stack=stack, over=(), because=because, by=by)


def rollback_target(past: Sequence[Promotion], dataset: str, to: str | None) -> str:
    """The bundle that a rollback leads to; see `rollback`."""
    if not past:
        raise NotReadyError(f"no bundle of {dataset!r} was ever promoted: run 'llactr promote' first")
    if to is None:
        if not past[-1].stack:
            raise NotReadyError(
                f"there is no champion of {dataset!r} before {past[-1].champion!r}: promote another bundle, or name a "
                "former champion with --to"
            )
        return past[-1].stack[-1]
    former = list(dict.fromkeys(one.champion for one in past))
    if to not in former:
        raise InputError(
            f"{to!r} was never the champion of {dataset!r}: choose one of {', '.join(former)}, or promote it"
        )
    return to


def bundle_states(workspace: Workspace, dataset: str) -> list[BundleState]:
    """The bundles of a dataset and their states, the newest first."""
    graph, past = workspace_graph(workspace), promotions(workspace, dataset)
    champion = past[-1].champion if past else None
    retired = {name for one in past for name in (one.champion, *one.passed_over)}
    kept = pinned(workspace, dataset)
    found = []
    for node in graph.of("bundles", dataset):
        name = node.artifact.name
        state: State = "champion" if name == champion else "retired" if name in retired else "candidate"
        found.append(
            BundleState(
                bundle=name,
                state=state,
                made=node.made,
                pinned=name in kept,
                semantics_version=node.facts.get("semantics_version"),
                values_version=node.facts.get("values_version"),
                figures=_figures(node.paths[0]),
                damaged=node.damaged,
            )
        )
    return found


def pinned(workspace: Workspace, dataset: str) -> frozenset[str]:
    """The bundles that are kept whatever their state."""
    return frozenset(path.name for path in _pins(workspace, dataset).glob("[!.]*"))


def pin(workspace: Workspace, dataset: str, bundle: str, *, keep: bool) -> None:
    """Has a bundle kept from now on, or no longer.

    Raises:
        BundleError: there is no such bundle to keep.
    """
    if not keep:
        if bundle not in pinned(workspace, dataset):
            raise InputError(f"{bundle!r} is not pinned: 'llactr releases' lists what is")
        (_pins(workspace, dataset) / bundle).unlink()
        return
    _bundle_node(workspace, dataset, workspace.artifact("bundles", bundle))
    write_text(_pins(workspace, dataset) / bundle, f"{_who('')}\n")


def _pins(workspace: Workspace, dataset: str) -> Path:
    return workspace.root / "promotions" / dataset / "pinned"


def _bundle_node(workspace: Workspace, dataset: str, folder: Path) -> Node:
    """The node of a bundle that can be promoted or kept."""
    graph = workspace_graph(workspace)
    node = graph.nodes.get(Artifact("bundles", folder.name))
    known = workspace.root / "bundles"
    if node is not None and folder.parent == known and "semantics_version" not in node.facts:
        raise BundleError(f"the bundle {folder} is damaged: {node.damaged}; restore it from a copy, or train again")
    if node is None or folder.parent != known or node.dataset != dataset:
        names = ", ".join(one.artifact.name for one in graph.of("bundles", dataset)) or "none"
        raise BundleError(
            f"no bundle {folder.name!r} of {dataset!r} in {known}: choose one of {names}; one that lies elsewhere is "
            "served with --bundle"
        )
    return node


def _record(
    workspace: Workspace,
    dataset: str,
    node: Node,
    action: Literal["promote", "rollback"],
    past: Sequence[Promotion],
    *,
    stack: tuple[str, ...],
    over: Sequence[str],
    because: str,
    by: str,
) -> Promotion:
    made = Promotion(
        number=past[-1].number + 1 if past else 1,
        action=action,
        dataset=dataset,
        champion=node.artifact.name,
        previous=past[-1].champion if past else None,
        stack=stack,
        passed_over=tuple(over),
        who=_who(by),
        when=datetime.now(UTC),
        because=because,
        figures=_figures(node.paths[0]),
        semantics_version=str(node.facts["semantics_version"]),
        values_version=node.facts.get("values_version"),
    )
    text = json.dumps(sealed(made.model_dump(mode="json")), indent=1, ensure_ascii=False) + "\n"
    place = workspace.root / "promotions" / dataset / f"{made.number:06d}.json"
    if not add_file(place, lambda draft: draft.write_text(text, encoding="utf-8")):
        raise StepError(f"another process promoted a bundle of {dataset!r} at the same moment: look, and try again")
    return made


def _who(by: str) -> str:
    if by:
        return by
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without an entry
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _figures(folder: Path) -> dict[str, float | int | None]:
    """What a bundle says of its test split, flat: the numbers of `metrics.test`."""
    try:
        metrics: Any = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))["metrics"]
        test = dict(metrics["test"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    numbers = {k: v for k, v in test.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {k: v if math.isfinite(v) else None for k, v in numbers.items()}
