from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainConfig, predict, train
from llactr.ctr.config import ValuesConfig
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep
from llactr.ctr.values.embedding import ValueEmbedding, ValueTables
from llactr.ctr.values.pca import fit_pca
from llactr.ctr.values.projections import ValueProjections, folded
from llactr.ctr.values.unseen import UnseenValues
from llactr.ctr.values.unseen_rows import find_unseen
from llactr.errors import DataError, InputError
from llactr.semantics.values import FieldValueVectors, ValueVectors
from llactr.spec import DatasetSpec
from llactr.transforms import OOV, Transform
from tests import specs

WORDS = tuple(f"film {n}" for n in range(8))
TAGS = ("a", "b", "c", "d")


def _spec() -> DatasetSpec:
    person, film = specs.field("person", "user"), specs.field("film", "item", value_text=["tags"])
    tags = specs.field("tags", "item", "multi_valued", max_values=3, value_text=True)
    return specs.spec_of(person, film, tags, name="films", tables={"item": "films"})


def _rows(count: int = 400) -> pa.Table:
    rng = np.random.default_rng(3)
    film = rng.choice(6, size=count, p=[0.4, 0.3, 0.15, 0.09, 0.05, 0.01])
    return pa.table(
        {
            "person": [f"p{n}" for n in rng.integers(0, 9, count)],
            "film": [WORDS[n] for n in film],
            "tags": [f"{TAGS[n % 3]} {TAGS[(n + 1) % 3]}" for n in film],
        }
    )


def _vectors(dim: int = 5) -> ValueVectors:
    rng = np.random.default_rng(4)
    fields = {}
    for name, values in (("film", WORDS), ("tags", TAGS)):
        drawn = rng.standard_normal((len(values), dim))
        fields[name] = FieldValueVectors(
            values, (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
        )
    return ValueVectors("films", "v1", "test", fields)


def _by_value() -> dict[str, dict[str, np.ndarray]]:
    return {name: dict(zip(f.values, f.vectors, strict=True)) for name, f in _vectors().fields.items()}


@pytest.fixture(scope="module")
def transform() -> Transform:
    return Transform.fit(_spec(), _rows())


@pytest.fixture
def tables(transform: Transform) -> ValueTables:
    return ValueTables.fit(transform, _vectors(), ValuesConfig(tau=20, rank=3))


def _data(transform: Transform) -> CTRData:
    rows = _rows()
    label = (np.random.default_rng(5).random(rows.num_rows) < 0.5).astype(np.float32)
    parts = [np.arange(0, 300), np.arange(300, 350), np.arange(350, 400)]
    return CTRData(transform.ids(rows), label, np.zeros(len(label), np.int32), Split(*parts))


def _trained(transform: Transform, tables: ValueTables, backbone: str) -> CTRModel:
    model = CTRModel(ModelConfig(backbone=backbone, settings={}), transform.layout, values=tables, seed=1)
    train(model, _data(transform), TrainConfig(batch_size=64, max_epochs=3, min_steps=0, learning_rate=0.02))
    return model


def test_pca_centers_and_scales_to_root_mean_square_one() -> None:
    vectors = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32) * [5, 3, 1, 1, 1, 0.1] + 7
    pca = fit_pca(vectors.astype(np.float32), rank=2)
    z = pca.project(vectors.astype(np.float32))
    assert z.shape == (40, 2)
    assert np.abs(z.mean(axis=0)).max() < 1e-5
    assert np.sqrt((z**2).sum(axis=1).mean()) == pytest.approx(1, abs=1e-5)
    left, size, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    expected = left[:, :2] * size[:2]  # the same directions up to sign and scale
    expected /= np.sqrt((expected**2).sum(axis=1).mean())
    assert np.abs(np.abs(z) - np.abs(expected)).max() < 1e-4


def test_pca_of_equal_vectors_says_nothing() -> None:
    pca = fit_pca(np.ones((3, 4), np.float32), rank=24)
    assert pca.rank == 2
    assert not pca.project(np.ones((3, 4), np.float32)).any()


