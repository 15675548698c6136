"""What monitoring found, as a page: one HTML file with small pictures inline, without script, and nothing is fetched.

Everything taken from data is escaped. No value of a field is on the page, only how often values came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from llactr.lifecycle.monitoring.pictures import histogram, trend
from llactr.lifecycle.monitoring.watch import Counted, MonitoredWindow, Monitoring
from llactr.lifecycle.monitoring.window import Finding

__all__ = ["page"]

_OF_FIELDS = ("psi", "nulls", "unknown")


@dataclass(frozen=True)
class _Trend:
    """A figure over the windows: its picture, and the newest one in words."""

    name: str
    picture: Markup
    text: str
    is_alarm: bool


@dataclass(frozen=True)
class _Row:
    name: str
    owner: str
    histogram: Markup
    trends: tuple[_Trend, ...]


def page(found: Monitoring) -> str:
    """The page; the same findings give the same bytes."""
    environment = Environment(
        loader=PackageLoader("llactr.lifecycle.monitoring", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = sum(one.rows for one in found.windows)
    loud = sum(bool(one.alarms) for one in found.windows)
    stale = sum(one.is_stale for one in found.freshness)
    head = f"{found.dataset}: nothing has changed" if found.quiet else f"{found.dataset}: {_loud(loud, stale)}"
    return environment.get_template("monitoring.html").render(
        found=found,
        head=head,
        windows=f"{len(found.windows)} windows of {found.source}, {rows:,} rows",
        alarms=[f"{one.first:%Y-%m-%d %H:%M}: {alarm.sentence}" for one in found.windows for alarm in one.alarms],
        fields=[_field(one, found.windows) for one in found.counted if one.owner],
        scores=next((_histogram(one) for one in found.counted if not one.owner), None),
        model=[_trend(what, of, found.windows) for what, of in _others(found.windows)],
    )


def _loud(windows: int, stale: int) -> str:
    said = [f"alarms in {windows} windows"] if windows else []
    return " and ".join([*said, *([f"{stale} tables stand still"] if stale else [])])


def _field(one: Counted, windows: Sequence[MonitoredWindow]) -> _Row:
    trends = tuple(_trend(what, one.name, windows) for what in _OF_FIELDS)
    return _Row(one.name, one.owner, _histogram(one), trends)


def _histogram(one: Counted) -> Markup:
    return histogram(one.was, one.now, label=f"{one.name or 'scores'}: shares of values as they were and as they are")


def _others(windows: Sequence[MonitoredWindow]) -> list[tuple[str, str]]:
    """What is measured that is of no field, in one order."""
    found = {(one.what, one.of) for window in windows for one in window.findings if one.what not in _OF_FIELDS}
    return sorted(found)


def _trend(what: str, of: str, windows: Sequence[MonitoredWindow]) -> _Trend:
    ours: list[Finding] = [
        one for window in windows for one in window.findings if (one.what, one.of) == (what, of)
    ]  # fmt: skip
    name = f"{what} {of}".strip()
    if not ours:
        return _Trend(name, Markup(), "", False)
    newest = ours[-1]
    text = f"{newest.distance:.3f}" if newest.found is None else f"{newest.found:.1%}, was {newest.expected:.1%}"
    picture = trend([one.distance for one in ours], newest.limit, label=f"{name}: {newest.sentence}")
    return _Trend(name, picture, text, newest.is_alarm)
