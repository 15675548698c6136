"""Writes a bundle for other programs; see `llactr.ctr.exports` for what there is."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from llactr.atomic import writing_folder
from llactr.ctr.bundle import Bundle
from llactr.ctr.exports import EXPORTS, ExportSource
from llactr.ctr.find import find_bundle
from llactr.errors import InputError
from llactr.pieces import ALONE, Workers
from llactr.workspace import Workspace

__all__ = ["FACTS", "ExportedBundle", "export_bundle"]

FACTS = "export.json"


class ExportedBundle(BaseModel):
    """What was exported: which bundle, in which format, where to, and how far a program's scores are from its own.

    Attributes:
        note: what else is to be known of it, in a sentence's part; empty for nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    format: str
    out: str
    files: tuple[str, ...]
    largest_difference: float | None
    note: str = ""

    @property
    def sentence(self) -> str:
        """All of it in a sentence."""
        gap = self.largest_difference
        checked = "" if gap is None else f", scores within {gap:.1e} of the bundle's"
        note = f"; {self.note}" if self.note else ""
        return f"{self.bundle} as {self.format} in {self.out}: {', '.join(self.files)}{checked}{note}"


def export_bundle(
    workspace: Workspace,
    dataset: str,
    bundle: str | None,
    *,
    to: str,
    out: Path,
    buckets: int | None = None,
    workers: Workers = ALONE,
) -> ExportedBundle:
    """Exports a bundle into a folder, which appears whole or not at all.

    `export.json` has the bundle's id, versions and metrics, and what its format says of itself.

    Args:
        workspace: where bundles lie by id.
        dataset: whose latest bundle is meant without a name.
        bundle: its name; see `llactr.ctr.find`.
        to: a name in `EXPORTS`.
        out: the folder; an earlier export there is replaced, anything else is not.
        buckets: for `training_set`: join the events in so many parts, by users, so that memory need not hold all.
        workers: who joins the buckets.

    Raises:
        InputError: there is no such format, its extra is not installed, the model is none that it can hold, or `out`
            holds something else.
        BundleError: there is no such bundle, or it is damaged.
        ConsistencyError: a program's scores differ from the bundle's by more than 1e-5.
    """
    write = EXPORTS[to]
    if buckets is not None and to != "training_set":
        raise InputError(f"the format {to} joins no rows: buckets go with training_set")
    if buckets is None and not workers.alone:
        raise InputError("workers join rows bucket by bucket: say how many with --buckets, four a worker or more")
    if out.exists() and not (out / FACTS).is_file():
        raise InputError(f"{out} is there already and is no export: give a folder that is not there")
    folder = find_bundle(workspace, dataset, bundle)
    loaded = Bundle.load(folder)
    with writing_folder(out.absolute()) as draft:
        facts = write(ExportSource(loaded, folder, workspace, buckets, workers), draft)
        common = {
            "bundle": folder.name, "format": to, "dataset": loaded.spec.name, "semantics_version": loaded.version,
            "values_version": loaded.values.version if loaded.values else None, "metrics": loaded.metrics,
        }  # fmt: skip
        (draft / FACTS).write_text(json.dumps(common | facts, indent=2, default=str) + "\n", encoding="utf-8")
        files = tuple(sorted(path.name for path in draft.iterdir()))
    gap, note = facts.get("largest_difference"), facts.get("note", "")
    return ExportedBundle(bundle=folder.name, format=to, out=str(out), files=files, largest_difference=gap, note=note)