def test_the_gate_is_tau_over_count_plus_tau(transform: Transform, tables: ValueTables) -> None:
    field = next(one for one in tables.fields if one.name == "film")
    vectors = _vectors().fields["film"]
    trained = [vectors.values.index(v) for v in transform.values("film")]
    for local, value in enumerate(transform.values("film"), start=3):
        count = transform.counts[1][local]
        z = fit_pca(vectors.vectors[trained], rank=3).project(vectors.vectors[[vectors.values.index(value)]])[0]
        np.testing.assert_allclose(field.gated[local].numpy(), 20 / (count + 20) * z, atol=1e-6)
    assert not field.gated[:3].any(), "reserved ids have no vector"


def test_the_table_and_its_gradient_are_the_formula(transform: Transform, tables: ValueTables) -> None:
    model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=tables)
    embedding = model.embedding
    weight = torch.randn(embedding.table().shape)
    (embedding.table() * weight).sum().backward()
    for number, field in enumerate(tables.fields):
        rows = slice(field.start, field.stop)
        expected = embedding.weight[rows] + field.gated @ embedding.projections[number]
        torch.testing.assert_close(embedding.table()[rows], expected)
        torch.testing.assert_close(embedding.projections[number].grad, field.gated.T @ weight[rows])
    torch.testing.assert_close(embedding.weight.grad, weight)
    torch.testing.assert_close(embedding.linear_table(), embedding.linear.detach(), msg="q starts at 0")


def test_some_rows_are_those_of_the_whole_table(transform: Transform, tables: ValueTables) -> None:
    model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=tables)
    embedding = model.embedding
    with torch.no_grad():
        for projection in embedding.linear_projections:
            projection.normal_()
    rows = torch.tensor([0, 5, 12, 13, 15, 20, 24])
    table, linear = embedding.rows_in_use(rows, [embedding.weight[rows], embedding.linear[rows]])
    torch.testing.assert_close(table, embedding.table()[rows])
    torch.testing.assert_close(linear, embedding.linear_table()[rows])


@pytest.mark.parametrize("backbone", ["fm", "deepfm", "finalmlp"])
def test_folding_changes_no_score(transform: Transform, tables: ValueTables, backbone: str) -> None:
    model = _trained(transform, tables, backbone)
    ids = transform.ids(_rows())
    plain = folded(model)
    assert type(plain.embedding).__name__ == "FusedEmbedding"
    np.testing.assert_allclose(predict(plain, ids), predict(model, ids), atol=1e-7)
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("backbone", ["fm", "deepfm", "finalmlp"])
def test_an_unseen_value_is_scored_by_its_vector(transform: Transform, tables: ValueTables, backbone: str) -> None:
    model = _trained(transform, tables, backbone)
    projections = ValueProjections.of(model)
    plain = folded(model).eval()
    unseen = UnseenValues(plain, transform, projections)
    rows = pa.table({"person": ["p1"] * 3, "film": ["film 6", "film 7", "film 0"], "tags": ["a", "d a", None]})
    ids = transform.ids(rows)
    before = predict(plain, ids)
    assert before[0] != pytest.approx(before[2])
    found = unseen.find(ids, rows)
    assert {name: one.values for name, one in found.items()} == {"film": ("film 6", "film 7"), "tags": ("d",)}
    after = unseen.score(ids, found, unseen.rows_of(_by_value()))
    assert after[0] != pytest.approx(before[0], abs=1e-6)
    assert after[2] == before[2], "known values keep their scores"
    # The same by hand: put E_oov + z P into the table's own OOV row and score one film at a time.
    oov = int(transform.layout.offsets[1]) + OOV
    placed, linear = projections.fields["film"].place(_vectors().fields["film"].vectors[[6]])
    with torch.no_grad():
        plain.embedding.weight[oov] += torch.from_numpy(placed[0])
        if plain.embedding.linear is not None:
            plain.embedding.linear[oov] += float(linear[0])
    np.testing.assert_allclose(predict(plain, ids[:1]), after[:1], atol=1e-6)


