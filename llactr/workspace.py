"""The workspace folder: where each kind of artifact lives, and how one comes into being whole or not at all."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from llactr import atomic
from llactr.errors import InputError, NotReadyError
from llactr.objects import refuse_place

__all__ = ["WORKSPACE_VARIABLE", "Workspace"]

WORKSPACE_VARIABLE = "LLACTR_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """Paths under one root. Nothing is created until something is written."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> Workspace:
        """The workspace at `path`, else at `$LLACTR_WORKSPACE`, else at `.llactr`; always absolute.

        Raises:
            InputError: it is on `s3://`.
        """
        chosen = path or os.environ.get(WORKSPACE_VARIABLE) or ".llactr"
        refuse_place(chosen, "the workspace")
        return cls(Path(chosen).expanduser().absolute())

    def dataset(self, name: str) -> Path:
        """What ingest knows of a dataset: its resolved spec (`spec.yaml`), source files, and manifest."""
        return self.root / "datasets" / name

    def offline_table(self, name: str, table: str) -> Path:
        """A dataset's offline table: a directory of Parquet files that grows by new files.

        `table` is `events`, `user` or `item`; or what is no ingest's to replace and therefore lies apart: `served`, the
        log of the service, and `user_history` and `item_history`, the states of keys.
        """
        if table == "served":
            return self.root / "served" / name
        if table in {"user_history", "item_history"}:
            return self.root / "states" / name / table
        return atomic.standing(self.root / "offline" / name) / table

    def semantics_table(self, table: str) -> Path:
        """An offline table shared by all datasets: `field_semantics` or `semantics_release`."""
        return self.root / "offline" / "semantics" / table

    @property
    def feast(self) -> Path:
        """Feast's registry and the SQLite online store."""
        return self.root / "feast"

    def artifact(self, kind: str, key: str) -> Path:
        """An immutable artifact: kind is `adapters`, `semantics`, `training_sets`, `bundles`, `evaluations`..."""
        return atomic.standing(self.root / kind / key)

    def current(self, dataset: str) -> dict[str, Path]:
        """The latest artifact of each step for a dataset: step -> folder. Empty before the first step.

        A pointer that is damaged, or whose folder is gone, is left out; running its step again sets it.
        """
        found = {}
        for pointer in sorted(self._pointers(dataset).glob("[!.]*")):
            try:
                folder = self.root / pointer.read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                continue
            if folder != self.root and atomic.standing(folder).is_dir():
                found[pointer.name] = atomic.standing(folder)
        return found

    def set_current(self, dataset: str, step: str, folder: Path) -> None:
        """Makes `folder` the latest artifact of a step. Each step has a file of its own: none can spoil another's."""
        atomic.write_text(self._pointers(dataset) / step, f"{folder.relative_to(self.root)}\n")

    def _pointers(self, dataset: str) -> Path:
        return self.root / "current" / dataset

    def datasets(self) -> list[str]:
        """Names of the datasets that have been ingested, sorted."""
        return sorted(path.parent.name for path in (self.root / "datasets").glob("*/spec.yaml"))

    def chosen_dataset(self, name: str | None = None) -> str:
        """The dataset meant: the one named, else the only one ingested.

        Raises:
            NotReadyError: there is none at all.
            InputError: there is none of that name, or there are several and none is named.
        """
        known = self.datasets()
        if not known:
            raise NotReadyError(f"the workspace {self.root} holds no dataset: run 'llactr ingest SPEC' first")
        if name is None and len(known) > 1:
            raise InputError(f"the workspace holds several datasets: give --dataset, one of {', '.join(known)}")
        if name is not None and name not in known:
            raise InputError(f"no dataset {name!r} in {self.root}: it holds {', '.join(known)}")
        return name or known[0]

    def writing(self, target: Path) -> AbstractContextManager[Path]:
        """A fresh folder beside `target` that takes its place when the block ends well, and vanishes otherwise.

        An existing `target` stays until the new one is complete; see `llactr.atomic`.
        """
        return atomic.writing_folder(target)
