"""The service's ids and scores are those of the offline path, through every door."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from llactr.ctr import Bundle
from llactr.diagnostics.service_agreement import request_rows
from llactr.store import events_table, training_rows
from llactr.workspace import Workspace
from tests.serving.serving_asgi import Asgi, started
from tests.serving.serving_workspace import EVENTS, spec_of


@pytest.fixture(scope="module")
def asgi(built: Workspace) -> Iterator[Asgi]:
    with started(built, compare_bundle="plain") as running:
        yield running


def test_predict_equals_the_offline_path_on_all_events(built: Workspace, asgi: Asgi) -> None:
    spec = spec_of()
    bundle = Bundle.load(built.artifact("bundles", "first"))
    offline = training_rows(built, spec)
    ids, scores = [], []
    for start in range(0, EVENTS, 1000):
        body = {"rows": request_rows(events_table(built, spec).slice(start, 1000), spec), "return_ids": True}
        answer = asgi.ask("POST", "/v1/predict", body)
        assert answer.status == 200, answer.body
        ids += answer.json["ids"]
        scores += answer.json["scores"]
    assert np.array_equal(np.array(ids), bundle.transform.ids(offline))
    assert np.abs(np.array(scores) - bundle.score(offline)).max() <= 1e-6


def test_rank_is_predict_of_each_candidate(asgi: Asgi) -> None:
    items = [str(i) for i in (3, 1, 4, 1, 5, 92, 65, 999)]
    shared = {"timestamp": "2024-02-03T04:05:06.5+02:00", "context": {"Device (type)": "tv", "seconds": 12}}
    ranked = asgi.ask("POST", "/v1/rank", {"user": "u3", "items": items, "return_ids": True, **shared}).json
    rows = [{"user": "u3", "item": item, **shared} for item in items]
    predicted = asgi.ask("POST", "/v1/predict", {"rows": rows, "return_ids": True}).json
    assert ranked["items"] == items
    assert ranked["ids"] == predicted["ids"]
    assert np.abs(np.array(ranked["scores"]) - np.array(predicted["scores"])).max() <= 1e-6
    assert ranked["bundle"] == "first"
    assert ranked["semantics_version"] == "v-one"
    assert ranked["cold"] == {"user": 0, "item": 1}


def test_top_k_is_best_first_and_stable(asgi: Asgi) -> None:
    items = [str(i) for i in range(50)] + ["7", "7"]
    everything = asgi.ask("POST", "/v1/rank", {"user": 3, "items": items}).json
    best = asgi.ask("POST", "/v1/rank", {"user": 3, "items": items, "top_k": 10, "return_ids": True}).json
    order = sorted(range(len(items)), key=lambda i: (-everything["scores"][i], i))[:10]
    assert best["items"] == [items[i] for i in order]
    assert best["scores"] == sorted(best["scores"], reverse=True)
    assert len(best["ids"]) == 10


def test_integer_keys_are_their_text(asgi: Asgi) -> None:
    text = asgi.ask("POST", "/v1/rank", {"user": "u1", "items": ["1", "2"], "return_ids": True}).json
    number = asgi.ask("POST", "/v1/rank", {"user": "u1", "items": [1, 2], "return_ids": True}).json
    assert text["ids"] == number["ids"]


def test_the_second_bundle_scores_the_same_rows(built: Workspace, asgi: Asgi) -> None:
    body = {"user": "u1", "items": ["1", "2", "3"], "compare": True, "top_k": 2, "timestamp": "2024-01-02T03:00:00Z"}
    both = asgi.ask("POST", "/v1/rank", body).json
    with started(built, bundle="plain") as plain:
        alone = plain.ask("POST", "/v1/rank", body | {"compare": False, "items": both["items"], "top_k": None}).json
    assert both["compare"]["bundle"] == "plain"
    assert np.abs(np.array(both["compare"]["scores"]) - np.array(alone["scores"])).max() <= 1e-6


def test_the_values_that_were_read_are_returned(asgi: Asgi) -> None:
    body = {"user": "u1", "items": ["2", "11", "nope"], "return_features": True, "timestamp": "2024-01-02T03:00:00Z"}
    features = asgi.ask("POST", "/v1/rank", body).json["features"]
    assert features["occupation"] == ["Ärztin"]
    assert features["title"] == ["title 1", "title 5", None]
    assert features["price"] == [3.0, 16.5, None]
    assert features["listed"][:2] == ["1967-03-03T04:05:06+00:00", None]
    assert features["item_id"] == ["2", "11", "nope"]


def test_cold_starts_are_answered_and_counted(asgi: Asgi) -> None:
    before = asgi.metric("llactr_cold_starts_total")
    answer = asgi.ask("POST", "/v1/rank", {"user": "nobody", "items": ["1", "nothing", "nothing at all"]})
    assert answer.status == 200
    assert answer.json["cold"] == {"user": 1, "item": 2}
    # 1 user and 2 items are unknown to the store, and as many keys to the vocabularies.
    assert asgi.metric("llactr_cold_starts_total") - before == 6


def test_cache_hits_give_the_same_scores_and_are_counted(built: Workspace) -> None:
    body = {"user": "u1", "items": [str(i) for i in range(200)], "timestamp": "2024-01-02T03:00:00Z"}
    with started(built, cache_ttl_s=60) as cached, started(built, cache_ttl_s=0) as direct:
        first = cached.ask("POST", "/v1/rank", body).json["scores"]
        hits = cached.metric("llactr_item_cache_hits_total")
        second = cached.ask("POST", "/v1/rank", body).json["scores"]
        assert cached.metric("llactr_item_cache_hits_total") - hits == 200
        assert cached.metric("llactr_item_cache_age_seconds_count") >= 1
        uncached = direct.ask("POST", "/v1/rank", body).json["scores"]
        direct.ask("POST", "/v1/rank", body)
        assert direct.metric("llactr_item_cache_hits_total") == 0
    assert first == second
    assert np.abs(np.array(first) - np.array(uncached)).max() <= 1e-6


def test_similar_fields_are_cosines(built: Workspace, asgi: Asgi) -> None:
    vectors = Bundle.load(built.artifact("bundles", "first")).vectors
    unit = vectors.vectors - vectors.vectors.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    found = asgi.ask("GET", "/v1/fields/Device%20(type)/similar?top_k=3".replace("%20", " ")).json
    row = vectors.fields.index("Device (type)")
    expected = sorted(
        (f for f in vectors.fields if f != "Device (type)"), key=lambda f: -cosines[row, vectors.fields.index(f)]
    )
    assert [entry["field"] for entry in found["similar"]] == expected[:3]
    assert found["similar"][0]["cosine"] == pytest.approx(cosines[row, vectors.fields.index(expected[0])], abs=1e-5)
    assert asgi.ask("GET", "/v1/fields/nope/similar").status == 404
    assert asgi.ask("GET", "/v1/fields/age/similar?top_k=0").json["errors"][0]["pointer"] == "/query/top_k"


def test_model_names_bundle_fields_and_versions(asgi: Asgi) -> None:
    model = asgi.ask("GET", "/v1/model").json
    assert (model["bundle"], model["semantics_version"], model["current_release"]) == ("first", "v-one", "v-one")
    assert [field["name"] for field in model["fields"]] == list(spec_of().field_names)
    assert model["compare"] == {
        "bundle": "plain", "backbone": "deepfm", "enhanced": False, "values_version": None, "history": None
    }  # fmt: skip
    assert len(model["examples"]["user"]) > 30