def test_validation_scores_unseen_values_as_serving_does(transform: Transform) -> None:
    """The rows behind the table in training, and those that scoring adds to a batch, are the same."""
    seen, table = (
        _rows(),
        pa.table({"person": ["p1"] * 3, "film": ["film 6", "film 7", "film 0"], "tags": ["a", "d a", None]}),
    )
    rows = pa.concat_tables([seen, table])
    ids = transform.ids(rows)
    unseen = find_unseen(transform, ids, rows, ["film", "tags"])
    assert unseen["film"].values == ("film 6", "film 7")
    assert unseen["tags"].values == ("d",)
    assert unseen["film"].rows.tolist() == [400, 401]
    tables = ValueTables.fit(transform, _vectors(), ValuesConfig(rank=3), unseen)
    changed = tables.ids(ids, unseen, transform.layout, training=np.arange(400))
    assert np.array_equal(changed[:400], ids[:400])
    assert (changed[400:402, 1] >= transform.layout.vocab_sizes[1]).all()
    model = CTRModel(ModelConfig(backbone="deepfm", settings={}), transform.layout, values=tables, seed=1)
    train(model, _data(transform), TrainConfig(batch_size=64, max_epochs=2, min_steps=0, learning_rate=0.02))
    scores = predict(model, changed[400:])
    online = UnseenValues(folded(model), transform, ValueProjections.of(model))
    found = online.find(ids[400:], table)
    np.testing.assert_allclose(online.score(ids[400:], found, online.rows_of(_by_value())), scores, atol=1e-6)
    assert not np.allclose(scores[:2], predict(folded(model), ids[400:402]), atol=1e-6)


def test_a_value_without_a_vector_stays_out_of_vocabulary(transform: Transform, tables: ValueTables) -> None:
    model = _trained(transform, tables, "fm")
    plain = folded(model)
    unseen = UnseenValues(plain, transform, ValueProjections.of(model))
    rows = pa.table({"person": ["p1"] * 2, "film": ["film 6", "film 7"], "tags": ["a", "a"]})
    ids = transform.ids(rows)
    found = unseen.find(ids, rows)
    scores = unseen.score(ids, found, unseen.rows_of({"film": {"film 6": _by_value()["film"]["film 6"]}}))
    before = predict(plain, ids)
    assert scores[1] == before[1]
    assert scores[0] != pytest.approx(before[0], abs=1e-6)
    np.testing.assert_array_equal(unseen.score(ids, found, {}), before)


def test_the_first_unseen_word_of_a_list_counts(transform: Transform, tables: ValueTables) -> None:
    model = _trained(transform, tables, "fm")
    unseen = UnseenValues(folded(model), transform, ValueProjections.of(model))
    rows = pa.table({"person": ["p1"] * 3, "film": ["film 0"] * 3, "tags": ["a d x", "a x d", "a d"]})
    ids = transform.ids(rows)
    found = unseen.find(ids, rows)
    assert [found["tags"].values[place] for place in found["tags"].places] == ["d", "x", "d"]
    scores = unseen.score(ids, found, unseen.rows_of(_by_value()))
    assert scores[0] == scores[2]
    assert scores[1] == predict(folded(model), ids)[1], "x comes first and has no vector"


