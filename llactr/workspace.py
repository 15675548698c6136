"""The workspace folder: where each kind of artifact lives, and how one comes into being whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["WORKSPACE_VARIABLE", "Workspace"]

WORKSPACE_VARIABLE = "LLACTR_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """Paths under one root. Nothing is created until something is written."""

    root: Path

    @classmethod
    def at(cls, path: str | Path | None = None) -> Workspace:
        """The workspace at `path`, else at `$LLACTR_WORKSPACE`, else at `.llactr`; always absolute."""
        return cls(Path(path or os.environ.get(WORKSPACE_VARIABLE) or ".llactr").expanduser().absolute())

    def dataset(self, name: str) -> Path:
        """What ingest knows of a dataset: its resolved spec (`spec.yaml`), source files, and manifest."""
        return self.root / "datasets" / name

    def offline_table(self, name: str, table: str) -> Path:
        """A dataset's offline table: a directory of Parquet files that grows by new files.

        `table` is `events`, `user` or `item`.
        """
        return self.root / "offline" / name / table

    def semantics_table(self, table: str) -> Path:
        """An offline table shared by all datasets: `field_semantics` or `semantics_release`."""
        return self.root / "offline" / "semantics" / table

    @property
    def feast(self) -> Path:
        """Feast's registry and the SQLite online store."""
        return self.root / "feast"

    def artifact(self, kind: str, key: str) -> Path:
        """An immutable artifact: kind is `adapters`, `semantics`, `training_sets`, `bundles`, `evaluations`..."""
        return self.root / kind / key

    def current(self, dataset: str) -> dict[str, Path]:
        """The latest artifact of each step for a dataset: step -> folder. Empty before the first step."""
        try:
            pointers = json.loads(self._pointers(dataset).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {step: self.root / folder for step, folder in pointers.items() if (self.root / folder).is_dir()}

    def set_current(self, dataset: str, step: str, folder: Path) -> None:
        """Makes `folder` the latest artifact of a step."""
        pointers = {name: str(path.relative_to(self.root)) for name, path in self.current(dataset).items()}
        pointers[step] = str(folder.relative_to(self.root))
        target = self._pointers(dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{uuid.uuid4().hex[:8]}")
        draft.write_text(json.dumps(pointers, indent=2), encoding="utf-8")
        draft.replace(target)

    def _pointers(self, dataset: str) -> Path:
        return self.root / "current" / f"{dataset}.json"

    def datasets(self) -> list[str]:
        """Names of the datasets that have been ingested, sorted."""
        return sorted(path.parent.name for path in (self.root / "datasets").glob("*/spec.yaml"))

    @contextlib.contextmanager
    def writing(self, target: Path) -> Iterator[Path]:
        """A fresh folder beside `target` that takes its place when the block ends well, and vanishes otherwise.

        An existing `target` stays until the new one is complete.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}"
        draft.mkdir()
        try:
            yield draft
            old = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
            if target.exists():
                target.rename(old)
            draft.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
