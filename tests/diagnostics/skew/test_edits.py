from __future__ import annotations

import pytest

from llactr.diagnostics.skew.edits import edit_distance


@pytest.mark.parametrize(
    ("first", "second", "edits"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("kitten", "sitting", 3),  # k to s, e to i, g behind
        ("abcd", "acbd", 2),  # two neighbours that changed places
        ("abcd", "bcda", 2),  # the first went to the end: out and in
        ("bcde", "abcd", 2),  # a list of four that lost its oldest for a newer one
        ("abcdef", "abdef", 1),
        ("aaaa", "aa", 2),
        ("saturday", "sunday", 3),
    ],
)
def test_distances_worked_out_by_hand(first: str, second: str, edits: int) -> None:
    assert edit_distance(first, second) == edits
    assert edit_distance(second, first) == edits


def test_events_are_compared_as_wholes() -> None:
    one = [(7, 100, True), (8, 200, False)]
    assert edit_distance(one, [(7, 100, True), (8, 200, True)]) == 1  # another outcome
    assert edit_distance(one, [(7, 101, True), (8, 200, False)]) == 1  # another time