def test_many_rows_are_scored_pass_by_pass_as_one_by_one(
    transform: Transform, tables: ValueTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _trained(transform, tables, "deepfm")
    unseen = UnseenValues(folded(model), transform, ValueProjections.of(model))
    films = [WORDS[n % 8] for n in range(50)]
    rows = pa.table({"person": ["p1"] * 50, "film": films, "tags": ["a d" if n % 3 else None for n in range(50)]})
    ids, placed = transform.ids(rows), unseen.rows_of(_by_value())
    together = unseen.score(ids, unseen.find(ids, rows), placed)
    alone = [unseen.score(ids[n : n + 1], unseen.find(ids[n : n + 1], rows.slice(n, 1)), placed)[0] for n in range(50)]
    np.testing.assert_allclose(together, alone, atol=1e-7)
    monkeypatch.setattr("llactr.ctr.values.unseen._ROWS_PER_PASS", 7)
    np.testing.assert_allclose(unseen.score(ids, unseen.find(ids, rows), placed), together, atol=1e-7)


def test_projections_survive_a_folder(transform: Transform, tables: ValueTables, tmp_path) -> None:
    kept = ValueProjections.of(_trained(transform, tables, "fm"))
    kept.save(tmp_path)
    loaded = ValueProjections.load(tmp_path)
    assert (loaded.version, loaded.encoder, loaded.config) == ("v1", "test", kept.config)
    vectors = _vectors().fields["tags"].vectors
    for left, right in zip(loaded.fields["tags"].place(vectors), kept.fields["tags"].place(vectors), strict=True):
        assert np.array_equal(left, right)


def test_vectors_of_other_values_are_refused(transform: Transform) -> None:
    other = ValueVectors("films", "v1", "test", {"film": FieldValueVectors(("x", "y"), np.eye(2, 5, dtype=np.float32))})
    with pytest.raises(DataError, match="hold none of the training values"):
        ValueTables.fit(transform, other, ValuesConfig())


def test_the_same_seed_starts_from_the_same_plain_weights(transform: Transform, tables: ValueTables) -> None:
    config = ModelConfig(backbone="deepfm", settings={})
    plain, valued = (
        CTRModel(config, transform.layout, seed=2),
        CTRModel(config, transform.layout, values=tables, seed=2),
    )
    state = valued.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())


def test_cold_starts_replace_what_only_that_entity_has(transform: Transform, tables: ValueTables) -> None:
    spec = _spec()
    assert ColdStart.of(spec, transform, 0) is None
    cold = ColdStart.of(spec, transform, 0.5)
    ids = torch.from_numpy(transform.ids(_rows()))
    for values in (None, tables):
        model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=values)
        if isinstance(model.embedding, ValueEmbedding):
            model.embedding.has_stand_ins = True
        plain = ids + torch.from_numpy(transform.layout.offsets[transform.layout.slot_fields])
        assert torch.equal(model.eval().embedding.row_ids(ids).long(), plain), "scoring knows no cold starts"
        torch.manual_seed(0)
        rows = model.train().embedding.row_ids(cold(ids, model.embedding)).long()
        changed = rows != plain
        assert not changed[:, 2:].any(), "tags are shared"
        assert 0.4 < changed[:, 0].float().mean() < 0.6
        assert 0.4 < changed[:, 1].float().mean() < 0.6
        table = model.embedding.table()
        oov = model.embedding.weight[int(transform.layout.offsets[1]) + OOV]
        got = table[rows[changed[:, 1], 1]]
        if values is None:
            torch.testing.assert_close(got, oov.expand_as(got))
        else:
            z = values.fields[0].z[ids[changed[:, 1], 1].long()]
            torch.testing.assert_close(got, oov + z @ model.embedding.projections[0])


def test_a_title_goes_with_its_film() -> None:
    rows = pa.table({"person": ["a", "b", "c"], "film": ["x", "x", "y"], "tags": ["1", "1", "1"]})
    spec = _spec().model_copy(
        update={"fields": (*_spec().fields[:2], _spec().fields[1].model_copy(update={"name": "title"}))}
    )
    rows = rows.append_column("title", pa.array(["X", "X", "Y"]))
    transform = Transform.fit(spec, rows)
    cold = ColdStart.of(spec, transform, 0.999999)
    drawn = {slot: chosen for _, slot, chosen in cold.draw(torch.from_numpy(transform.ids(rows)))}
    assert drawn[1].all()
    assert drawn[2].all()


