"""History numbers in a model: how they travel, how they are standardised, and what they do to each backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from llactr.ctr import BACKBONES, CTRData, CTRModel, ModelConfig, Split, TrainConfig, predict, train
from llactr.ctr.config import HistoryInputConfig
from llactr.ctr.history import HistoryInput, with_history, without_level
from llactr.errors import DataError
from llactr.transforms import FieldLayout

LAYOUT = FieldLayout(("user", "genres", "item"), (5, 6, 7), (1, 2, 1))
NAMES = ("user_rate", "taste", "item_rate")


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    ids = np.stack([rng.integers(1, 5, count), rng.integers(1, 6, count), rng.integers(0, 6, count),
                    rng.integers(1, 7, count)], 1).astype(np.int32)  # fmt: skip
    history = rng.normal(2, 3, (count, 3)).astype(np.float32)
    history[rng.random((count, 3)) < 0.2] = np.nan
    return ids, history


def model_of(backbone: str = "fm", **history: object) -> CTRModel:
    config = ModelConfig.model_validate(
        {
            "backbone": backbone,
            "settings": {},
            "embedding_dim": 4,
            "init_std": 0.5,
            "history": {"names": NAMES, **history},
        }
    )
    return CTRModel(config, LAYOUT, seed=3)


def test_numbers_come_back_from_the_rows_that_carry_them() -> None:
    ids, history = rows(50)
    module = HistoryInput(HistoryInputConfig(names=NAMES), dim=4, init_std=0.1)
    module.fit(history)
    found_ids, numbers = module.split(torch.from_numpy(with_history(ids, history)))
    np.testing.assert_array_equal(found_ids.numpy(), ids)
    missing = np.isnan(history)
    expected = np.clip((history - np.nanmean(history, 0)) / np.nanstd(history, 0), -5, 5)
    np.testing.assert_allclose(numbers[:, 0].numpy(), np.where(missing, 0, expected), atol=1e-5)
    np.testing.assert_array_equal(numbers[:, 1].numpy(), missing)


def test_a_field_that_never_varies_or_never_is_there_is_left_as_it_is() -> None:
    module = HistoryInput(HistoryInputConfig(names=NAMES), dim=4, init_std=0.1)
    module.fit(np.array([[2, np.nan, 1], [2, np.nan, 3]], np.float32))
    assert module.mean.tolist() == [2, 0, 2]
    assert module.deviation.tolist() == [1, 1, 1]


def test_fm_adds_scaled_vectors_to_its_pairs() -> None:
    ids, history = rows(6)
    model = model_of(additive=("user_rate",)).eval()
    assert model.history is not None
    with torch.no_grad():
        model.history.weights.normal_()
        found = model(torch.from_numpy(with_history(ids, history))).numpy()
    vectors, weights = model.history.vectors.detach().numpy(), model.history.weights.detach().numpy()
    table, offsets = model.embedding.weight.detach().numpy(), LAYOUT.offsets
    for row, numbers, logit in zip(ids, history, found, strict=True):
        genres = [table[offsets[1] + g] for g in row[1:3] if g]
        fields = [table[offsets[0] + row[0]], np.mean(genres, 0), table[offsets[2] + row[3]]]
        expected = 0.0
        for at, number in enumerate(numbers):
            gone = np.isnan(number)
            scaled = 0.0 if gone else float(np.clip(number, -5, 5))
            expected += 10 * (weights[1, at] if gone else weights[0, at] * scaled)
            if at:  # the first is additive
                fields.append(vectors[1, at - 1] if gone else vectors[0, at - 1] * scaled)
        expected += sum(a @ b for n, a in enumerate(fields) for b in fields[:n])
        assert logit == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("additive", [(), NAMES])
def test_every_backbone_learns_from_history_alone(backbone: str, additive: tuple[str, ...]) -> None:
    ids, history = rows(1500)
    label = (np.nan_to_num(history[:, 1]) > 1).astype(np.float32)
    model = model_of(backbone, additive=additive)
    assert model.history is not None
    model.history.fit(history[:1000])
    data_rows = with_history(ids, history)
    split = Split(np.arange(1000), np.arange(1000, 1250), np.arange(1250, 1500))
    data = CTRData(data_rows, label, np.zeros(1500, np.int32), split)
    config = TrainConfig.of(backbone, batch_size=100, learning_rate=0.02, max_epochs=12, min_steps=60, weight_decay=0.0)
    result = train(model, data, config)
    assert result.validation.auc is not None
    assert result.validation.auc > 0.9
    scores = predict(model, data_rows[split.test])
    assert scores[label[split.test] > 0].mean() > scores[label[split.test] == 0].mean() + 0.2


def test_lazy_tables_train_beside_history() -> None:
    ids, history = rows(1200)
    label = (np.nan_to_num(history[:, 1]) > 1).astype(np.float32)
    split = Split(np.arange(800), np.arange(800, 1000), np.arange(1000, 1200))
    data = CTRData(with_history(ids, history), label, np.zeros(1200, np.int32), split)
    model = model_of()
    config = TrainConfig.of("fm", batch_size=100, learning_rate=0.02, max_epochs=8, embedding_optimizer="lazy")
    assert (train(model, data, config).validation.auc or 0) > 0.9


def test_what_is_additive_and_the_users_own_reorders_nothing() -> None:
    ids, history = rows(40, seed=2)
    ids[:, 0] = 1
    model = model_of("deepfm", additive=("user_rate",)).eval()
    with torch.no_grad():
        model.history.weights.normal_()  # type: ignore[union-attr]
        orders = []
        for level in (0.1, 9.0):
            history[:, 0] = level
            orders.append(model(torch.from_numpy(with_history(ids, history))).argsort(stable=True).tolist())
    assert orders[0] == orders[1]


def test_the_same_seed_gives_a_plain_model_the_same_weights_as_before() -> None:
    plain = ModelConfig.model_validate({"backbone": "fm", "settings": {}, "embedding_dim": 4})
    assert set(CTRModel(plain, LAYOUT).state_dict()) == {"backbone.bias", "embedding.weight", "embedding.linear"}


def test_a_configuration_with_history_is_written_and_read_again() -> None:
    config = model_of(additive=("user_rate",)).config
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config


def test_history_of_another_length_is_refused() -> None:
    ids, history = rows(4)
    with pytest.raises(DataError, match="one row each"):
        with_history(ids, history[:3])


def test_rows_that_are_no_bits_are_refused() -> None:
    ids, history = rows(4)
    with pytest.raises(DataError, match=r"expected torch\.int32"):
        model_of()(torch.from_numpy(with_history(ids, history)).long())


def test_unknown_additive_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="'other' is not among the fields"):
        HistoryInputConfig(names=NAMES, additive=("other",))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_pair_weights_of_an_enhancement_leave_pairs_with_history_alone(backbone: str) -> None:
    """What FIE adds to the logit is the weighted sum over pairs of fields with ids, worked out pair by pair."""
    ids, history = rows(20)
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    config = model_of(backbone).config.model_dump(mode="json")
    dropless = {} if backbone in {"fm", "fwfm", "fmfm"} else {"dropout": 0.0}
    found = []
    for lambda_fie in (0.0, 0.5):
        enhanced = config | {"enhancement": {"fre": False, "lambda_fie": lambda_fie}, "settings": dropless}
        model = CTRModel(ModelConfig.model_validate(enhanced), LAYOUT, vectors, seed=3).eval()
        with torch.no_grad():
            found.append(model(torch.from_numpy(with_history(ids, history))))
    assert model.enhancement is not None
    with torch.no_grad():
        weights = model.enhancement.pair_weights(None).vectors[0]
        lookup = model.embedding.lookup(torch.from_numpy(ids))
        e = model.embedding.embed(lookup, ids=torch.from_numpy(ids), field_major=False)  # B x F x D
        pairs = [(0, 1), (0, 2), (1, 2)]
        expected = torch.stack([weights[at] * (e[:, i] * e[:, j]).sum(1) for at, (i, j) in enumerate(pairs)]).sum(0)
    np.testing.assert_allclose((found[1] - found[0]).numpy(), expected.numpy(), atol=2e-5)


@pytest.mark.parametrize("backbone", ["fm", "deepfm"])
def test_without_the_level_scores_tell_candidates_apart_alone(backbone: str) -> None:
    """Two rows that differ in what is the person's own alone get one score; what is not additive keeps its bits."""
    ids, history = rows(40)
    model = model_of(backbone, additive=("user_rate",)).eval()
    assert model.history is not None
    with torch.no_grad():
        model.history.weights.fill_(0.3)
    given = with_history(ids, history)
    moved = with_history(ids, np.where(np.arange(3) == 0, history + 1.5, history))
    assert not np.array_equal(predict(model, given), predict(model, moved))
    config = HistoryInputConfig(names=NAMES, additive=("user_rate",))
    still = without_level(given, config)
    np.testing.assert_array_equal(predict(model, still), predict(model, without_level(moved, config)))
    np.testing.assert_array_equal(np.delete(still, 4, axis=1), np.delete(given, 4, axis=1))
    assert np.isnan(still[:, 4:5].copy().view(np.float32)).all()
    np.testing.assert_array_equal(given, with_history(ids, history), err_msg="what was given stays as it was")
    scores, others = predict(model, still), predict(model, with_history(ids, np.where(np.arange(3) == 1, 9, history)))
    assert not np.array_equal(scores, others), "what compares the candidate with the past still acts"
