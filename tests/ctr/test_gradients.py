"""Sums over pairs, the embedding and FRE against the formula written out, gradients included."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from llactr.ctr import BACKBONES, BackboneName, CTRModel, EnhancementConfig, ModelConfig
from llactr.ctr.pairs import PairWeights, all_pairs, pair_matrix, weighted_pairs
from tests.ctr.training_fakes import SIZES, clicks, layout

FIELDS, DIM = len(SIZES), 8
PAIRS = list(itertools.combinations(range(FIELDS), 2))


def naive_pairs(embedded: Tensor, weights: Tensor) -> Tensor:
    """Sum over i<j of w_ij <e_i, e_j>, one pair after the other; weights (B, P) or (P,)."""
    products = [(embedded[:, i] * embedded[:, j]).sum(1) for i, j in PAIRS]
    return (torch.stack(products, 1) * weights).sum(1)


def both_memory_orders(embedded: Tensor) -> list[Tensor]:
    return [embedded.clone(), embedded.transpose(0, 1).contiguous().transpose(0, 1)]


def gradients(value: Tensor, *inputs: Tensor) -> list[Tensor]:
    weight = torch.linspace(-1, 2, len(value), dtype=value.dtype)
    return list(torch.autograd.grad((value * weight).sum(), inputs))


@pytest.mark.parametrize("order", [0, 1], ids=["row-major", "field-major"])
def test_all_pairs_and_its_gradient(order: int) -> None:
    torch.manual_seed(0)
    embedded = both_memory_orders(torch.randn(9, FIELDS, DIM, dtype=torch.float64))[order].requires_grad_()
    ones = torch.ones(len(PAIRS), dtype=torch.float64)
    torch.testing.assert_close(all_pairs(embedded), naive_pairs(embedded, ones))
    found, expected = gradients(all_pairs(embedded), embedded), gradients(naive_pairs(embedded, ones), embedded)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("order", [0, 1], ids=["row-major", "field-major"])
@pytest.mark.parametrize("rows", [1, 9, 9000], ids=["one row", "one piece", "several pieces"])
def test_weighted_pairs_and_their_gradients(order: int, rows: int) -> None:
    torch.manual_seed(1)
    embedded = both_memory_orders(torch.randn(rows, FIELDS, DIM, dtype=torch.float64))[order].requires_grad_()
    vectors = torch.randn(1, len(PAIRS), dtype=torch.float64, requires_grad=True)
    found, expected = weighted_pairs(embedded, PairWeights(vectors)), naive_pairs(embedded, vectors)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, embedded, vectors), gradients(expected, embedded, vectors))


def test_weighted_pairs_take_each_rows_own_version() -> None:
    torch.manual_seed(2)
    embedded = torch.randn(7, FIELDS, DIM, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(3, len(PAIRS), dtype=torch.float64, requires_grad=True)
    version = torch.tensor([0, 2, 2, 1, 0, 1, 2], dtype=torch.int32)
    found = weighted_pairs(embedded, PairWeights(vectors, version))
    expected = naive_pairs(embedded, vectors[version.long()])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, embedded, vectors), gradients(expected, embedded, vectors))


def test_a_pair_matrix_is_symmetric_and_in_the_order_of_pairs() -> None:
    matrix = pair_matrix(torch.arange(1.0, 4.0), field_count=3)
    assert matrix.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def double_model(backbone: BackboneName, *, multi_valued: bool, versions: int) -> tuple[CTRModel, Tensor]:
    """A model in float64 with weights of order one, so that every term of the loss matters."""
    vectors = torch.randn(versions, FIELDS, 12, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    config = ModelConfig.model_validate(
        {
            "backbone": backbone,
            "embedding_dim": DIM,
            "init_std": 0.5,
            "settings": {} if backbone in {"fm", "fwfm", "fmfm"} else {"dropout": 0.0},
            "enhancement": EnhancementConfig(lambda_fre=0.3, lambda_fie=0.7),
        }
    )
    model = CTRModel(config, layout(multi_valued=multi_valued), vectors.float(), seed=3).double()
    vectors = model.enhancement.field_vectors if model.enhancement else vectors
    for name, parameter in model.named_parameters():  # what starts at zero would leave gradients at zero
        if name == "embedding.linear" or name.endswith("gate.context"):
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(8))
    return model, vectors


def naive_loss(model: CTRModel, vectors: Tensor, ids: Tensor, label: Tensor, version: Tensor) -> Tensor:
    """The loss with FIE and FRE as the formulas say, row by row and pair by pair; the backbone itself is the model's."""
    assert model.enhancement is not None
    table, linear = model.embedding.weight, model.embedding.linear
    per_field, first_order, slot, offset = [], torch.zeros(len(ids), dtype=torch.float64), 0, 0
    for size, slots in zip(SIZES, model.layout.slots, strict=True):
        own = ids[:, slot : slot + slots].long()
        used = (own != 0).double() if slots > 1 else torch.ones(own.shape, dtype=torch.float64)
        share = used / used.sum(1, keepdim=True).clamp(min=1)  # (B, S)
        per_field.append((table[own + offset] * share.unsqueeze(2)).sum(1))
        if linear is not None:
            first_order = first_order + (linear[own + offset] * share).sum(1)
        slot, offset = slot + slots, offset + size
    embedded = torch.stack(per_field, 1)
    plain = model.backbone(embedded, first_order=None if linear is None else first_order, pairs=None)
    interaction, projection = model.enhancement.interaction, model.enhancement.projection
    assert interaction is not None
    assert projection is not None
    unit = vectors / vectors.norm(dim=2, keepdim=True)
    cosines = torch.stack([torch.stack([u[i] @ u[j] for i, j in PAIRS]) for u in unit])  # (V, P)
    logits = plain + 0.7 * naive_pairs(embedded, interaction(cosines)[version.long()])
    target = torch.softmax(projection(vectors), -1)[version.long()]  # (B, F, D)
    divergence = (target * (target.log() - torch.log_softmax(embedded, -1))).sum((1, 2)).mean()
    clicks_loss = torch.nn.functional.binary_cross_entropy(torch.sigmoid(logits), label)
    return clicks_loss + 0.3 * divergence


