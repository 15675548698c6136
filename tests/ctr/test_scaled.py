"""Fields whose embedding is a vector times a number: as if their embeddings had been made, in both directions."""

from __future__ import annotations

import pytest
import torch

from llactr.ctr import BACKBONES
from llactr.ctr.backbones.base import Backbone
from llactr.ctr.lookup import Lookup, distinct_rows
from llactr.ctr.scaled import ScaledFields

ROWS, FIELDS, SCALED, DIM, TABLE = 7, 3, 2, 4, 9
TAKING = ("deepfm", "din", "finalmlp", "fm")


def fields() -> ScaledFields:
    """Numbers of which one is missing here and there, and vectors that take gradients."""
    gone = torch.rand(ROWS, SCALED) < 0.4
    numbers = torch.stack([torch.randn(ROWS, SCALED).masked_fill(gone, 0), gone.float()], dim=1)
    return ScaledFields(numbers.requires_grad_(), torch.randn(2, SCALED, DIM, requires_grad=True))


def one_by_one(scaled: ScaledFields) -> torch.Tensor:
    """(B, E, D): every embedding by its own sum."""
    n, v = scaled.numbers, scaled.vectors
    return torch.stack([torch.stack([row[0, e] * v[0, e] + row[1, e] * v[1, e] for e in range(SCALED)]) for row in n])


def made(backbone: str) -> Backbone:
    kind = BACKBONES[backbone]
    return kind(kind.settings(), field_count=FIELDS + SCALED, dim=DIM).double().eval()


@pytest.fixture(autouse=True)
def _double() -> object:
    before = torch.get_default_dtype()
    torch.manual_seed(5)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_sums_are_those_of_the_embeddings() -> None:
    scaled = fields()
    each = one_by_one(scaled)
    torch.testing.assert_close(scaled.embeddings(), each)
    torch.testing.assert_close(scaled.total(), each.sum(1))
    torch.testing.assert_close(scaled.squares(), each.square().sum((1, 2)))
    weight = torch.randn(5, SCALED * DIM)
    torch.testing.assert_close(scaled.through(weight), each.flatten(1) @ weight.t())


def test_those_that_take_them_are_known() -> None:
    assert tuple(sorted(name for name in BACKBONES if BACKBONES[name].takes_scaled)) == TAKING


@pytest.mark.parametrize("backbone", TAKING)
def test_logits_and_gradients_are_those_of_embeddings_made_beforehand(backbone: str) -> None:
    model, scaled = made(backbone), fields()
    embedded, first_order = torch.randn(ROWS, FIELDS, DIM, requires_grad=True), torch.randn(ROWS)
    wanted = model(torch.cat([embedded, one_by_one(scaled)], dim=1), first_order=first_order, pairs=None)
    found = model.with_scaled(embedded, scaled, first_order=first_order)
    torch.testing.assert_close(found, wanted)
    weights = list(model.parameters())
    leaves, pull = [embedded, scaled.numbers, scaled.vectors, *weights], torch.randn(ROWS)
    expected = torch.autograd.grad(wanted, leaves, pull)
    # A missing number is 0 and stays so: what a change of it would do is asked of nobody.
    for at, (got, want) in enumerate(zip(torch.autograd.grad(found, leaves, pull), expected, strict=True)):
        if at == 1:
            there = scaled.numbers != 0
            got, want = got[there], want[there]
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("trained", [True, False])
def test_fm_takes_them_beside_tables(trained: bool) -> None:
    model, scaled = made("fm"), fields()
    table, linear = torch.randn(TABLE, DIM), torch.randn(TABLE)
    rows = torch.randint(TABLE, (ROWS, FIELDS), dtype=torch.int32)
    each = torch.cat([table[rows.long()], one_by_one(scaled)], dim=1)
    wanted = model(each, first_order=linear[rows.long()].sum(1), pairs=None)
    if not trained:
        with torch.no_grad():
            found = model.from_tables(Lookup(table, linear, rows, torch.zeros(TABLE)), scaled=scaled)
        torch.testing.assert_close(found, wanted.detach())
        return
    distinct, inverse, segments = distinct_rows(rows.reshape(-1))
    part, part_linear = table[distinct.long()].requires_grad_(), linear[distinct.long()].requires_grad_()
    lookup = Lookup(part, part_linear, inverse.view(rows.shape), torch.zeros(len(distinct)), segments)
    found = model.from_tables(lookup, scaled=scaled)
    torch.testing.assert_close(found, wanted)
    pull = torch.randn(ROWS)
    again = torch.cat([part[inverse.view(rows.shape).long()], one_by_one(scaled)], dim=1)
    firsts = part_linear[inverse.view(rows.shape).long()].sum(1)
    leaves = [part, part_linear, scaled.vectors]
    expected = torch.autograd.grad(model(again, first_order=firsts, pairs=None), leaves, pull)
    for got, want in zip(torch.autograd.grad(found, leaves, pull), expected, strict=True):
        torch.testing.assert_close(got, want)
