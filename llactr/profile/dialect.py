"""How a text file of cells is written: separator, quotes, header, names; found out from its first text."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from llactr.errors import DataError
from llactr.profile.shapes import MISSING

__all__ = ["Dialect", "sniff"]

_SEPARATORS = (",", "\t", ";", "|", "::", "\x01", ":", " ")
_TYPED = re.compile(r".+:(token|token_seq|float|float_seq)")


@dataclass(frozen=True)
class Dialect:
    """How a text file of cells is written.

    Attributes:
        separator: one character, or two.
        quote: the character around cells, empty where nothing is quoted; None where it makes no difference.
        header: whether the first line holds names.
        names: of the columns; made up where there is no header, or where it lacks or repeats one.
        given: the names as the file has them; empty without a header.
        encoding: as DuckDB calls it.
        skip: lines before the table, such as remarks.
        escape: the character before a quote within a cell that is none; by default the quote itself, twice.
    """

    separator: str = ","
    quote: str | None = None
    header: bool = True
    names: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    encoding: str = "utf-8"
    skip: int = 0
    escape: str = ""

    @property
    def plain(self) -> bool:
        """Whether a spec's source of format csv reads such a file as it stands."""
        usual = len(self.separator) == 1 and self.encoding == "utf-8" and not self.skip and not self.escape
        return self.header and self.names == self.given and usual


def sniff(text: str, encoding: str = "utf-8") -> Dialect:
    """How a file of cells is written, from its first text.

    Raises:
        DataError: the text has no line of cells.
    """
    lines = [line for line in text.splitlines() if line.strip()][:400]
    if not lines:
        raise DataError("the file has no lines")
    text, mark, escape = _quoting(text)
    separator = _separator(lines, _records(text))
    skip = _before(text, separator)
    text = "".join(text.splitlines(keepends=True)[skip:])
    lines = [line for line in text.splitlines() if line.strip()][:400]
    quote = _quote(text, lines, separator)
    if mark != '"' and quote != "":
        quote = mark
    rows = _rows(text, separator, quote)[:400]
    width = max(set(map(len, rows)), key=list(map(len, rows)).count)
    first = rows[0]
    header = _is_header(first, [row for row in rows[1:] if len(row) == width])
    given = tuple(first) if header else ()
    if header and all(map(_TYPED.fullmatch, first)):  # RecBole's `user_id:token`
        first = [name.rpartition(":")[0] for name in first]
    if header and len(first) == width - 1:  # R's row names have none
        first = ["", *first]
    names: list[str] = []
    for number in range(width):
        name = first[number].strip() if header and number < len(first) else ""
        name = "".join(char for char in name.replace(":", "_") if char.isprintable())[:100] or f"column_{number + 1}"
        while name.lower() in {other.lower() for other in names}:
            name += "_2"
        names.append(name)
    return Dialect(separator, quote, header, tuple(names), given, encoding, skip, escape)


def _quoting(text: str) -> tuple[str, str, str]:
    """The text with plain double quotes around its cells, the character that stands there, and what escapes it.

    Others than the usual are taken where they cut the lines more evenly: `\\"` within cells, as Spark and MySQL write
    it, and apostrophes around them.
    """
    if '\\"' in text:
        plain = text.replace('\\"', '""')
        if _evenness(plain) > _evenness(text):
            return plain, '"', "\\"
    if '"' not in text and text.count("'") >= 4:
        plain = text.replace("'", '"')
        if _evenness(plain) > _evenness(text) + 0.02:
            return plain, "'", ""
    return text, '"', ""


def _evenness(text: str) -> float:
    """Share of the rows that have as many cells as most; less where the first, which may hold the names, has others."""
    lines = [line for line in text.splitlines() if line.strip()][:400]
    rows = _rows(text, _separator(lines, _records(text)), None)[:400]
    widths = [len(row) for row in rows]
    usual = max(set(widths), key=widths.count)
    share = widths.count(usual) / len(widths) if usual > 1 else 0.0
    return share if widths[0] == usual else 0.9 * share


def _records(text: str) -> list[str]:
    """The same lines, those that quotes hold together as one: a review has lines of its own."""
    found: list[str] = []
    open_ = False
    for line in text.splitlines(keepends=True):
        if open_:
            found[-1] += line
        elif line.strip():
            found.append(line)
        open_ ^= line.count('"') % 2 == 1
        if len(found) == 401:
            break
    return found[:400]


