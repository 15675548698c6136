from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llactr.errors import InputError
from llactr.evaluation.designs import Design
from llactr.spec import DatasetSpec

FILMS = [f"f{n % 10}" for n in range(100)]
ROWS = pa.table({"person": [f"p{n % 7}" for n in range(100)], "film": FILMS})


def spec(**changes) -> DatasetSpec:
    fields = [
        {"name": name, "description": f"the {name}", "owner": owner, "kind": "categorical"}
        for name, owner in (("person", "user"), ("film", "item"))
    ]
    entities = {"user": {"join_key": "person"}, "item": {"join_key": "film"}}
    return DatasetSpec.model_validate(
        {
            "name": "films", "sources": {"e": {"path": "e.csv", "format": "csv"}}, "events": "e",
            "timestamp": {"column": "at", "unit": "s"}, "label": {"column": "liked"}, "entities": entities,
            "fields": fields, **changes,
        }
    )  # fmt: skip


def rows(name: str, draw: int = 0, held_share: float = 0.3) -> list[int]:
    found = Design.parse(name).training_rows(spec(), ROWS, held_share=held_share, draw=draw)
    assert found.dtype == np.int64
    return found.tolist()


def test_the_chronological_design_trains_on_the_first_eight_tenths():
    assert rows("chronological") == list(range(80)) == rows("chronological", draw=3)


def test_held_out_items_leave_training_with_all_their_rows():
    kept = rows("items")
    assert kept == sorted(kept)
    films = {FILMS[row] for row in kept}
    assert len(films) == 7, "0.3 of 10 films are held out"
    assert kept == [row for row in range(80) if FILMS[row] in films], "the others keep every row of training"


def test_draws_differ_and_repeat():
    for name in ("items", "rows30"):
        assert rows(name, draw=1) == rows(name, draw=1)
        assert len({tuple(rows(name, draw=draw)) for draw in range(5)}) > 1


def test_held_out_items_do_not_depend_on_the_order_of_rows():
    """Which items are held out follows from their keys, not from where they come first."""
    order = np.random.default_rng(0).permutation(100)
    other = Design.parse("items").training_rows(spec(), ROWS.take(pa.array(order)), held_share=0.3, draw=0)
    assert {FILMS[order[row]] for row in other} == {FILMS[row] for row in rows("items")}


@pytest.mark.parametrize(("percent", "count"), [(1, 0), (10, 8), (30, 24), (99, 79)])
def test_a_share_of_the_rows_in_the_order_of_time(percent, count):
    kept = rows(f"rows{percent}")
    assert len(set(kept)) == len(kept) == count
    assert kept == sorted(kept)
    assert not set(kept) - set(range(80))


@given(st.sampled_from(["chronological", "items", *(f"rows{n}" for n in range(1, 100))]))
def test_a_design_is_read_as_it_is_written(name):
    assert str(Design.parse(name)) == name
    assert Design.parse(name).has_draws == (name != "chronological")


@pytest.mark.parametrize(
    "name", ["rows", "rows0", "rows05", "rows100", "items5", "chronological3", "Rows10", "", "cold", "rows10 "]
)
def test_a_name_of_no_design_is_refused(name):
    with pytest.raises(
        InputError, match=f"design '{name}' is not known: choose chronological, items, or rows1 to rows99"
    ):
        Design.parse(name)


def test_a_misspelled_design_is_told_the_near_one():
    with pytest.raises(InputError, match="did you mean 'chronological'\\?"):
        Design.parse("chronologic")


def test_items_cannot_be_held_out_where_there_are_none():
    fields = [
        {"name": name, "description": f"the {name}", "owner": owner, "kind": "categorical"}
        for name, owner in (("person", "user"), ("film", "context"))
    ]
    without = spec(entities={"user": {"join_key": "person"}}, fields=fields)
    with pytest.raises(InputError, match="design 'items' holds out items, 'films' has none: choose chronological"):
        Design.parse("items").training_rows(without, ROWS, held_share=0.2, draw=0)


class Held(BaseModel):
    design: Design


def test_models_hold_designs_by_their_names():
    held = Held.model_validate_json('{"design": "rows30"}')
    assert held.design == Design("rows", 30)
    assert held.model_dump_json() == '{"design":"rows30"}'
    for wrong in ("rows", 3):
        with pytest.raises(ValueError, match="design"):
            Held.model_validate({"design": wrong})
