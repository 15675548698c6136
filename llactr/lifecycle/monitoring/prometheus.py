"""What monitoring found, in Prometheus' text format: for the textfile collector of the node exporter."""

from __future__ import annotations

from collections.abc import Iterator

from llactr.lifecycle.monitoring.watch import Monitoring

__all__ = ["exposition"]


def exposition(found: Monitoring) -> str:
    """The figures of the newest window, and the age of every table; names as the service has them."""
    return "\n".join([*_lines(found), ""])


def _lines(found: Monitoring) -> Iterator[str]:
    bundle = f'bundle="{_escaped(found.bundle)}"'
    yield "# HELP llactr_drift_distance Distance of the newest window from the bundle's profile"
    yield "# TYPE llactr_drift_distance gauge"
    newest = found.windows[-1].findings if found.windows else ()
    labels = {one: f'{{{bundle},what="{one.what}",of="{_escaped(one.of)}"}}' for one in newest}
    for one in newest:
        yield f"llactr_drift_distance{labels[one]} {one.distance:.6g}"
    yield "# HELP llactr_drift_alarm 1 where the distance is past its limit"
    yield "# TYPE llactr_drift_alarm gauge"
    for one in newest:
        yield f"llactr_drift_alarm{labels[one]} {int(one.is_alarm)}"
    yield "# HELP llactr_table_age_seconds Age of an offline table's newest row"
    yield "# TYPE llactr_table_age_seconds gauge"
    for table in found.freshness:
        yield f'llactr_table_age_seconds{{dataset="{_escaped(found.dataset)}",table="{table.table}"}} {table.age_s:.6g}'
    yield "# HELP llactr_table_stale 1 where a table has stood still for longer than it ever did"
    yield "# TYPE llactr_table_stale gauge"
    for table in found.freshness:
        yield f'llactr_table_stale{{dataset="{_escaped(found.dataset)}",table="{table.table}"}} {int(table.is_stale)}'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
