"""A new bundle takes over beside the old one, or the old one stays and it is said why."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import numpy as np
import pytest

from llactr.ctr import Bundle
from llactr.errors import BundleError, NotReadyError
from llactr.lifecycle.forgetting.receipts import announce_cleared
from llactr.serving.marked import Fill, Reading
from llactr.store import apply, materialize, training_rows
from llactr.workspace import Workspace
from tests.serving.serving_asgi import started
from tests.serving.serving_workspace import add_bundle, release_version, spec_of

ADMIN = "a" * 24
KEYS = {"environment": {"LLACTR_ADMIN_KEY": ADMIN}}
BODY: dict[str, Any] = {"user": "u1", "items": ["1", "2", "3"], "timestamp": "2024-01-02T03:00:00Z"}


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


def test_a_reload_before_the_store_was_looked_at_again_loads_all_that_was_asked_for(workspace: Workspace) -> None:
    """The store was away at the start; a reload comes before the watch sees that it is back."""
    database = workspace.feast / "online.db"
    database.rename(workspace.feast / "away.db")
    more = {"compare_bundle": "second", "shadow": "second", "probe_interval_s": 10}
    with started(workspace, **KEYS, **more) as asgi:
        assert asgi.ask("POST", "/v1/rank", BODY).status == 503
        (workspace.feast / "away.db").rename(database)
        outcome = asgi.ask("POST", "/v1/admin/reload", x_api_key=ADMIN)
        assert (outcome.status, outcome.json["bundle"]) == (200, "first")
        assert asgi.ask("POST", "/v1/rank", BODY | {"compare": True}).json["compare"]["bundle"] == "second"
        assert asgi.service.shadow is not None
        assert asgi.service.shadow.folder == workspace.artifact("bundles", "second")


def test_items_kept_of_one_materialization_are_not_answered_beside_rows_of_another(workspace: Workspace) -> None:
    """While a request waits for the store, another one finds it filled anew."""
    with started(workspace) as asgi:
        scorer = asgi.service.main.scorer
        reader = asgi.service.main.reader
        asgi.ask("POST", "/v1/rank", BODY)  # its items are kept
        read, run = reader.reading, ["one"]
        items_of: dict[str, set[str]] = {}
        other = BODY | {"user": "u2", "items": ["7"]}

        async def reading(wanted: Any) -> Reading:
            if run[0] == "one":
                run[0] = "two"
                assert (await asgi.asked("POST", "/v1/rank", other)).status == 200
            keys = items_of.setdefault(run[0], set())
            keys.update(key for view, some in wanted if view.owner == "item" for key in some)
            return Reading((await read(wanted)).rows, Fill(run[0], mixed=False))

        scorer._fill = Fill("one", mixed=False)
        reader.reading = reading  # type: ignore[method-assign]
        answer = asgi.ask("POST", "/v1/rank", BODY).json
    assert answer["materialization"]["run"] == "two"
    assert items_of["two"] == {"7", *BODY["items"]}


def test_a_second_bundle_that_is_exchanged_under_a_request_keeps_its_store_for_it(workspace: Workspace) -> None:
    """Users were forgotten while the second bundle of a comparison waits for its rows: it is loaded anew."""
    with started(workspace, compare_bundle="second", probe_interval_s=10) as asgi:
        second = asgi.service.compare
        assert second is not None
        expected = asgi.ask("POST", "/v1/rank", BODY | {"compare": True}).json["compare"]["scores"]
        read = second.reader.reading

        async def reading(wanted: Any) -> Reading:
            announce_cleared(workspace, "shop", 1)
            await asgi.service._clear("shop")
            await asyncio.sleep(0)  # whatever lets go of the old one has its turn
            return await read(wanted)

        second.reader.reading = reading  # type: ignore[method-assign]
        answer = asgi.ask("POST", "/v1/rank", BODY | {"compare": True})
        assert answer.status == 200, answer.body
        assert answer.json["compare"]["scores"] == expected
        assert asgi.service.compare is not second
