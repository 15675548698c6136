"""What is known of rows beyond their ids: how much of a past their users and items have."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llactr.evaluation.rows import median_past
from llactr.workspace import Workspace
from tests.specs import field, spec_of


def test_past_events_are_counted_as_they_were_known(tmp_path: Path) -> None:
    """Of 20 rows at 20 moments the validation rows are numbers 16 and 17."""
    spec = spec_of(field("person", "user"), field("film", "item"), history={"outcome_delay": "90s"})
    minutes = [60_000_000 * minute for minute in range(20)]
    table = pa.table(
        {
            "person": ["a"] * 16 + ["a", "b", "a", "a"],
            "film": ["x", "y"] * 10,
            "event_timestamp": pa.array(minutes, pa.timestamp("us", "UTC")),
            "label": pa.array([0, 1] * 10, pa.float32()),
        }
    )
    folder = Workspace.at(tmp_path).offline_table("tiny", "events")
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-00000.parquet")
    # Row 16: a's events 0 to 14 are known 90 s before, and 8 of x's; row 17: none of b, and those of y at 1, 3, .., 15.
    assert median_past(Workspace.at(tmp_path), spec) == {"user": 7.5, "item": 8.0}
    alone = spec_of(field("person", "user"), field("device"), keys={"user": "person"})
    assert median_past(Workspace.at(tmp_path), alone) == {}