def test_cold_starts_with_lazy_tables_are_refused(transform: Transform, tables: ValueTables) -> None:
    cold = ColdStart.of(_spec(), transform, 0.5)
    model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=tables)
    with pytest.raises(InputError, match="embedding_optimizer 'dense', found 'lazy'"):
        train(model, _data(transform), TrainConfig(batch_size=64, embedding_optimizer="lazy"), cold=cold)


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
def test_projections_have_a_weight_decay_of_their_own(transform: Transform, optimizer: str) -> None:
    """Without gradients coupled decay is all that Adam sees: a first step moves a weight by the learning rate, or not."""
    for model_decay, factor, moved in ((0.1, 10.0, True), (0.1, 0.0, False), (0.0, 10.0, False)):
        config = ValuesConfig(tau=5, rank=3, decay_factor=factor)
        values = ValueTables.fit(transform, _vectors(), config)
        model = CTRModel(ModelConfig(backbone="deepfm", settings={}), transform.layout, values=values, seed=1)
        training = TrainConfig(learning_rate=1e-3, weight_decay=model_decay, embedding_optimizer=optimizer)
        step = TrainingStep(model, training, Processes())
        projection, bias = model.embedding.projections[0], model.backbone.mlp[-1].bias
        before, bias_before = projection.detach().clone(), bias.detach().clone()
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        assert step._adam is not None
        step._adam.step()
        expected = before - 1e-3 * before.sign() if moved else before
        torch.testing.assert_close(projection.detach(), expected, rtol=0, atol=1e-6)
        expected_bias = bias_before - 1e-3 * bias_before.sign() if model_decay else bias_before
        torch.testing.assert_close(bias.detach(), expected_bias, rtol=0, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
def test_training_learns_with_either_optimizer(transform: Transform, tables: ValueTables, optimizer: str) -> None:
    model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=tables, seed=1)
    before = model.embedding.projections[0].detach().clone()
    result = train(
        model, _data(transform), TrainConfig(batch_size=64, max_epochs=2, min_steps=0, embedding_optimizer=optimizer)
    )
    assert result.history[-1].train_loss < 0.7
    assert not torch.equal(model.embedding.projections[0], before)


def test_unseen_rows_are_read_from_the_rows_of_a_batch_as_from_the_whole_table(transform: Transform) -> None:
    """Sharded tables hold no rows behind the table: an unseen value's row number was out of their range."""
    rows = _rows().set_column(1, "film", pa.array([WORDS[n % 8] for n in range(400)]))
    ids = transform.ids(rows)
    unseen = find_unseen(transform, ids, rows, ["film"])
    assert unseen["film"].values
    tables = ValueTables.fit(transform, _vectors(), ValuesConfig(tau=20, rank=3), unseen)
    model = CTRModel(ModelConfig(backbone="fm", settings={}), transform.layout, values=tables, seed=1).eval()
    embedding = model.embedding
    torch.nn.init.normal_(embedding.linear)
    for projection in embedding.linear_projections:
        torch.nn.init.normal_(projection)
    placed = torch.from_numpy(tables.ids(ids, unseen, transform.layout, training=np.arange(0)))
    assert int(embedding.row_ids(placed).max()) >= transform.layout.total_rows
    held = [embedding.weight.detach(), embedding.linear.detach()]

    def fetch(wanted: torch.Tensor) -> list[torch.Tensor]:
        assert int(wanted.max()) < transform.layout.total_rows, "a shard has no such row"
        return [table.index_select(0, wanted) for table in held]

    with torch.no_grad():
        expected = model(placed)
        _, _, lookup = embedding.distinct_lookup(placed, fetch, field_major=model.reads_field_major)
        torch.testing.assert_close(model(placed, lookup=lookup), expected)
    _, _, lookup = embedding.distinct_lookup(placed, fetch, field_major=False)
    torch.testing.assert_close(lookup.table[lookup.rows], embedding.table()[embedding.row_ids(placed)])
