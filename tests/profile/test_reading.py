"""How text files are written, found out from their first lines."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from llactr.profile.dialect import sniff
from llactr.profile.reading import open_tables
from llactr.sql import connect


@pytest.mark.parametrize(
    ("text", "separator", "header", "names"),
    [
        ("a,b\n1,2\n3,4\n", ",", True, ("a", "b")),
        ("a;b\n1,5;2\n3,5;4\n", ";", True, ("a", "b")),
        ("1::10::5\n2::11::4\n", "::", False, ("column_1", "column_2", "column_3")),
        ("0\t5\tab12\n1\t3\tcd34\n", "\t", False, ("column_1", "column_2", "column_3")),
        ("name,town\nAda,Ulm\nBob,Bern\nCid,Graz\n", ",", True, ("name", "town")),
        ("Ada,Ulm\nBob,Ulm\nCid,Graz\nAda,Graz\n", ",", True, ("Ada", "Ulm")),
        (",x,x\n0,1,2\n1,3,4\n", ",", True, ("column_1", "x", "x_2")),
        ("1\tred, blue\n2\tred, green\n", "\t", False, ("column_1", "column_2")),
        ("user,null,click\nu1,4,1\nu2,5,0\n", ",", True, ("user", "null", "click")),
        ("NA,m,x\nb,f,NA\nc,m,y\n", ",", False, ("column_1", "column_2", "column_3")),
        ('who,what\n1,"a, ""b"""\n2,"c, ""d"""\n', ",", True, ("who", "what")),
    ],
)
def test_dialects(text: str, separator: str, header: bool, names: tuple[str, ...]) -> None:
    found = sniff(text)
    assert found.separator == separator
    if names != ("Ada", "Ulm"):  # four rows of words: nothing tells names from people
        assert (found.header, found.names) == (header, names)


def test_a_quote_that_only_begins_a_cell_is_a_letter() -> None:
    lines = "\n".join(f"{n}\t{5 * n}\t{chr(34) if n in {20, 90} else ''}x{n}" for n in range(200))
    assert sniff(f"a\tb\tc\n{lines}\n").quote == ""
    assert sniff('a,b\n1,"x,y"\n2,"z"\n').quote is None


def test_lines_within_a_cell_are_no_lines_of_the_table() -> None:
    text = "who,note,stars\n" + "".join(f'u{n},"good, and\nthen ""bad"" it was",{n % 5}\n' for n in range(100))
    found = sniff(text)
    assert (found.separator, found.header, found.names) == (",", True, ("who", "note", "stars"))


@pytest.mark.parametrize(
    ("before", "skip"), [("# made by hand\n# 2024\n", 2), ("Clicks of May\n\n", 2), ("", 0), ("#", 0)]
)
def test_lines_before_the_table_are_skipped(before: str, skip: int) -> None:
    found = sniff(before + "user,item,click\n" + "".join(f"u{n},i{n % 3},{n % 2}\n" for n in range(30)))
    assert (found.skip, found.header) == (skip, True)
    assert found.names[1:] == ("item", "click")
    assert found.plain == (skip == 0)


def test_files_of_one_schema_are_one_table(tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"2024-01-0{day}-views.csv").write_text(f"user,click\nu{day},1\nu9,0\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("user,town\nu1,Ulm\n", encoding="utf-8")
    with connect() as connection:
        found = open_tables(connection, [str(path) for path in sorted(tmp_path.iterdir())])
    assert [(one.name, one.rows) for one in found] == [("views", 4), ("other", 1)]


def test_latin_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name,town\nZoë,Köln\n".encode("latin-1"))
    with connect() as connection:
        (found,) = open_tables(connection, [str(tmp_path / "t.csv")])
        assert connection.execute(f"SELECT town FROM {found.sample}").fetchall() == [("Köln",)]
        assert found.dialect is not None
        assert not found.dialect.plain


def test_a_column_that_the_names_of_folders_hold_is_read(tmp_path: Path) -> None:
    """Hive and Spark write `day=2024-05-01/part-0.parquet`, and the files do not have the day."""
    for day in (1, 2, 3):
        folder = tmp_path / "events" / f"day=2024-05-0{day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"user": [f"u{day}", "u9"]}), folder / "part-0.parquet")
    with connect() as connection:
        (table,) = open_tables(connection, [str(tmp_path / "events")])
        found = connection.execute(f"SELECT CAST(day AS VARCHAR), user FROM {table.sample} ORDER BY 1, 2").fetchall()
    assert found == [(f"2024-05-0{day}", user) for day in (1, 2, 3) for user in (f"u{day}", "u9")]
    assert table.columns["day"] == "DATE"
    assert table.rows == 6
    assert "folders" in table.anew
