"""Ingest and append, cut off at every step: the next command ends where an undisturbed one ends; nothing is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr import atomic
from llactr.datasets import append_offline_tables, table_files, tables_stand, write_offline_tables
from llactr.errors import DataError
from llactr.manifest import file_hash, read_manifest
from llactr.pending import NOTE, settle
from llactr.spec import DatasetSpec
from llactr.workspace import Workspace

SpecOf = Callable[..., DatasetSpec]


class Killed(BaseException):
    """Ends a call as a kill would, as far as the files are concerned."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, place: str, *, after: int = 0) -> Iterator[None]:
    calls = 0

    def kill(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        return real(*given, **named)

    module, name = place.rsplit(".", 1)
    real = getattr(__import__(module, fromlist=[name]), name)
    with monkeypatch.context() as patch:
        patch.setattr(place, kill)
        try:
            yield
        except Killed:
            return
    pytest.fail(f"{place} was not reached")


def _state(workspace: Workspace) -> dict[str, Any]:
    """Everything that later steps read: tables by content, and the description but for its date."""
    manifest = read_manifest(workspace.dataset("clicks")) or {}
    described = {name: part for name, part in manifest.items() if name not in {"created", "result", "appended"}}
    offline = workspace.offline_table("clicks", "events").parent
    tables = {str(path.relative_to(offline)): file_hash(path) for path in sorted(offline.rglob("*.parquet"))}
    left = [path.name for path in workspace.root.rglob(".*")]
    return {"manifest": described, "tables": tables, "left": left, "files": manifest.get("tables")}


@pytest.fixture
def other(clicks: Path, tmp_path: Path) -> Path:
    """The same sources with other stars."""
    folder = tmp_path / "other"
    shutil.copytree(clicks, folder)
    log = pq.ParquetFile(folder / "log.parquet").read()
    pq.write_table(log.set_column(2, "stars", pa.array([1, 5, 3, 2, 5, 2])), folder / "log.parquet")
    return folder


@pytest.mark.parametrize("place", ["llactr.atomic._exchange", "llactr.datasets.ingest.finish", "llactr.atomic.flush"])
def test_re_ingest_killed_between_its_renames(
    clicks: Path,
    other: Path,
    clicks_spec: SpecOf,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    spec = clicks_spec()
    undisturbed = Workspace.at(tmp_path / "undisturbed")
    for folder in (clicks, other):
        write_offline_tables(spec, undisturbed, folder)
    write_offline_tables(spec, workspace, clicks)
    before = _state(workspace)
    with killed(monkeypatch, place):
        write_offline_tables(spec, workspace, other)
    assert table_files(workspace.offline_table("clicks", "events")), "there are tables at every moment"
    settle(workspace.root)
    atomic.sweep(workspace.root)
    assert tables_stand(workspace, "clicks"), "tables and description belong together"
    assert _state(workspace) in (before, _state(undisturbed))
    write_offline_tables(spec, workspace, other)
    assert _state(workspace) == _state(undisturbed)


def test_new_tables_under_an_old_description_do_not_stand(
    clicks: Path, other: Path, clicks_spec: SpecOf, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_offline_tables(clicks_spec(), workspace, clicks)
    assert tables_stand(workspace, "clicks")
    with killed(monkeypatch, "llactr.datasets.ingest.finish"):
        write_offline_tables(clicks_spec(), workspace, other)
    (workspace.dataset("clicks") / NOTE).unlink()
    assert not tables_stand(workspace, "clicks")
    write_offline_tables(clicks_spec(), workspace, clicks)
    assert tables_stand(workspace, "clicks")
    shutil.rmtree(workspace.offline_table("clicks", "user"))
    assert not tables_stand(workspace, "clicks")


@pytest.mark.parametrize(
    ("place", "after"),
    [("llactr.datasets.append.announce_description", 0), ("llactr.datasets.append.finish", 0),
     ("llactr.pending.publish", 0), ("llactr.pending.publish", 1), ("llactr.pending.write_text", 1)],
)  # fmt: skip
def test_append_killed_before_its_manifest(
    clicks: Path,
    clicks_spec: SpecOf,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    after: int,
) -> None:
    spec = clicks_spec(entities={"user": {"join_key": "uid", "source": "users"}, "item": {"join_key": "iid"}},
                       fields=[f for f in clicks_spec().model_dump(mode="json")["fields"] if f["owner"] != "item"])  # fmt: skip
    more = tmp_path / "more"
    more.mkdir()
    log = {"uid": [9], "iid": ["a"], "stars": [5], "at": [900], "device": ["tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    pq.write_table(pa.table({"uid": [9], "age": [7.0], "city": ["Ulm"]}), more / "users.parquet")
    at = spec_time()
    undisturbed = Workspace.at(tmp_path / "undisturbed")
    for place_of in (workspace, undisturbed):
        write_offline_tables(spec, place_of, clicks)
    append_offline_tables(spec, undisturbed, more, written=at)
    before = _state(workspace)
    with killed(monkeypatch, place, after=after):
        append_offline_tables(spec, workspace, more, written=at)
    settle(workspace.root)
    atomic.sweep(workspace.root)
    found, whole = _state(workspace), _state(undisturbed)
    assert found["tables"] in (before["tables"], whole["tables"]), "all new rows or none"
    append_offline_tables(spec, workspace, more, written=at)
    assert _state(workspace) == whole


def spec_time() -> Any:
    import datetime as dt

    return dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


@pytest.fixture
def grown(clicks: Path, clicks_spec: SpecOf, workspace: Workspace, tmp_path: Path) -> Workspace:
    """The dataset with one event appended."""
    more = tmp_path / "more"
    more.mkdir()
    log = {"uid": [1], "iid": ["a"], "stars": [5], "at": [900], "device": ["tv"]}
    pq.write_table(pa.table(log), more / "log.parquet")
    write_offline_tables(clicks_spec(), workspace, clicks)
    append_offline_tables(clicks_spec(), workspace, more)
    return workspace


def _described(clicks_spec: SpecOf) -> DatasetSpec:
    fields = clicks_spec().model_dump(mode="json")["fields"]
    fields[0]["description"] = "who it is, in other words"
    return clicks_spec(fields=fields)


def test_re_ingest_after_a_change_of_one_description_keeps_appended_rows(
    grown: Workspace, clicks: Path, clicks_spec: SpecOf
) -> None:
    before = _state(grown)["tables"]
    summary = write_offline_tables(_described(clicks_spec), grown, clicks)
    assert summary.rows == 6  # five of the source, whose label rule drops one, and the one appended
    assert _state(grown)["tables"] == before
    assert summary.fields[0].description == "who it is, in other words"
    assert (grown.dataset("clicks") / "spec.yaml").read_text().count("in other words") == 1
    assert tables_stand(grown, "clicks")


def test_re_ingest_that_would_drop_appended_rows_is_refused(
    grown: Workspace, clicks: Path, other: Path, clicks_spec: SpecOf
) -> None:
    before = _state(grown)
    with pytest.raises(DataError, match=r"appended rows that the sources lack \(1 of events\), .*: add them to the so"):
        write_offline_tables(clicks_spec(), grown, other)
    assert _state(grown) == before
    assert write_offline_tables(clicks_spec(), grown, other, drop_appended=True).rows == 5
    assert "appended" not in (read_manifest(grown.dataset("clicks")) or {})


def test_re_ingest_of_sources_that_hold_the_appended_rows_is_not_refused(
    grown: Workspace, clicks: Path, clicks_spec: SpecOf
) -> None:
    log = pq.ParquetFile(clicks / "log.parquet").read()
    row = {"uid": [1], "iid": ["a"], "stars": [5], "at": [900], "device": ["tv"]}
    pq.write_table(pa.concat_tables([log, pa.table(row, schema=log.schema)]), clicks / "log.parquet")
    assert write_offline_tables(clicks_spec(), grown, clicks).rows == 6
    assert len(table_files(grown.offline_table("clicks", "events"))) == 1


def test_re_ingest_leaves_the_served_log_alone(clicks: Path, clicks_spec: SpecOf, workspace: Workspace) -> None:
    write_offline_tables(clicks_spec(), workspace, clicks)
    log = workspace.offline_table("clicks", "served") / "one.parquet"
    log.parent.mkdir(parents=True)
    log.touch()
    write_offline_tables(clicks_spec(), workspace, clicks)
    assert log.is_file()
