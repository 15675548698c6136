"""Which column says when an event happened, in which unit."""

from __future__ import annotations

import re
from typing import Literal

from llactr.profile.click_rule import Label
from llactr.profile.facts import Column
from llactr.profile.found import Profile, TimeRole
from llactr.profile.names import of_time

__all__ = ["find_time", "holds_moments", "is_epoch", "time_candidates", "unit_of"]

_EPOCHS = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_FROM_S, _TO_S = 631_152_000, 2_240_000_000  # 1990 to 2040
_EXCEL_FROM, _EXCEL_TO, _EXCEL_1970 = 32_874, 51_501, 25_569  # 1990 and 2040 in days as Excel counts, and 1970
_LATEST = 5e12
"""Milliseconds from an origin; greater numbers are no moments, or spelled as nobody knows."""
_CALENDAR = re.compile(r"(19[789]\d|20[0-4]\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0+)?")
_PARTS = {"year": (1990, 2040), "month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}
_MONTH_DAY = re.compile(r"(0?[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


def time_candidates(events: Profile) -> list[tuple[float, Column]]:
    """Columns that may say when an event happened, with how much speaks for each."""
    found = []
    for column in events.columns:
        named = of_time(column.name)
        if column.filled < 0.5 * column.rows or column.distinct < 2:
            continue
        fine = min(column.distinct / 50, 2.0)
        if column.type == "time":
            found.append((4.0 + named + fine, column))
        elif is_epoch(column) and (named > 0 or not events.headed or (named == 0 and _epoch_alone(column))):
            found.append((3.0 + named + fine, column))
        elif named > 0 and _excel(column):
            found.append((2.5 + named + fine, column))
        elif named > 0 and _month_day(column):
            found.append((1.0 + named / 4, column))
        elif column.type == "integer" and _week(column):
            found.append((2.0, column))
        elif column.type == "text" and _object_id(column):
            found.append((2.5 if column.unique_share < 0.5 else 2.2, column))
        elif column.type == "integer" and named >= 1 and column.distinct > 20 and _from_origin(column):
            found.append((0.5 + named / 4, column))
    if not found:  # `created_at` of a row of events is its moment where nothing else is
        made = [c for c in events.columns if "created" in c.words and is_epoch(c) and c.filled >= 0.5 * c.rows]
        found = [(1.0, column) for column in made]
    return sorted(found, key=lambda one: -one[0])


def _week(column: Column) -> bool:
    """Weeks such as 201446."""
    if "week" not in column.words or column.low is None or column.high is None:
        return False
    return column.low >= 199001 and column.high <= 204053 and all(1 <= int(float(t)) % 100 <= 53 for t, _ in column.top)


def _excel(column: Column) -> bool:
    """Days as workbooks count them, from the end of 1899 on: 45292.5 is noon on 1 January 2024."""
    if column.type not in {"integer", "number"} or column.low is None or column.high is None:
        return False
    return column.low >= _EXCEL_FROM and column.high <= _EXCEL_TO and column.distinct > 1


def _month_day(column: Column) -> bool:
    """Months and days without a year, `511` and `1111`, as Tmall writes them."""
    texts = [text.removesuffix(".0") for text, _ in column.texts]
    return column.type == "integer" and column.distinct > 20 and all(map(_MONTH_DAY.fullmatch, texts))


def holds_moments(column: Column) -> bool:
    """Whether numbers of a column are moments by their name and range: since 1970, days of Excel, or `20240531`."""
    if of_time(column.name) <= 0 or column.type not in {"integer", "number"}:
        return False
    return (
        is_epoch(column) or _excel(column)
        or all(_CALENDAR.fullmatch(text) for text, _ in column.texts[:500])
    )  # fmt: skip


def _object_id(column: Column) -> bool:
    """MongoDB's ids: 24 hexadecimal digits, of which the first 8 are the second in which they were given."""
    texts = [text for text, _ in column.texts[:200]]
    if not texts or not all(re.fullmatch(r"[0-9a-f]{24}", text) for text in texts):
        return False
    return all(_FROM_S <= int(text[:8], 16) <= _TO_S for text in texts)


def _from_origin(column: Column) -> bool:
    """A count that goes on, unlike the hour of a day."""
    ends = {"hour": 24, "day": 31, "week": 53, "minute": 60, "month": 12, "weekday": 7}
    top = max((end for word, end in ends.items() if word in column.words), default=0)
    return (column.low or 0) >= 0 and top < (column.high or 0) < _LATEST


def is_epoch(column: Column) -> bool:
    """Whether a column holds moments as numbers since 1970."""
    return unit_of(column) is not None


def unit_of(column: Column) -> Literal["s", "ms", "us", "ns"] | None:
    """The unit in which all values lie between 1990 and 2040."""
    if column.type not in {"integer", "number"} or column.low is None or column.high is None or column.distinct < 2:
        return None
    for unit, per_second in _EPOCHS:
        low, high = (_FROM_S * per_second, _TO_S * per_second)
        if low <= column.high <= high and (column.low >= low or column.low in {0.0, -1.0}):
            return unit  # type: ignore[return-value]
    return None


def _epoch_alone(column: Column) -> bool:
    """Numbers that look like moments although their name does not say so: many, and close together."""
    return (
        column.distinct > 0.3 * column.filled
        and column.span < 0.4 * (column.high or 1)
        and not any(word in {"id", "key", "code", "phone", "number"} for word in column.words)
    )


def find_time(events: Profile, said: str | None, label: Label) -> TimeRole:
    """The moment of the events: as stated, or the best column for it."""
    if said == "none":
        return TimeRole(None, "as stated, there is none: the order of the rows stands for it", True)
    ranked = [(score, c) for score, c in time_candidates(events) if c.name not in {label.column, label.second}]
    named = (c for c in events.columns if c.name == said)
    column = next(named, None) if said is not None else ranked[0][1] if ranked else None
    if column is None and said is None and (parts := _in_parts(events)) is not None:
        return parts
    if column is None and said is not None:
        return TimeRole(said, "as stated, though no column is called so", False)
    if column is None:
        return TimeRole(None, "no column says when an event happened: the order of the rows stands for it", False)
    score = 10.0 if said is not None else ranked[0][0]
    rivals = [c.name for s, c in ranked[1:] if s > score - 1.5]
    if column.type == "time":
        clock = _clock(events, column)
        if clock is not None:
            said_of = f"it holds the day and {clock!r} the time of day, and they tell no zone, so UTC is taken"
            return TimeRole(column.name, said_of, True, clock=clock)
        zone = "they tell their zone" if column.shape.zoned else "they tell no zone, so UTC is taken"
        also = f"; {', '.join(rivals)} might be meant" if rivals else ""
        return TimeRole(column.name, f"it holds moments, and {zone}{also}", not rivals, zoned=column.shape.zoned)
    if _week(column):
        sql = "TRY_STRPTIME({v} || '1', '%G%V%u')"
        return TimeRole(column.name, "it counts weeks, each taken as its Monday", True, sql=sql)
    if column.type == "text" and _object_id(column):
        sql = "to_timestamp(CAST('0x' || substr({v}, 1, 8) AS BIGINT))"
        return TimeRole(
            column.name, "its ids begin with the second in which they were given", False, zoned=True, sql=sql
        )
    if unit_of(column) is None and _excel(column):
        sql = f"make_timestamp(CAST(round(({{v}} - {_EXCEL_1970}) * 86400000) AS BIGINT) * 1000)"
        reason = "it holds days as Excel counts them, from the end of 1899 on, and they tell no zone, so UTC is taken"
        return TimeRole(column.name, reason, score >= 5, sql=sql)
    if _month_day(column):
        sql = "TRY_STRPTIME('2020' || lpad(regexp_replace({v}, '\\.0+$', ''), 4, '0'), '%Y%m%d')"
        return TimeRole(column.name, "it holds months and days without a year, taken as of 2020", False, sql=sql)
    unit = unit_of(column)
    if unit is not None and column.type == "number":
        sql = f"make_timestamptz(CAST(round({{v}} * {1e6 / dict(_EPOCHS)[unit]}) AS BIGINT))"
        reason = f"in {unit} since 1970, with fractions, its values lie between 1990 and 2040"
        return TimeRole(column.name, reason, score >= 5, zoned=True, sql=sql)
    if unit is not None:
        return TimeRole(
            column.name, f"in {unit} since 1970 its values lie between 1990 and 2040", score >= 5, unit=unit
        )
    return _counted(column)


def _in_parts(events: Profile) -> TimeRole | None:
    """The moment of columns `date_day`, `date_month` and `date_year`, and of hours and so on where they are there."""
    found = {
        (c.words[:-1], c.words[-1]): c for c in events.columns
        if c.type == "integer" and c.words and c.words[-1] in _PARTS and not c.nulls and _part_of(c)
    }  # fmt: skip
    for stem, last in list(found):
        parts = {name: found.get((stem, name)) for name in _PARTS}
        if last != "year" or parts["month"] is None or parts["day"] is None:
            continue
        texts = [f"lpad(CAST({one.value} AS BIGINT)::VARCHAR, 2, '0')" if one is not None else "'00'"
                 for one in (parts[name] for name in ("month", "day", "hour", "minute", "second"))]  # fmt: skip
        year = found[stem, "year"]
        joined = " || ".join([f"CAST({year.value} AS BIGINT)::VARCHAR", *texts])
        names = tuple(one.name for one in parts.values() if one is not None)
        reason = f"{', '.join(map(repr, names))} hold its parts, and they tell no zone, so UTC is taken"
        return TimeRole(year.name, reason, True, sql=f"TRY_STRPTIME({joined}, '%Y%m%d%H%M%S')", parts=names)
    return None


def _part_of(column: Column) -> bool:
    low, high = _PARTS[column.words[-1]]
    return column.low is not None and column.high is not None and low <= column.low and column.high <= high


def _clock(events: Profile, day: Column) -> str | None:
    """The column that has the time of day, `17:05` or `17:05:59`, of one that has days alone."""
    if day.shape.zoned or any(re.search(r"\d:\d\d(?!.*00:00:00$)", text) for text, _ in day.texts):
        return None
    clocks = [
        c.name for c in events.columns
        if c.filled >= 0.5 * c.rows and (
            c.sql_type == "TIME"
            or (c.type == "text" and all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?", t.strip()) for t, _ in c.texts))
        )
    ]  # fmt: skip
    named = [name for name in clocks if of_time(name) > 0]
    return (named or clocks)[0] if len(clocks) == 1 or len(named) == 1 else None


def _counted(column: Column) -> TimeRole:
    """A count from an origin of its own, such as days since a study began."""
    each = next(
        (s for word, s in (("day", 86400), ("week", 604800), ("hour", 3600), ("minute", 60)) if word in column.words), 1
    )
    if each == 1 and (column.high or 0) > 4e9:
        sql, what = "to_timestamp(1577836800 + {v} / 1000.0)", "milliseconds"
    else:
        what = {1: "seconds", 60: "minutes", 3600: "hours", 86400: "days", 604800: "weeks"}[each]
        sql = f"to_timestamp(1577836800 + {{v}} * {each})"
    reason = f"it counts from an origin of its own, taken as {what} from 2020 on"
    return TimeRole(column.name, reason, False, relative=True, zoned=True, sql=sql)
