"""What of the offline rows a request can say."""

from __future__ import annotations

import pyarrow as pa

from llactr.diagnostics.service_agreement import finite_rows, sentence
from tests.specs import field, spec_of


def test_rows_with_infinite_numbers_are_not_sent_and_that_is_said() -> None:
    """inf_nan: infinity in the test rows was sent as `Infinity`, and the service answered that it is not JSON."""
    spec = spec_of(field("wait", kind="numeric"), field("device"), field("person", "user"))
    events = pa.table({"wait": [1.0, float("inf"), None, float("-inf")], "device": ["a", "b", None, "d"]})
    assert finite_rows(events, spec).tolist() == [True, False, True, False]
    found = {
        "url": "http://x", "rows": 2, "rows_not_sent": 2, "rows_with_other_ids": 0, "max_score_difference": 0.0,
        "tolerance": 1e-6, "rows_with_placed_values": 0,
    }  # fmt: skip
    assert sentence(found).endswith("; 2 more hold infinite numbers, which no request can say, and were not sent")
    assert "infinite" not in sentence(found | {"rows_not_sent": 0})
