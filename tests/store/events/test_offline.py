"""Logged events become events of the dataset, each once; a push without a service does both."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from llactr.datasets import table_files
from llactr.datasets.ingest import write_offline_tables
from llactr.errors import DataError
from llactr.lifecycle.forgetting.tables import forget_in_tables
from llactr.manifest import hash_once
from llactr.spec import DatasetSpec, load_spec
from llactr.store import events_table
from llactr.store.events import EventLog, LoggedEvent
from llactr.store.events.files import read_events
from llactr.store.events.offline import positions_in, take_in, taken_files
from llactr.store.events.pushing import push_and_take_in
from llactr.workspace import Workspace
from tests.jobs.tiny_dataset import write_dataset

FIRST, STEP = 1_700_000_000, 977
LAST_US = (FIRST + STEP * 899) * 1_000_000


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    spec = load_spec(write_dataset(folder))
    write_offline_tables(spec, Workspace.at(folder / "ws"), folder)
    return folder / "ws"


@pytest.fixture
def place(ingested: Path, tmp_path: Path) -> tuple[Workspace, DatasetSpec]:
    import shutil

    shutil.copytree(ingested, tmp_path / "ws")
    workspace = Workspace.at(tmp_path / "ws")
    return workspace, load_spec(workspace.dataset("tiny") / "spec.yaml")


def event(number: int, outcome: float = 1.0, device: str | None = "phone") -> LoggedEvent:
    return LoggedEvent(
        "p1", f"d{number}", LAST_US + number * 1_000_000, outcome, {"device": device} if device else None
    )


def write(workspace: Workspace, *events: LoggedEvent) -> None:
    with EventLog(workspace, "tiny").writer() as writer:
        writer.append(events)


def test_logged_events_are_taken_in_once(place: tuple[Workspace, DatasetSpec]) -> None:
    workspace, spec = place
    before = events_table(workspace, spec)
    write(workspace, event(2, 0.0), event(1), event(1, 0.0))
    write(workspace, event(1), event(3, device=None))
    summary = take_in(workspace, spec)
    assert summary is not None
    assert summary.new_rows["events"] == 3
    table = events_table(workspace, spec)
    added = table.slice(before.num_rows).to_pylist()
    assert [(row["dish"], row["label"], row["device"]) for row in added] == [
        ("d1", 1.0, "phone"),
        ("d2", 0.0, "phone"),
        ("d3", 1.0, None),
    ]
    assert take_in(workspace, spec) is None
    assert events_table(workspace, spec).equals(table)


def test_a_process_that_died_in_between_takes_nothing_in_twice(
    place: tuple[Workspace, DatasetSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, spec = place

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    write(workspace, event(1))
    for moment in ("announce_description", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(f"llactr.datasets.append.{moment}", killed)
            with pytest.raises(Killed):
                take_in(workspace, spec)
    write(workspace, event(2))
    take_in(workspace, spec)
    table = events_table(workspace, spec)
    assert table["dish"].to_pylist()[-2:] == ["d1", "d2"]
    assert table.num_rows == len({tuple(row.values()) for row in table.to_pylist()})
    files = {path.name: path for path in workspace.offline_table("tiny", "events").glob("*.parquet")}
    assert len(files) == 2
    digests = [hash_once(path) for path in files.values()]
    ends = EventLog(workspace, "tiny").segments()
    assert positions_in(workspace, "tiny", digests) == ends
    assert len(taken_files(workspace, "tiny")) >= 1


def test_a_push_into_a_dataset_without_history_is_an_event_of_it(place: tuple[Workspace, DatasetSpec]) -> None:
    workspace, spec = place
    found = push_and_take_in(workspace, spec, [event(1), event(2), event(1)])
    assert found == {"events": 3, "repeated": None, "versions": [], "taken_in": 2}
    assert push_and_take_in(workspace, spec, []) == {"events": 0, "repeated": None, "versions": [], "taken_in": 0}


@pytest.mark.parametrize(
    ("time", "said"),
    [(FIRST * 1_000_000 - 1, "before the dataset's first event"), (10**16, "lies ahead")],
)
def test_events_that_cannot_be_the_datasets_are_refused(
    place: tuple[Workspace, DatasetSpec], time: int, said: str
) -> None:
    workspace, spec = place
    with pytest.raises(DataError, match=said):
        push_and_take_in(workspace, spec, [event(1), LoggedEvent("p1", "d1", time, 1.0)])
    assert EventLog(workspace, "tiny").segments() == {}


ROWS = [
    {"person": "p1", "dish": "d1", "device": "phone", "event_timestamp": "2023-12-20T12:00:00+00:00", "outcome": 1},
    {"person": "p2", "dish": "7", "device": None, "event_timestamp": "2023-12-20T13:30:00.25+01:00", "outcome": 0},
]
EXPECTED = [
    LoggedEvent("p1", "d1", 1_703_073_600_000_000, 1.0, {"device": "phone"}),
    LoggedEvent("p2", "7", 1_703_075_400_250_000, 0.0, None),
]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_files_of_events_are_read_alike(place: tuple[Workspace, DatasetSpec], tmp_path: Path, kind: str) -> None:
    _, spec = place
    path = tmp_path / f"events.{kind}"
    table = pa.Table.from_pylist(ROWS)
    if kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in ROWS))
    elif kind == "csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table.rename_columns(["label" if n == "outcome" else n for n in table.column_names]), path)
    assert read_events(spec, path) == EXPECTED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome": 2}, "row 1 has the outcome '2': expected 0 or 1"),
        ({"outcome": None}, "row 1 has the outcome None"),
        ({"label": 1}, "has 2 columns of outcomes"),
        ({"stars": 4}, "column 'stars', which is not asked for"),
        ({"event_timestamp": "yesterday"}, "no time with a zone"),
        ({"person": None}, "has no 'person', which is a join key"),
    ],
)
def test_files_that_are_no_events_are_refused(
    place: tuple[Workspace, DatasetSpec], tmp_path: Path, change: dict[str, object], said: str
) -> None:
    _, spec = place
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(ROWS[0] | change))
    with pytest.raises(DataError, match=said):
        read_events(spec, path)


def test_a_user_who_was_forgotten_does_not_come_back(place: tuple[Workspace, DatasetSpec]) -> None:
    workspace, spec = place
    push_and_take_in(workspace, spec, [event(1), LoggedEvent("p2", "d1", LAST_US + 9_000_000, 1.0)])
    ends = EventLog(workspace, "tiny").segments()
    EventLog(workspace, "tiny").forget_users({"p1"})
    forget_in_tables(workspace, spec, ["p1"])
    digests = [hash_once(path) for path in table_files(workspace.offline_table("tiny", "events"))]
    assert positions_in(workspace, "tiny", digests) == ends, "the file was written anew and is known all the same"
    assert take_in(workspace, spec) is None
    assert "p1" not in events_table(workspace, spec)["person"].to_pylist()
