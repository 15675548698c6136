"""Scoring of files: the same scores as row by row, from Parquet, CSV and SQL; point in time from the offline store."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from llactr.ctr.batch_scoring import RequestTimes, open_scorer, score_file, score_table
from llactr.ctr.bundle import Bundle
from llactr.datasets.row_batches import RowSource
from llactr.errors import DataError, InputError
from llactr.store.ingested import dataset_spec
from tests.api.conftest import shop, ws  # noqa: F401
from tests.jobs.conftest import llactr as command  # noqa: F401

T0 = 1_700_000_000


@pytest.fixture
def rows() -> pa.Table:
    """50 requests of known and unknown people and dishes, with a position of their own."""
    return pa.table(
        {
            "person": [f"p{n % 31}" for n in range(50)],
            "dish": [f"d{n % 21}" for n in range(50)],
            "device": ["phone", "desk"] * 25,
            "event_timestamp": pa.array(
                [datetime.fromtimestamp(T0 + 3600 * n, UTC) for n in range(50)], pa.timestamp("us", "UTC")
            ),
            "position": pa.array(range(50), pa.int16()),
            "note": ["n"] * 50,
        }
    )


def scored(ws, source: RowSource, out: Path, *, at: str | None = None, keep: tuple[str, ...] = (), batch_rows: int = 7):  # noqa: F811
    times = RequestTimes(at)
    scorer = open_scorer(ws.workspace, "tiny", None, times)
    return score_file(scorer, source, out, times=times, keep=keep, batch_rows=batch_rows)


@pytest.mark.parametrize("kind", ["parquet", "folder", "csv", "jsonl", "sql", "database"])
def test_every_source_gives_the_scores_of_its_rows_one_by_one(ws, rows, tmp_path, kind):  # noqa: F811
    spec = dataset_spec(ws.workspace, "tiny")
    text = rows.set_column(
        3, "event_timestamp", pa.array([one.isoformat() for one in rows["event_timestamp"].to_pylist()])
    )
    sql = None
    path: Path | None = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(rows, path, row_group_size=10)
    elif kind == "folder":
        path.mkdir()
        pq.write_table(rows.slice(0, 20), path / "a.parquet")
        pq.write_table(rows.slice(20), path / "b.parquet")
    elif kind == "csv":
        pa_csv.write_csv(text, path)
    elif kind == "jsonl":
        lines = [
            json.dumps({name: row[name] for name in ("person", "dish", "device", "event_timestamp", "position")})
            for row in text.to_pylist()
        ]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif kind == "sql":
        pq.write_table(rows, tmp_path / "rows.parquet")
        path, sql = None, f"SELECT * FROM '{tmp_path / 'rows.parquet'}' ORDER BY position"
    else:
        with duckdb.connect(str(path)) as connection:
            connection.register("given", rows)
            connection.execute("CREATE TABLE requests AS SELECT * FROM given")
        sql = "SELECT * FROM requests ORDER BY position"
    made = scored(ws, RowSource(spec, path, sql), tmp_path / "out.parquet", keep=("position",))
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["dish", "person", "event_timestamp", "position", "score"]
    assert [int(one) for one in found["position"].to_pylist()] == list(range(50))
    alone = ws.scorer()
    wanted = ("person", "dish", "device", "event_timestamp")
    one_by_one = [alone.score(rows.select(wanted).slice(n, 1))[0] for n in range(50)]
    assert np.allclose(found["score"].to_numpy(), one_by_one, atol=1e-6)
    assert made.rows == 50
    assert made.features == "online"
    assert made.ignored == (() if kind == "jsonl" else ("note",))
    assert made.out_of_vocabulary["person"] == sum(n % 31 == 30 for n in range(50))


def test_features_are_those_of_each_rows_time(ws, rows, shop, tmp_path):  # noqa: F811
    """Two versions of a person, a month apart: rows before and after the change see different ages."""
    from llactr.workspace import Workspace

    at = Workspace.at(shop / "shop").offline_table("tiny", "user")
    people = pq.read_table(next(iter(sorted(at.glob("*.parquet")))))
    changed = T0 + 3600 * 25
    row = people.filter(pa.compute.equal(people["person"], "p3")).slice(0, 1)
    later = row.set_column(
        row.column_names.index("event_timestamp"),
        "event_timestamp",
        pa.array([datetime.fromtimestamp(changed, UTC)], row["event_timestamp"].type),
    ).set_column(row.column_names.index("age"), "age", pa.array([99.0]).cast(row["age"].type))
    pq.write_table(later, at / "late.parquet")
    try:
        asked = pa.table(
            {"person": ["p3", "p3"], "dish": ["d1", "d1"], "device": ["desk", "desk"], "at": [changed - 1, changed]}
        )
        pq.write_table(asked, tmp_path / "rows.parquet")
        spec = dataset_spec(ws.workspace, "tiny")
        scored(ws, RowSource(spec, tmp_path / "rows.parquet"), tmp_path / "out.parquet", at="at")
        found = pq.read_table(tmp_path / "out.parquet")
        bundle = Bundle.load(ws.workspace.current("tiny")["train"])
        dish = pq.read_table(next(iter(ws.workspace.offline_table("tiny", "item").glob("*.parquet"))))
        tags = dict(zip(dish["dish"].to_pylist(), dish["tags"].to_pylist(), strict=True))["d1"]
        raw = {"person": "p3", "job": row["job"][0].as_py(), "dish": "d1", "tags": tags, "device": "desk"}
        times = [datetime.fromtimestamp(changed, UTC) - timedelta(seconds=1), datetime.fromtimestamp(changed, UTC)]
        ages = [float(row["age"][0].as_py()), 99.0]
        by_hand = pa.table(
            {name: [value] * 2 for name, value in raw.items()}
            | {"age": ages, "event_timestamp": pa.array(times, pa.timestamp("us", "UTC"))}
        )
        assert np.allclose(found["score"].to_numpy(), bundle.score(by_hand), atol=1e-6)
        assert found["event_timestamp"].to_pylist() == times
        moment = times[0].isoformat()
        scored(ws, RowSource(spec, tmp_path / "rows.parquet"), tmp_path / "out.parquet", at=moment)
        same = pq.read_table(tmp_path / "out.parquet")
        assert same["score"].to_pylist() == [found["score"][0].as_py()] * 2
        given = asked.drop_columns(["at"])
        times_of = RequestTimes(times[0])
        table = score_table(open_scorer(ws.workspace, "tiny", None, times_of), given, times_of)
        assert table.scores[0] == pytest.approx(found["score"][0].as_py(), abs=1e-6)
    finally:
        (at / "late.parquet").unlink()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.slice(0, 0), {}, "holds no rows"),
        (lambda t: t.drop_columns(["dish"]), {}, "the rows have no 'dish'"),
        (lambda t: t, {"keep": ("gone",)}, "--keep gone: there is no such column"),
        (lambda t: t, {"keep": ("score",)}, "would hide the scores"),
        (lambda t: t, {"at": "tomorrow"}, "'tomorrow', which is neither a time nor a column"),
        (lambda t: t, {"at": "2024-01-01"}, "has no zone"),
        (lambda t: t.append_column("when", pa.array([None] * 50, pa.int64())), {"at": "when"}, "has no time in 7 rows"),
        (lambda t: t.append_column("note", t["note"]), {}, "twice"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_leaves_no_file(ws, rows, tmp_path, change, options, message):  # noqa: F811
    pq.write_table(change(rows), tmp_path / "rows.parquet")
    spec = dataset_spec(ws.workspace, "tiny")
    with pytest.raises((DataError, InputError), match=message):
        scored(ws, RowSource(spec, tmp_path / "rows.parquet"), tmp_path / "out.parquet", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet"]


def test_sources_that_cannot_be_read_are_refused(ws, tmp_path):  # noqa: F811
    spec = dataset_spec(ws.workspace, "tiny")
    with pytest.raises(InputError, match="give the rows to score"):
        RowSource(spec, None)
    with pytest.raises(DataError, match="no file"):
        RowSource(spec, tmp_path / "gone.parquet")
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        RowSource(spec, tmp_path).table()
    with pytest.raises(DataError, match=r"the query cannot be read \(Parser Error"):
        RowSource(spec, None, "SELEC 1").table()
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read"):
        RowSource(spec, tmp_path / "cut.parquet").table()


def test_the_command_scores_a_file_keeps_a_column_and_names_what_it_ignores(shop, rows, tmp_path, command):  # noqa: F811
    pq.write_table(rows, tmp_path / "rows.parquet")
    out = tmp_path / "out.parquet"
    answer = command(
        "score", tmp_path / "rows.parquet", "--out", out, "--keep", "position", "--workspace", shop / "shop", "--json"
    )
    assert answer.code == 0, answer.err
    assert answer.json["rows"] == pq.read_metadata(out).num_rows == 50
    assert "columns that are not asked for were ignored: note" in answer.err
    printed = command(
        "score",
        "--sql",
        f"SELECT person, dish, device, event_timestamp FROM '{tmp_path / 'rows.parquet'}' LIMIT 3",
        "--workspace",
        shop / "shop",
    )
    assert [float(line) for line in printed.out.split()] == pytest.approx(
        pq.read_table(out)["score"].to_pylist()[:3], abs=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--row", "{}", "--sql", "SELECT 1"), "a file, --sql, or --row"),
        (("--row", "{}", "--keep", "x"), "--keep goes with --out"),
        (("--row", "{}", "--out", "x.parquet"), "--out with a file or --sql"),
        (("gone.parquet",), "no file gone.parquet"),
    ],
)
def test_the_command_refuses(shop, command, arguments, message):  # noqa: F811
    answer = command("score", *arguments, "--workspace", shop / "shop")
    assert answer.code == 2
    assert message in " ".join(answer.err.split())
