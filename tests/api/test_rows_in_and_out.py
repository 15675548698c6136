"""Training data in every form is the same data; rows of every library score the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

import llactr
from llactr.errors import DataError, InputError, SpecError, StepError
from llactr.store import events_table
from llactr.store.ingested import dataset_spec

ROWS = [
    {"person": "p3", "dish": "d4", "device": "phone", "event_timestamp": "2023-11-20T12:00:00+00:00"},
    {"person": "p7", "dish": "nothing", "device": "desk", "event_timestamp": "2023-11-21T12:00:00+00:00"},
]


def test_arrow_holds_each_event_with_the_values_of_its_person_and_dish(ws, shop):
    table = ws.training_set().to_arrow()
    events = events_table(ws.workspace, dataset_spec(ws.workspace, "tiny"))
    assert table.num_rows == events.num_rows
    people = pd.read_csv(shop / "people.csv").set_index("person")
    frame = table.to_pandas()
    assert (frame["job"].to_numpy() == people.loc[frame["person"], "job"].to_numpy()).all()
    assert (frame["age"].to_numpy() == people.loc[frame["person"], "age"].to_numpy()).all()
    assert frame["split"].tolist() == ["train"] * 621 + ["validation"] * 78 + ["test"] * 78
    assert frame["event_timestamp"].is_monotonic_increasing


def test_torch_gives_the_ids_of_the_raw_rows_of_the_same_part(ws):
    rows = ws.training_set()
    batch = next(iter(DataLoader(rows.to_torch("validation"), batch_size=1000)))
    raw = rows.to_arrow("validation")
    assert np.array_equal(batch[0].numpy(), rows.joined.transform.ids(raw))
    assert np.array_equal(batch[1].numpy(), raw["label"].to_numpy())


def test_a_part_that_is_none_is_refused(ws):
    with pytest.raises(InputError, match="split is 'dev': choose train, validation, test"):
        ws.training_set().to_arrow("dev")


def test_rows_of_a_dataset_that_changed_are_not_mixed_with_an_old_training_set(ws, monkeypatch):
    from llactr.api import training_data

    rows, real = ws.training_set(), training_data.training_rows
    monkeypatch.setattr(training_data, "training_rows", lambda *given: real(*given).slice(1))
    with pytest.raises(StepError, match="has changed since this training set was made"):
        rows.to_arrow()


def test_arrow_pandas_and_mappings_score_the_same(ws):
    scorer = ws.scorer()
    scores = scorer.score(ROWS)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, scorer.score(pd.DataFrame(ROWS)))
    assert np.array_equal(scores, scorer.score(pa.Table.from_pylist(ROWS)))


def test_a_scorer_without_a_store_is_given_all_fields_and_scores_the_same(ws, shop):
    people, dishes = (pd.read_csv(shop / f"{name}.csv") for name in ("people", "dishes"))
    frame = pd.DataFrame(ROWS[:1]).merge(people, on="person").merge(dishes, on="dish")
    bundle = ws.workspace.current("tiny")["train"]
    alone = llactr.Scorer.load(bundle)
    assert np.allclose(alone.score(frame), ws.scorer().score(ROWS[:1]), atol=1e-6)
    assert np.array_equal(alone.score(frame), alone.score(frame.to_dict("records")))
    with pytest.raises(DataError, match="the rows have no 'age'"):
        alone.score(frame.drop(columns="age"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no rows"),
        (3, "are no Arrow table, data frame or list of mappings"),
        ("rows", "are no Arrow table, data frame or list of mappings"),
        ([{"person": "p1"}], "have no 'dish'"),
        ([{**ROWS[0], "job": "cook"}], "'job', which is not asked for"),
    ],
)
def test_rows_that_cannot_be_scored_are_refused(ws, rows, message):
    with pytest.raises(DataError, match=message):
        ws.scorer().score(rows)


def test_methods_refuse_what_the_command_line_refuses(ws):
    with pytest.raises(InputError, match=r"train\.learning"):
        ws.train({"learning": 1})
    with pytest.raises(InputError, match="no dataset 'books'"):
        ws.training_set("books")
    with pytest.raises(SpecError, match="no dataset spec"):
        ws.ingest("nowhere.yaml")
    with pytest.raises(InputError, match="backbone 'deepfm' was not compared"):
        llactr.evaluate(
            ws, {"backbones": ["fm"], "arms": ["plain"], "seeds": 1, "training": {"fm": {"max_epochs": 1}}}
        ).figure("deepfm")


def test_progress_is_told_to_the_function_given(shop):
    said: list[tuple[str, int, int, str]] = []
    llactr.open(shop / "shop", progress=lambda *step: said.append(step)).apply()
    assert said == [("apply", 1, 1, "unchanged, skipped (--force redoes it)")]


class Product(torch.nn.Module):
    """The factorization machine's second-order term, written the slow way."""

    linear = True

    def forward(self, embedded, *, first_order, pairs):
        products = torch.einsum("bfd,bgd->bfg", embedded, embedded)
        return first_order + products.triu(diagonal=1).sum((1, 2))


def test_a_backbone_of_ones_own_trains_as_the_named_one_that_computes_the_same(ws):
    """The same seed, the same tables, the same steps: FM written by hand ends where `fm` does."""
    from llactr.ctr import CTRModel, ModelConfig, TrainConfig, train

    rows = ws.training_set()
    settings = {"max_epochs": 2, "min_steps": 0, "batch_size": 128}
    mine = llactr.train(Product(), rows, embedding_dim=8, training=settings)
    named = CTRModel(ModelConfig.model_validate({"backbone": "fm", "embedding_dim": 8}), rows.joined.transform.layout)
    train(named, rows.joined.data, TrainConfig(**settings))
    assert torch.allclose(
        mine.model.embedding.weight, named.embedding.weight, atol=1e-4
    )  # a step moves a weight by 1e-3


def test_a_backbone_that_cannot_be_called_is_refused(ws):
    rows = ws.training_set()

    class Other(torch.nn.Module):
        def forward(self, ids):
            return ids

    with pytest.raises(InputError, match="the backbone Other cannot be called"):
        llactr.train(Other(), rows)

    class Wide(torch.nn.Module):
        def forward(self, embedded, *, first_order, pairs):
            return embedded.sum(1)

    with pytest.raises(InputError, match=r"gave logits of shape \(128, 8\)"):
        llactr.train(Wide(), rows, embedding_dim=8, training={"batch_size": 128})
    with pytest.raises(InputError, match="training: unknown key 'epochs', did you mean 'max_epochs'"):
        llactr.train(Product(), rows, training={"epochs": 3})
