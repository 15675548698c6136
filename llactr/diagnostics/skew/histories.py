"""The past that was read, beside the one that the dataset's events say it was at the request's moment.

Offline the past of a row is made by the pass that training reads: events that were known strictly before the row's
moment. So an event that was pushed and is not in the dataset (yet) is extra online; one that never reached the store,
or reached it after the request, is missing there.

Legend: N rows, H history fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import EVENT_TIMESTAMP, TIMESTAMP
from llactr.diagnostics.skew.fields import FieldSkew, ListSkew
from llactr.history import Events, HistoryDefinition, history_rows
from llactr.history.fingerprints import Fingerprints, fingerprints_at
from llactr.spec import DatasetSpec, EntityOwner

__all__ = ["HistorySkew", "compare_numbers", "offline_numbers"]

_NUMBERS_EQUAL = 1e-5
"""Events that arrived out of order change the last digits of sums."""
_LISTS_AT_ONCE = 20_000


def offline_numbers(
    spec: DatasetSpec, definition: HistoryDefinition, events: Events, rows: pa.Table
) -> NDArray[np.float32]:
    """(N, H) history numbers of logged rows as of their moments, by the dataset's events."""
    return history_rows(definition, events, _asked(spec, rows), neighbour_steps=0)


@dataclass
class HistorySkew:
    """Histories of users and items, over all bundles.

    Attributes:
        user: pasts of users, one a request and moment: equal where the last events and the totals are.
        item: pasts of items, one a row: totals.
        missing_events: events of users' lists that offline has alone.
        extra_events: those that were served and that offline does not have.
    """

    user: FieldSkew = field(default_factory=lambda: FieldSkew(lists=ListSkew()))
    item: FieldSkew = field(default_factory=FieldSkew)
    missing_events: int = 0
    extra_events: int = 0

    def add(self, spec: DatasetSpec, definition: HistoryDefinition, events: Events, rows: pa.Table) -> None:
        """Takes in the logged rows of one bundle that tell their history."""
        asked = _asked(spec, rows)
        names = {owner: rows[spec.entities[owner].join_key].to_pylist() for owner in ("user", "item")}
        self._add_items(rows, fingerprints_at(definition, events, asked.item, asked.time, owner="item"), names["item"])
        told = np.flatnonzero(rows["served_past"].is_valid().to_numpy())
        for start in range(0, len(told), _LISTS_AT_ONCE):
            some = told[start : start + _LISTS_AT_ONCE]
            should = fingerprints_at(definition, events, asked.user[some], asked.time[some], owner="user")
            self._add_users(rows.take(pa.array(some)), should, [names["user"][row] for row in some.tolist()])

    def as_json(self) -> dict[str, Any]:
        """By owner; of users' lists also the events, the lengths and the edit distance."""
        events = {"missing": self.missing_events, "extra": self.extra_events}
        return {"user": self.user.as_json() | {"events": events}, "item": self.item.as_json()}

    @property
    def mismatches(self) -> int:
        """Pasts that are not equal."""
        return self.user.mismatches + self.item.mismatches

    def _add_items(self, rows: pa.Table, should: Fingerprints, keys: list[str]) -> None:
        totals = _totals(rows, "item")
        self._count(self.item, totals, should.totals, (totals == should.totals).all(1), keys)

    def _add_users(self, rows: pa.Table, should: Fingerprints, keys: list[str]) -> None:
        totals, lists = _totals(rows, "user"), (_lists(rows["served_past"].combine_chunks()), _lists(should.last))
        same = (totals == should.totals).all(1)
        assert self.user.lists is not None
        for row, (served, offline) in enumerate(zip(*lists, strict=True)):
            equal = served == offline
            same[row] &= equal
            self.user.lists.add(served, offline, equal=equal)
            if not equal:
                online, known = ({event[:2] for event in events} for events in (served, offline))
                self.missing_events += len(known - online)
                self.extra_events += len(online - known)
        self._count(self.user, totals, should.totals, same, keys)

    @staticmethod
    def _count(
        of: FieldSkew,
        totals: NDArray[np.float64],
        should: NDArray[np.float64],
        same: NDArray[np.bool_],
        keys: list[str],
    ) -> None:
        """Takes in pasts (N) by their totals, (N, 2) each: one without events is none."""
        of.count(totals[:, 0] == 0, should[:, 0] == 0, same, lambda row: (_told(totals[row]), _told(should[row])), keys)


def compare_numbers(
    fields: dict[str, FieldSkew],
    definition: HistoryDefinition,
    rows: pa.Table,
    numbers: NDArray[np.float32],
    keys: list[str],
) -> None:
    """Adds the comparison of every history field: logged numbers with offline ones (N, H)."""
    served = np.asarray(rows["served_history"].combine_chunks().flatten()).reshape(numbers.shape)
    for at, name in enumerate(definition.spec.columns):
        one, other = (pa.array(values[:, at], pa.float32(), from_pandas=True) for values in (served, numbers))
        fields.setdefault(name, FieldSkew()).add(one, other, keys, tolerance=_NUMBERS_EQUAL)


def _asked(spec: DatasetSpec, rows: pa.Table) -> Events:
    users, items = (rows[spec.entities[owner].join_key].to_pylist() for owner in _OWNERS)
    times = rows[EVENT_TIMESTAMP].cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return Events.of(users, items, times, np.zeros(rows.num_rows, np.float32))


_OWNERS: tuple[EntityOwner, ...] = ("user", "item")


def _totals(rows: pa.Table, owner: str) -> NDArray[np.float64]:
    """(N, 2) events and clicks that were served."""
    columns = [rows[f"served_{owner}_{name}"].to_numpy().astype(float) for name in ("events", "clicks")]
    return np.stack(columns, 1)


def _told(totals: NDArray[np.float64]) -> str:
    return "{:.0f} events, {:.0f} clicks".format(*totals.tolist())


def _lists(lists: pa.ListArray) -> list[list[tuple[int, int, bool]]]:
    """The events of each list: hash of the item, microseconds, clicked."""
    flat = lists.flatten()
    columns = (flat.field("item"), flat.field("time").cast(pa.int64()), flat.field("clicked"))
    events = list(zip(*(column.to_pylist() for column in columns), strict=True))
    ends = np.cumsum(lists.value_lengths().fill_null(0).to_numpy()).tolist()
    return [events[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
