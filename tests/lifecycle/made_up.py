"""Artifacts without content: manifests, names and a few bytes, as the steps leave them."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llactr.store.tables import SEMANTICS_SCHEMAS
from llactr.workspace import Workspace

START = datetime(2026, 1, 1, tzinfo=UTC)


class MadeUp:
    """A workspace of made-up artifacts of one dataset, each made an hour after the one before."""

    def __init__(self, root: Path, dataset: str = "shop") -> None:
        self.workspace, self.dataset = Workspace.at(root), dataset
        self._hours = 0
        folder = self.workspace.dataset(dataset)
        folder.mkdir(parents=True)
        (folder / "spec.yaml").write_text("name: shop\n")

    def artifact(self, kind: str, key: str, *, inputs: dict[str, str] | None = None, **result: Any) -> Path:
        folder = self.workspace.root / kind / f"{self.dataset}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {"step": kind, "key": key, "inputs": inputs or {}, "result": result, "created": self._moment()}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "content").write_bytes(b"x" * 100)
        return folder

    def encoded(self, version: str, *, adapter: str = "", values: bool = False) -> None:
        """A version of field vectors, or of value vectors, the artifact that made it, and its adapter."""
        if adapter:
            self.artifact("adapters", adapter)
        kind, table = ("value_semantics", "value_semantics") if values else ("semantics", "field_semantics")
        self.artifact(kind, f"of-{version}", inputs={"adapter": adapter}, version=version)
        name = f"{self.dataset}@{version}" + "@0" * values
        self._table(table, name, [])

    def states(self, version: str) -> None:
        """States of history of a version: files of both tables, and the definition."""
        for owner in ("user", "item"):
            folder = self.workspace.offline_table(self.dataset, f"{owner}_history")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{version}@00001-0a1b2c3d.parquet").write_bytes(b"x")
        home = folder.parent / "definitions" / version
        home.mkdir(parents=True)
        for path in (home, *folder.parent.glob(f"*/{version}@*")):
            os.utime(path, times=2 * (self._hours,))
        self._hours += 1

    def released(self, version: str) -> None:
        number = len(list((self.workspace.semantics_table("semantics_release")).glob("*.parquet"))) + 1
        moment = START + timedelta(days=number)
        row = {
            "dataset": self.dataset,
            "semantics_version": version,
            "event_timestamp": moment,
            "created_timestamp": moment,
        }
        self._table("semantics_release", f"{self.dataset}@{number:06d}", [row])

    def bundle(
        self, name: str, *, training_set: str, version: str, values: str | None = None, history: str | None = None
    ) -> Path:
        if not (self.workspace.root / "training_sets" / f"{self.dataset}-{training_set}").exists():
            self.artifact("training_sets", training_set)
        folder = self.workspace.root / "bundles" / name
        folder.mkdir(parents=True)
        facts = {
            "spec": {"name": self.dataset}, "semantics_version": version, "values_version": values,
            "history_version": history, "metrics": {"test": {"auc": 0.75, "logloss": 0.5, "rows": 10, "clicks": 3}},
        }  # fmt: skip
        (folder / "bundle.json").write_text(json.dumps(facts))
        manifest = {"step": "train", "key": name, "inputs": {"training_set": training_set}, "created": self._moment()}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def _table(self, table: str, name: str, rows: list[dict[str, Any]]) -> None:
        path = self.workspace.semantics_table(table) / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SEMANTICS_SCHEMAS[table]), path)

    def _moment(self) -> str:
        self._hours += 1
        return (START + timedelta(hours=self._hours)).isoformat()