@pytest.mark.parametrize("versions", [1, 3])
@pytest.mark.parametrize("multi_valued", [False, True], ids=["single", "multi-valued"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_loss_and_every_gradient_are_the_formulas(
    backbone: BackboneName, multi_valued: bool, versions: int
) -> None:
    data = clicks(60, multi_valued=multi_valued)
    ids, label = torch.from_numpy(data.ids), torch.from_numpy(data.label).double()
    version = torch.arange(60, dtype=torch.int32) % versions
    model, vectors = double_model(backbone, multi_valued=multi_valued, versions=versions)
    found = model.loss(ids, label, version).total
    expected = naive_loss(model, vectors, ids, label, version)
    torch.testing.assert_close(found, expected)
    names, parameters = zip(*model.named_parameters(), strict=True)
    pairs = zip(
        names,
        torch.autograd.grad(found, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    )
    for name, gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted, msg=lambda text, name=name: f"{name}: {text}")
        assert wanted.abs().max() > 0, f"{name} takes part in the loss"


@pytest.mark.parametrize("versions", [1, 2])
def test_fre_over_distinct_rows_is_fre_over_the_whole_table(versions: int) -> None:
    """Few rows of a batch against a large table take the way over distinct rows; many take the way over the table."""
    data = clicks(400)
    ids, version = torch.from_numpy(data.ids), torch.arange(400, dtype=torch.int32) % versions
    model, _ = double_model("fm", multi_valued=False, versions=versions)
    table_rows = model.embedding.row_count
    few = table_rows // FIELDS // 2
    assert few * FIELDS < table_rows < 400 * FIELDS
    per_row = []
    for rows in (slice(0, few), slice(few, 400)):
        found = model.loss(ids[rows], torch.ones(400, dtype=torch.float64)[rows], version[rows]).representation
        assert found is not None
        per_row.append(found * len(ids[rows]))
    whole = model.loss(ids, torch.ones(400, dtype=torch.float64), version).representation
    torch.testing.assert_close(torch.stack(per_row).sum() / 400, whole)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_rows_of_one_version_score_as_in_a_model_of_that_version(backbone: BackboneName) -> None:
    both, vectors = double_model(backbone, multi_valued=False, versions=2)
    ids = torch.from_numpy(clicks(50).ids)
    with torch.no_grad():
        mixed = both(ids, torch.arange(50, dtype=torch.int32) % 2)
        for version in (0, 1):
            alone = CTRModel(both.config, both.layout, vectors[version].float()).double().eval()
            alone.load_state_dict(both.state_dict())
            torch.testing.assert_close(alone(ids)[version::2], mixed[version::2])
    assert np.ptp(mixed.numpy()) > 0


def test_a_multi_valued_field_is_the_mean_of_its_values_and_zero_without_any() -> None:
    model, _ = double_model("fm", multi_valued=True, versions=1)
    start = SIZES[0] + SIZES[1]
    ids = torch.tensor([[3, 3, 4, 7, 0, 3], [3, 3, 5, 0, 0, 3], [3, 3, 0, 0, 0, 3]], dtype=torch.int32)
    table, linear = model.embedding.weight.detach(), model.embedding.linear
    assert linear is not None
    expected = torch.stack([(table[start + 4] + table[start + 7]) / 2, table[start + 5], torch.zeros(DIM).double()])
    lookup = model.embedding.lookup(ids)
    for field_major in (False, True):
        embedded = model.embedding.embed(lookup, ids=ids, field_major=field_major)
        torch.testing.assert_close(embedded[:, 2], expected)
    first_order = model.embedding.first_order(lookup, ids=ids).detach()
    others = linear[3] + linear[SIZES[0] + 3] + linear[sum(SIZES[:3]) + 3]
    tags = torch.stack([(linear[start + 4] + linear[start + 7]) / 2, linear[start + 5], torch.zeros(()).double()])
    torch.testing.assert_close(first_order, (others + tags).detach())
