"""What speaks against a column: nothing in it, the label known by it, written after the event, never seen again."""

from __future__ import annotations

import duckdb

from llactr.profile.drafting.work import Owner, Work
from llactr.profile.events_sql import SHOWN_COUNT
from llactr.profile.facts import Column
from llactr.profile.found import Profile
from llactr.profile.kinds import kind_of, worded
from llactr.profile.moments import holds_moments
from llactr.profile.names import is_code, is_measure, of_outcome, words
from llactr.profile.spoilers import KNOWS, knows_label, unseen_later, words_tell

__all__ = ["BESIDE", "against", "knows", "says_nothing"]

BESIDE = "a moment beside the event's: no part of it comes again"
_LEAKS = ", so it would leak"
_GONE_LATER = 0.9
_WRITTEN, _LIKELY_WRITTEN = 0.85, 0.7
"""AUC of a text's words from which on it is taken to be written after the event; and of texts that all differ."""


def says_nothing(column: Column) -> str | None:
    """Why a column tells rows nothing: it is empty, or the same everywhere; None where it may tell something."""
    if column.type == "empty" or not column.filled:
        return "no row has a value"
    if column.distinct == 1 and (column.nulls == 0 or column.filled < 0.001 * column.rows):
        return "all rows have the same value"
    return None


def knows(connection: duckdb.DuckDBPyConnection, rows: str, column: Column, label: str) -> str | None:
    """How a column alone tells the label, which it would leak; None where it does not. See `knows_label`."""
    auc, how = knows_label(connection, rows, column, label)
    return f"by {how} alone it tells the label (AUC {auc:.3f}){_LEAKS}" if auc >= KNOWS else None


def against(work: Work, column: Column, profile: Profile, owner: Owner, *, of_events: bool) -> tuple[str, bool] | None:
    """Why a column is no field, and whether that is sure; None where it is one."""
    nothing = says_nothing(column)
    if nothing is not None:
        return nothing, True
    if column.type == "other":
        return f"values of type {column.sql_type} are no field", True
    if _records(column):
        return "lists of records are no field", True
    if column.shape.opaque in {"addresses", "file names"} and column.unique_share > 0.5:
        return f"{column.shape.opaque} say nothing that comes again", True
    if of_events and work.roles.label.kind != "chosen" and column.name != SHOWN_COUNT:
        said = knows(work.connection, "some_rows", column, work.label)
        if said is not None:
            work.findings.append(f"{column.name!r} knows the label: {said.removesuffix(_LEAKS)}")
            return said, True
    counter = column.unique_share > 0.95 and column.filled > 20
    coded = not of_events and is_code(column.name) and column.words[-1:] not in {("id",), ("key",), ("no",)}
    if counter and column.type == "integer" and not is_measure(column.name) and not coded:
        return "every row has another number: it tells rows apart, no more", True
    named = counter and column.type == "text" and column.shape.words < 1.5 and (of_events or column.shape.opaque)
    if named and not (owner == "item" and worded(column)):
        return "every row has another value: it tells rows apart, no more", True
    if of_events:
        if owner == "context" and holds_moments(column):
            return BESIDE, False
        if owner == "context" or not work.rows.made:
            return _spoils(work, column, owner)
        return None
    word = of_outcome(column.name) if owner == "item" else None
    if word in {"helpful", "clicks", "ctr", "winner", "significance", "conversions"}:
        return f"{word!r} may count what came after the events", False
    return None


def _records(column: Column) -> bool:
    """Lists of records, or texts of them: `[{"id": 1, ...}, ...]`."""
    if column.type not in {"list", "text"}:
        return False
    filled = [text for text, _ in column.texts if text not in {"[]", "{}"}][:200]
    records = sum(text.startswith(("[{", '{"')) for text in filled)
    return (column.listed and column.sql_type.startswith("STRUCT")) or 2 * records > len(filled)


def _rated_too(work: Work, column: Column) -> bool:
    """Whether a number is on the label's scale, as taste and looks of a beer beside its rating."""
    label = work.roles.label
    if not label.rates:
        return False
    rating = work.roles.events.column(label.column)
    if column.type not in {"integer", "number"} or is_code(column.name) or (rating.high or 0) < 4:
        return False
    return (column.low, column.high) == (rating.low, rating.high) and 3 <= column.distinct <= 2 * rating.distinct


def _spoils(work: Work, column: Column, owner: Owner) -> tuple[str, bool] | None:
    """Of the events' columns: what knows the label, is written after the event, or never comes again."""
    if column.name == SHOWN_COUNT:
        return None
    word = of_outcome(column.name)
    chosen = work.roles.label.kind == "chosen" and word in {"click", "clicks"} and column.words[0] == word
    if word is not None and not (chosen and len(column.words) > 1):  # `click_country` of a row that is a click
        work.late.append(column.name)
        return f"its name speaks of {word!r}, which is known only after the event", False
    headed = work.roles.events.headed
    if owner == "context" and _rated_too(work, column):
        return f"a scale as that of the label {work.roles.label.column!r}, likely given with it", False
    if (
        headed
        and work.roles.label.kind in {"above", "column"}
        and set(column.words) & (set(words(work.roles.label.column)) - {"is", "id"})
        and (column.type in {"integer", "number"})
    ):
        return f"it shares a word with the label {work.roles.label.column!r}, and is likely written with it", False
    if column.type == "text" and column.shape.words >= 2:
        told = words_tell(work.connection, "some_rows", column.name, work.label)
        if told >= _WRITTEN or (
            told >= _LIKELY_WRITTEN and column.unique_share > 0.7 and work.roles.label.kind == "above"
        ):
            work.findings.append(
                f"the words of {column.name!r} tell the label (AUC {told:.2f}), as those of a review would"
            )
            return f"its words tell the label (AUC {told:.2f}): it is likely written after the event", told >= _WRITTEN
        if work.roles.label.rates and set(column.words) <= {"text", "body", "content"} and column.unique_share > 0.7:
            work.late.append(column.name)
            return "a text beside a rating, likely written with it", False
        if column.shape.words >= 3:
            return None
    if owner == "context" and column.type not in {"number", "list"} and column.distinct > 20:
        gone = unseen_later(work.connection, "rows_of_sample", column.name, work.moment)
        kind = kind_of(column, owner=owner)
        if gone > _GONE_LATER and (kind.name != "numeric" or not is_measure(column.name)):
            return (
                f"{gone:.0%} of the last rows have a value that no earlier row has",
                not work.roles.events.table.sampled,
            )
    return None
