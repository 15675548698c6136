"""What the texts of a column are: numbers, moments, booleans, lists or words, and how SQL turns them into that."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llactr.sql import quote_literal

__all__ = ["MISSING", "POINT_ZERO", "Shape", "ShapeKind", "number_sql", "shape_of"]

ShapeKind = Literal["empty", "boolean", "integer", "number", "time", "list", "text"]
MISSING = frozenset(
    {"", "na", "n/a", "nan", "null", "none", "\\n", "?", "-", "--", "#n/a", "nil", "missing", "(null)", "<na>"}
)
"""Texts that stand for no value where the others are numbers, moments or booleans; in lower case."""
POINT_ZERO = "whole numbers with .0"
"""How texts such as `17850.0` are spelled: pandas writes whole numbers so where some rows have none."""
_FITS = 0.98
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_EUROPEAN = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+|[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?|[+-]?\d+(\.\d+)?")
_MONEY = re.compile(r"(?:[$€£¥]|USD|EUR|GBP)\s?[+-]?[\d.,]+|[+-]?[\d.,]+\s?(?:[$€£¥%]|USD|EUR|GBP|kr)")
_BOOLEANS = {"true": 1, "false": 0, "t": 1, "f": 0, "yes": 1, "no": 0, "y": 1, "n": 0}
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?")
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?\s?(?:Z|[+-]\d\d(?::?\d\d)?)")
_JAVA = re.compile(_ZONED.pattern + r"\[[\w/+-]+\]")
_FORMATS = (
    "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M%S", "%Y/%m/%d", "%Y/%m/%d %H:%M", "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y", "%d/%m/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%y", "%m/%d/%y %H:%M", "%d-%m-%Y", "%d-%m-%Y %H:%M:%S",
    "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y", "%m %d, %Y", "%a %b %d %H:%M:%S %Y",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%d/%b/%Y:%H:%M:%S", "%b %d %Y", "%Y.%m.%d", "%m-%d-%Y",
    "%Y-%m-%d %H:%M:%S %Z", "%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S %Z", "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %z %Y", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %I:%M:%S %p",
    "%b %d, %Y %I:%M:%S %p", "%b %d, %Y %I:%M %p", "%B %d, %Y %I:%M:%S %p", "%B %d, %Y %I:%M %p", "%b %d, %Y %H:%M:%S",
    "%b %d, %Y %H:%M", "%d %b %Y %H:%M:%S", "%d %b %Y %H:%M", "%d-%b-%Y %H:%M:%S", "%d-%m-%Y %H:%M", "%d.%m.%y",
    "%d.%m.%y %H:%M", "%m/%d/%y %H:%M:%S", "%d/%m/%y", "%d/%m/%y %H:%M", "%Y/%m/%d %H:%M:%S.%f", "%Y.%m.%d %H:%M:%S",
    "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d %H.%M.%S",
)  # fmt: skip
_SEPARATORS = ("|", ";", ",", "/", "^", "~", "\x01", " ")


@dataclass(frozen=True)
class Shape:
    """What the texts of a column are.

    Attributes:
        kind: of nearly all of them.
        sql: turns the text `{v}` into that kind, null where a text is another one; empty where it stays as it is.
        plain: whether a spec's source reads it as it stands.
        odd: texts that are another kind, some of them; they become null.
        spelled: how, in words: `numbers with a decimal comma`.
        separator: between the values of a list.
        zoned: whether moments tell their zone.
        words: mean of words a text; `length` of characters.
        letters: share of texts with a letter.
        opaque: addresses, hashes, or markup: texts that nobody reads.
    """

    kind: ShapeKind
    sql: str = ""
    plain: bool = True
    odd: tuple[str, ...] = ()
    spelled: str = ""
    separator: str = ""
    zoned: bool = False
    words: float = 0.0
    length: float = 0.0
    letters: float = 0.0
    opaque: str = ""


def number_sql(text: str = "{v}") -> str:
    """SQL of the number that a text spells; null where it spells none. `nan` is none."""
    return (
        f"CASE WHEN lower(trim({text})) IN ('nan', '+nan', '-nan') THEN NULL ELSE TRY_CAST(trim({text}) AS DOUBLE) END"
    )


def shape_of(values: Sequence[tuple[str, int]], *, name_says_time: bool = False, name_says_list: bool = False) -> Shape:
    """The shape of a column.

    Args:
        values: distinct texts and their rows.
        name_says_time: whether eight digits such as 20240531 are a date.
        name_says_list: whether `3,12` are two codes and not three and twelve hundredths.
    """
    filled = [(text.strip(), rows) for text, rows in values if text.strip().lower() not in MISSING]
    if not filled:
        return Shape("empty")
    gaps = any(text.strip().lower() in MISSING and text.strip() for text, _ in values)
    codes = name_says_list and any("," in text for text, _ in filled)
    if codes and _fits(filled, lambda text: re.fullmatch(r"\d+(,\d+)*", text))[0]:
        return Shape("list", spelled="codes joined by ','", separator=",", words=1.0, length=4.0)
    return _booleans(filled, gaps) or _numbers(filled, gaps, name_says_time) or _moments(filled, gaps) or _texts(filled)


def _fits(values: Sequence[tuple[str, int]], test: Callable[[str], object]) -> tuple[bool, tuple[str, ...]]:
    """Whether nearly all rows pass, and examples of those that do not."""
    rows = sum(count for _, count in values)
    odd = [(text, count) for text, count in values if not test(text)]
    lost = sum(count for _, count in odd)
    return lost <= (1 - _FITS) * rows, tuple(text for text, _ in odd[:3])


def _booleans(values: Sequence[tuple[str, int]], gaps: bool) -> Shape | None:
    found = {text.lower() for text, _ in values}
    if len(found) > 2 or not found <= set(_BOOLEANS):
        return None
    spelled = {text for text, _ in values}
    yes = ", ".join(quote_literal(word) for word, bit in _BOOLEANS.items() if bit)
    no = ", ".join(quote_literal(word) for word, bit in _BOOLEANS.items() if not bit)
    sql = f"CASE WHEN lower(trim({{v}})) IN ({yes}) THEN true WHEN lower(trim({{v}})) IN ({no}) THEN false END"
    both = " and ".join(sorted(spelled)[:2])
    return Shape(
        "boolean", sql, plain=not gaps and len(spelled) == len(found), spelled=f"the texts {both}", letters=1.0
    )


def _numbers(values: Sequence[tuple[str, int]], gaps: bool, name_says_time: bool) -> Shape | None:
    fits, odd = _fits(values, _INTEGER.fullmatch)
    if fits:
        if name_says_time and (dated := _dates(values, gaps, digits=True)) is not None:
            return dated
        zeros = any(re.match(r"[+-]?0\d", text) for text, _ in values)
        spelled = "whole numbers with zeros in front" if zeros else "whole numbers"
        return Shape("integer", number_sql(), not (gaps or odd), odd, spelled)
    fits, odd = _fits(values, _NUMBER.fullmatch)
    if fits:
        whole = all(re.fullmatch(r"[+-]?\d+(\.0*)?", text) for text, _ in values if _NUMBER.fullmatch(text))
        return Shape("number", number_sql(), not (gaps or odd), odd, POINT_ZERO if whole else "numbers")
    if _fits(values, _EUROPEAN.fullmatch)[0] and any("," in text for text, _ in values) and not _only_thousands(values):
        sql = number_sql("replace(replace({v}, '.', ''), ',', '.')")
        return Shape("number", sql, False, spelled="numbers with a decimal comma")
    if _fits(values, _THOUSANDS.fullmatch)[0]:
        return Shape(
            "number", number_sql("replace({v}, ',', '')"), False, spelled="numbers with commas between thousands"
        )
    fits, odd = _fits(values, lambda text: _MONEY.fullmatch(text) or _NUMBER.fullmatch(text))
    if fits:
        bare = "regexp_replace({v}, '[^0-9.,+-]', '', 'g')"
        european = sum(bool(re.search(r",\d{1,2}\D*$", text)) for text, _ in values) * 2 > len(values)
        inner = f"replace(replace({bare}, '.', ''), ',', '.')" if european else f"replace({bare}, ',', '')"
        sign = "%" if any("%" in text for text, _ in values) else "a currency"
        return Shape("number", number_sql(inner), False, odd, f"numbers with {sign}")
    mostly, odd = _mostly_numbers(values)
    if mostly:
        return Shape(
            "number", number_sql("regexp_replace({v}, '[^0-9.+-]', '', 'g')"), False, odd, "numbers among texts"
        )
    return None


def _only_thousands(values: Sequence[tuple[str, int]]) -> bool:
    """1,234,567 or 12,345: groups of three after every comma, and never a point before one."""
    commas = [text for text, _ in values if "," in text]
    return all(re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", text) for text in commas) and len(commas) > 0


def _mostly_numbers(values: Sequence[tuple[str, int]]) -> tuple[bool, tuple[str, ...]]:
    """Prices in which a few words stand, such as `Free`: many different numbers, a handful of different texts."""
    rows = sum(count for _, count in values)
    numbers = [(text, count) for text, count in values if _NUMBER.fullmatch(text) or _MONEY.fullmatch(text)]
    others = [text for text, _ in values if not (_NUMBER.fullmatch(text) or _MONEY.fullmatch(text))]
    share = sum(count for _, count in numbers) / rows
    wordy = [text for text in others if not re.search(r"\d", text)]
    fine = (
        share >= 0.8 and len(numbers) >= 10 and len(others) <= max(30, len(numbers)) and len(wordy) >= 0.7 * len(others)
    )
    return fine, tuple(others[:3])


def _moments(values: Sequence[tuple[str, int]], gaps: bool) -> Shape | None:
    if _fits(values, _ZONED.fullmatch)[0]:
        odd = _fits(values, _ZONED.fullmatch)[1]
        return Shape(
            "time", "TRY_CAST({v} AS TIMESTAMPTZ)", not (gaps or odd), odd, "moments with their zone", zoned=True
        )
    if _fits(values, _JAVA.fullmatch)[0]:
        sql = "TRY_CAST(regexp_replace({v}, '\\[.*\\]$', '') AS TIMESTAMPTZ)"
        return Shape("time", sql, False, spelled="moments such as " + values[0][0], zoned=True)
    fits, odd = _fits(values, _ISO.fullmatch)
    if fits:
        return Shape("time", "TRY_CAST({v} AS TIMESTAMP)", not (gaps or odd), odd, "moments such as " + values[0][0])
    return _dates(values, gaps, digits=False)


def _dates(values: Sequence[tuple[str, int]], gaps: bool, *, digits: bool) -> Shape | None:
    """Dates of other formats; the first format that fits nearly all. Day before month where both fit."""
    for form in _FORMATS:
        if digits != form.replace("%", "").isalpha():
            continue
        if not _parses(values[0][0], form) and not _parses(values[len(values) // 2][0], form):
            continue
        fits, odd = _fits(values, lambda text, form=form: _parses(text, form))  # type: ignore[misc]
        if fits:
            return Shape(
                "time",
                f"TRY_STRPTIME(trim({{v}}), {quote_literal(form)})",
                False,
                odd,
                f"moments such as {values[0][0]}",
                zoned="%z" in form,
            )
    if digits and _fits(values, lambda text: re.fullmatch(r"\d{17}", text) and _parses(text[:14], "%Y%m%d%H%M%S"))[0]:
        sql = "TRY_STRPTIME(left(trim({v}), 14) || '.' || right(trim({v}), 3), '%Y%m%d%H%M%S.%g')"
        return Shape("time", sql, False, spelled=f"moments with thousandths such as {values[0][0]}")
    if digits and _fits(values, lambda text: re.fullmatch(r"\d{8}", text) and _parses("20" + text, "%Y%m%d%H"))[0]:
        sql = "TRY_STRPTIME('20' || trim({v}), '%Y%m%d%H')"
        return Shape("time", sql, False, spelled=f"moments as year, month, day and hour such as {values[0][0]}")
    return None


def _parses(text: str, form: str) -> bool:
    try:
        moment = dt.datetime.strptime(text, form)  # only whether it fits
    except ValueError:
        return False
    return 1970 <= moment.year <= 2100


def _texts(values: Sequence[tuple[str, int]]) -> Shape:
    rows = sum(count for _, count in values)
    measured: dict[str, Any] = {
        "words": sum(len(text.split()) * count for text, count in values) / rows,
        "length": sum(len(text) * count for text, count in values) / rows,
        "letters": sum(count for text, count in values if re.search(r"[^\W\d_]", text)) / rows,
    }
    bracketed, _ = _fits(values, lambda text: re.fullmatch(r"\[.*\]|\{.*\}|\(.*\)", text, re.DOTALL))
    if (
        bracketed
        and any("," in text for text, _ in values)
        and not any(re.search(r"[:=]", text) for text, _ in values[:50])
    ):
        bare = "regexp_replace({v}, '[\\[\\](){{}}\"'']', '', 'g')"
        sql = f"nullif(regexp_replace({bare}, '\\s*,\\s*', '|', 'g'), '')"
        return Shape("list", sql, False, spelled=f"lists such as {values[0][0][:40]}", separator="|", **measured)
    separator = _separator(values)
    if separator:
        return Shape("list", spelled=f"values joined by {separator!r}", separator=separator, **measured)
    return Shape("text", opaque=_opaque(values), **measured)


def _separator(values: Sequence[tuple[str, int]]) -> str:
    """What joins several values of a small vocabulary in each text; empty where nothing does."""
    texts = [re.sub(r"&#?\w+;", "&", text) for text, _ in values[:3000]]  # `&amp;` separates nothing
    for separator in _SEPARATORS:
        several = [text for text in texts if separator in text]
        if len(several) < max(2, 0.25 * len(texts)):
            continue
        parts = [[part.strip() for part in text.split(separator) if part.strip()] for text in texts]
        tokens = [part for row in parts for part in row]
        if not tokens or len(tokens) < 1.2 * len(texts):
            continue
        distinct = set(tokens)
        if (
            separator == " "
            and len(tokens) > 2 * len(texts)
            and all(re.fullmatch(r"[A-Za-z]{0,3}\d+", t) for t in tokens[:5000])
        ):
            return separator
        spaced = sum(token.count(" ") + 1 for token in tokens) / len(tokens)
        reused = len(distinct) / len(tokens)
        repeats = sum(len(row) > len(set(row)) for row in parts) / len(parts)
        strict = separator in " /,"
        ranges = strict and sum(bool(re.fullmatch(r"[\d.,/ -]+", text)) for text in several) > 0.5 * len(several)
        atoms = set(texts) - set(several)
        known = len(atoms & {part for row in parts if len(row) > 1 for part in row}) / max(len(atoms), 1)
        fine = (
            reused <= (0.34 if strict else 0.8) and spaced <= 3.5 and repeats <= 0.2 and len(distinct) < len(texts) * 2
        )
        if len(texts) < 12 and strict:
            fine = fine and known >= 0.5
        if separator == " ":
            fine = (
                fine and reused <= 0.15 and len(distinct) <= 300 and 2 * len(distinct) <= len(texts) and len(texts) >= 8
            )
        if separator == "/":
            fine = fine and (known >= 0.5 or not atoms) and len(texts) >= 12
        if fine and not ranges and not texts[0].lower().startswith("http"):
            return separator
    return ""


def _opaque(values: Sequence[tuple[str, int]]) -> str:
    checks = (
        ("addresses", lambda text: re.match(r"https?://|www\.|s3://", text)),
        ("file names", lambda text: re.search(r"\.(jpe?g|png|gif|webp|mp4|mp3|svg)$", text, re.IGNORECASE)),
        ("codes", lambda text: re.fullmatch(r"[A-Za-z]\d[\d.]*", text)),
        ("hashes", lambda text: re.fullmatch(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{8,}|[0-9a-f-]{32,36}", text, re.IGNORECASE)),
    )
    return next(
        (what for what, test in checks if sum(c for t, c in values if test(t)) > 0.8 * sum(c for _, c in values)), ""
    )