def _before(text: str, separator: str) -> int:
    """Lines before the table: remarks, or the title of a report, which have no cells or begin with `#`."""
    counts = [line.count(separator) for line in text.splitlines()[:400]]
    cut = [count for count in counts if count]
    usual = max(set(cut), key=cut.count) if cut else 0
    first = next((at for at, count in enumerate(counts) if count >= max(usual - 1, 1)), 0)
    above = text.splitlines()[:first]
    remarks = all(not line.strip() or line.startswith("#") for line in above)
    apart = (
        usual >= 2 and all(count == 0 for count in counts[:first]) and cut.count(usual) >= 0.8 * (len(counts) - first)
    )
    return first if first <= 20 and (remarks or apart) and not any('"' in line for line in above) else 0


def _separator(lines: list[str], records: list[str]) -> str:
    """The separator that cuts lines, or what quotes hold together, into as many cells each; the more the better."""
    found = [_rated(lines)]
    if len(records) > 1 and any("\n" in record.rstrip("\r\n") for record in records):
        found.append(_rated(records))
    return max(found, key=lambda one: one[1])[0]


def _rated(lines: list[str]) -> tuple[str, float]:
    best, score = ",", 0.0
    for separator in _SEPARATORS:
        counts = [_count(line, separator) for line in lines]
        usual = max(set(counts), key=counts.count)
        if usual == 0:
            continue
        share = counts.count(usual) / len(counts)
        weight = 0.3 if separator in " :" else 1.1 if separator in "\t\x01" else 1.0  # prose has commas, no tabs
        rating = share**2 * weight * min(usual, 3) ** 0.3
        rating *= 1.0 if counts[0] == usual else 0.8  # the names are cut like the rows
        if rating > score * 1.02 and (share >= 0.6 or separator in ",\t;|"):
            best, score = separator, rating
    return best, score


def _count(line: str, separator: str) -> int:
    if '"' in line:
        line = re.sub(r'"(?:[^"]|"")*"', "", line)
    return line.count(separator)


def _rows(text: str, separator: str, quote: str | None) -> list[list[str]]:
    if len(separator) > 1 or quote == "":
        return [line.split(separator) for line in text.splitlines() if line.strip()]
    try:
        return [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    except csv.Error:
        return [line.split(separator) for line in text.splitlines() if line.strip()]


def _quote(text: str, lines: list[str], separator: str) -> str | None:
    """Empty where quote characters are letters like others: quoting then makes lines of odd numbers of cells."""
    if len(separator) > 1:
        return ""
    if '"' not in text:
        return None
    bare = [line.count(separator) for line in text.splitlines() if line.strip()]
    usual = max(set(bare), key=bare.count)
    quoted = [len(row) - 1 for row in _rows(text, separator, None)]
    usual_quoted = max(set(quoted), key=quoted.count)
    bare_fits, quoted_fits = bare.count(usual) / len(bare), quoted.count(usual_quoted) / len(quoted)
    if bare_fits >= 0.999 and (len(quoted) < len(bare) or quoted_fits < bare_fits):
        return ""
    return '"' if len(quoted) < len(bare) else None


def _some_named(cells: list[str], body: list[list[str]]) -> bool:
    """Whether words and whole numbers are names, as `click,purchase,101,121` of columns that hold numbers alone."""
    numbers = [cell for cell in cells if re.fullmatch(r"[1-9]\d*", cell)]
    named = [i for i, cell in enumerate(cells) if re.fullmatch(r"[^\W\d]\w*", cell) and cell.lower() not in MISSING]
    if len(named) < 2 or len(named) + len(numbers) < len(cells) or len(set(numbers)) < len(numbers) or not body:
        return False
    return all(re.fullmatch(r"[+-]?[\d.]*", row[i].strip()) for row in body for i in named if i < len(row))


def _is_header(first: list[str], body: list[list[str]]) -> bool:
    """Whether a first line holds names: no numbers or dates among them, and not what the lines below hold."""
    cells = [cell.strip() for cell in first]
    if any(re.fullmatch(r"[+-]?[\d.,]+([eE][+-]?\d+)?|\d{4}-\d\d-\d\d.*", cell) for cell in cells):
        return _some_named(cells, body)
    filled = [cell for cell in cells if cell]
    if not filled or len(filled) < 0.5 * len(cells):
        return False
    gaps = sum(cell.lower() in MISSING for cell in filled)
    columns = [[row[i].strip() for row in body if i < len(row)] for i in range(len(cells))]
    typed = [
        c for c in columns if c and sum(bool(re.fullmatch(r"[+-]?[\d.,:/ TZ+-]+", v)) for v in c if v) > 0.9 * len(c)
    ]
    if gaps > 1 or (gaps and not typed):  # one column may be called `null` or `none`
        return False
    again = sum(cell in set(column) for cell, column in zip(cells, columns, strict=True) if cell)
    if again > 0.34 * len(cells):
        return False
    named = all(len(cell) <= 60 and re.match(r"[^\W\d]|_|#", cell) for cell in filled)
    return named and (bool(typed) or not body or again == 0)
