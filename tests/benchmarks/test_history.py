from __future__ import annotations

import pytest

from benchmarks import history


@pytest.mark.parametrize("part", history.PARTS)
def test_every_part_runs_on_a_few_events(part: str) -> None:
    found = history.measure(part, 300)
    assert (found["part"], found["rows"]) == (part, 300)


def test_made_up_events_are_in_the_order_of_time() -> None:
    events = history.drawn_events(history.definition_of(), 400)
    assert (events.time[1:] >= events.time[:-1]).all()
    assert len(set(events.user.tolist())) <= 20
