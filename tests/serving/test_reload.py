"""A new bundle takes over beside the old one, or the old one stays and it is said why."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from llactr.ctr import Bundle
from llactr.errors import BundleError, NotReadyError
from llactr.store import apply, materialize, training_rows
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import add_bundle, release_version, spec_of

ADMIN = "a" * 24
KEYS = {"environment": {"LLACTR_ADMIN_KEY": ADMIN}}
BODY = {"user": "u1", "items": ["1", "2", "3"], "timestamp": "2024-01-02T03:00:00Z"}


def test_a_reload_switches_to_the_bundle_trained_last(workspace: Workspace) -> None:
    with started(workspace, **KEYS) as asgi:
        before = asgi.ask("POST", "/v1/rank", BODY).json
        same = asgi.ask("POST", "/v1/admin/reload", x_api_key=ADMIN).json
        assert (same["bundle"], same["changed"]) == ("first", False)
        workspace.set_current("shop", "train", workspace.artifact("bundles", "second"))
        outcome = asgi.ask("POST", "/v1/admin/reload", x_api_key=ADMIN).json
        assert (outcome["previous"], outcome["bundle"], outcome["changed"]) == ("first", "second", True)
        after = asgi.ask("POST", "/v1/rank", BODY).json
    assert (before["bundle"], after["bundle"]) == ("first", "second")
    assert before["scores"] != after["scores"]
    with started(workspace, bundle="second") as fresh:
        assert after["scores"] == pytest.approx(fresh.ask("POST", "/v1/rank", BODY).json["scores"], abs=1e-6)


def test_the_cache_goes_along(workspace: Workspace) -> None:
    with started(workspace, **KEYS) as asgi:
        asgi.ask("POST", "/v1/rank", BODY)
        asgi.ask("POST", "/v1/admin/reload", {"bundle": "second"}, x_api_key=ADMIN)
        misses = asgi.metric("llactr_item_cache_misses_total")
        warm = asgi.ask("POST", "/v1/rank", BODY).json["scores"]
        assert asgi.metric("llactr_item_cache_misses_total") == misses
    with started(workspace, bundle="second") as fresh:
        assert warm == pytest.approx(fresh.ask("POST", "/v1/rank", BODY).json["scores"], abs=1e-6)


@pytest.mark.parametrize("damage", ["missing", "truncated", "absent"])
def test_a_bad_bundle_is_refused_and_the_old_one_stays(workspace: Workspace, damage: str) -> None:
    second = workspace.artifact("bundles", "second")
    weights = second / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        shutil.rmtree(second)
    with started(workspace, **KEYS) as asgi:
        answer = asgi.ask("POST", "/v1/admin/reload", {"bundle": "second"}, x_api_key=ADMIN)
        assert answer.status == 409, answer.body
        assert "the bundle in use stays" in answer.json["detail"]
        assert asgi.ask("POST", "/v1/rank", BODY).json["bundle"] == "first"
        assert asgi.metric("llactr_bundle_reloads_total") == 1


def test_names_that_lead_elsewhere_are_refused(workspace: Workspace) -> None:
    with started(workspace, **KEYS) as asgi:
        for name in ("../first", "/etc", "a/b", "", ".hidden", "x" * 200):
            answer = asgi.ask("POST", "/v1/admin/reload", {"bundle": name}, x_api_key=ADMIN)
            assert answer.status == 422
            assert answer.json["errors"][0]["pointer"] == "/bundle"


def test_two_semantics_versions_live_side_by_side(workspace: Workspace) -> None:
    spec = spec_of()
    with started(workspace, **KEYS) as asgi:
        before = asgi.ask("POST", "/v1/rank", BODY).json["scores"]
        vectors = release_version(workspace, spec, "v-two", seed=99)
        add_bundle(workspace, spec, training_rows(workspace, spec, with_release=False), vectors, "third", seed=1)
        # Not online yet: refused, and said what to run.
        refused = asgi.ask("POST", "/v1/admin/reload", {"bundle": "third"}, x_api_key=ADMIN)
        assert refused.status == 409
        assert "run 'llactr materialize' first" in refused.json["detail"]
        apply(workspace)  # the copy's own offline tables
        materialize(workspace)
        assert asgi.ask("POST", "/v1/rank", BODY).json["scores"] == before
        assert asgi.ask("POST", "/v1/admin/reload", {"bundle": "third"}, x_api_key=ADMIN).status == 200
        assert asgi.ask("GET", "/readyz").json["semantics_version"] == "v-two"
        after = asgi.ask("POST", "/v1/rank", BODY).json
        assert after["semantics_version"] == "v-two"
        back = asgi.ask("POST", "/v1/admin/reload", {"bundle": "first"}, x_api_key=ADMIN).json
        assert back["previous"] == "third"
        assert asgi.ask("POST", "/v1/rank", BODY).json["scores"] == pytest.approx(before, abs=1e-6)
    assert np.abs(np.array(after["scores"]) - np.array(before)).max() > 1e-6


def test_vectors_online_that_are_not_the_bundles_are_refused(workspace: Workspace) -> None:
    folder = workspace.artifact("bundles", "first")
    bundle = Bundle.load(folder)
    turned = type(bundle.vectors)(
        **(bundle.vectors.__dict__ | {"vectors": np.ascontiguousarray(bundle.vectors.vectors[::-1])})
    )
    forged = Bundle(bundle.spec, bundle.transform, bundle.model, turned, bundle.metrics)
    with workspace.writing(workspace.artifact("bundles", "forged")) as draft:
        forged.save(draft)
    with pytest.raises(BundleError, match="differ by"), started(workspace, bundle="forged"):
        raise AssertionError("it started")


def test_nothing_to_serve_is_said(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / "current")
    with pytest.raises(NotReadyError, match="run 'llactr train' first"), started(workspace):
        raise AssertionError("it started")
