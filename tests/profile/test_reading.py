"""How text files are written, found out from their first lines."""

from __future__ import annotations

from pathlib import Path

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
