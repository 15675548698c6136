"""The log of promotions, the states that follow from it, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llactr.ctr.find import champion_of, find_bundle
from llactr.errors import BundleError, InputError, NotReadyError
from llactr.lifecycle.promotions import bundle_states, pin, pinned, promote, promotions, rollback
from tests.lifecycle.made_up import MadeUp


@pytest.fixture
def at(tmp_path: Path) -> MadeUp:
    """A workspace with the bundles a, b and c, trained in this order, none promoted."""
    made = MadeUp(tmp_path / "ws")
    for name in "abc":
        made.bundle(name, training_set="t", version="v")
    made.workspace.set_current("shop", "train", made.workspace.root / "bundles" / "c")
    return made


def states(at: MadeUp) -> dict[str, str]:
    return {one.bundle: one.state for one in bundle_states(at.workspace, "shop")}


def folder(at: MadeUp, name: str) -> Path:
    return at.workspace.artifact("bundles", name)


def test_before_the_first_promotion_all_are_candidates_and_the_one_trained_last_is_meant(at: MadeUp) -> None:
    assert states(at) == {"a": "candidate", "b": "candidate", "c": "candidate"}
    assert champion_of(at.workspace, "shop") is None
    assert find_bundle(at.workspace, "shop").name == "c"


def test_a_promotion_retires_what_it_passes_over_and_what_is_trained_later_is_a_candidate(at: MadeUp) -> None:
    first = promote(at.workspace, "shop", folder(at, "b"), because="better on new items", by="ann")
    assert (first.number, first.action, first.champion, first.previous) == (1, "promote", "b", None)
    assert (first.who, first.because, first.passed_over) == ("ann", "better on new items", ("c", "a"))
    assert first.figures == {"auc": 0.75, "logloss": 0.5, "rows": 10, "clicks": 3}
    at.bundle("d", training_set="t", version="v")
    assert states(at) == {"a": "retired", "b": "champion", "c": "retired", "d": "candidate"}
    assert find_bundle(at.workspace, "shop").name == "b", "not the one trained last"
    promote(at.workspace, "shop", folder(at, "a"))
    assert states(at) == {"a": "champion", "b": "retired", "c": "retired", "d": "retired"}


def test_promoting_the_champion_again_adds_no_record(at: MadeUp) -> None:
    made = promote(at.workspace, "shop", folder(at, "a"))
    assert promote(at.workspace, "shop", folder(at, "a"), because="again") == made
    assert promotions(at.workspace, "shop") == [made]


def test_rollbacks_go_back_one_champion_at_a_time(at: MadeUp) -> None:
    for name in "abc":
        promote(at.workspace, "shop", folder(at, name))
    went = [rollback(at.workspace, "shop").champion, rollback(at.workspace, "shop").champion]
    assert went == ["b", "a"], "and not back to c"
    with pytest.raises(NotReadyError, match=r"no champion of 'shop' before 'a'"):
        rollback(at.workspace, "shop")
    promote(at.workspace, "shop", folder(at, "c"))
    assert rollback(at.workspace, "shop").champion == "a"
    assert [one.action for one in promotions(at.workspace, "shop")] == [
        *["promote"] * 3,
        *["rollback"] * 2,
        "promote",
        "rollback",
    ]


def test_a_rollback_to_a_named_champion(at: MadeUp) -> None:
    for name in "abc":
        promote(at.workspace, "shop", folder(at, name))
    assert rollback(at.workspace, "shop", to="a").champion == "a"
    with pytest.raises(NotReadyError, match="no champion of 'shop' before"):
        rollback(at.workspace, "shop")
    # c was left by the rollback, and is on no stack; it may be gone back to all the same.
    assert rollback(at.workspace, "shop", to="c").stack == ("a",)
    with pytest.raises(InputError, match="'d' was never the champion of 'shop': choose one of a, b, c"):
        rollback(at.workspace, "shop", to="d")


def test_nothing_to_roll_back_is_said(at: MadeUp) -> None:
    with pytest.raises(NotReadyError, match="was ever promoted: run 'llactr promote' first"):
        rollback(at.workspace, "shop")


def test_bundles_that_cannot_be_promoted(at: MadeUp, tmp_path: Path) -> None:
    for elsewhere in (tmp_path / "a", folder(at, "nothing")):
        with pytest.raises(
            BundleError, match=r"choose one of c, b, a; one that lies elsewhere is served with --bundle"
        ):
            promote(at.workspace, "shop", elsewhere)
    (folder(at, "a") / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"is damaged: its bundle.json cannot be read"):
        promote(at.workspace, "shop", folder(at, "a"))
    assert promotions(at.workspace, "shop") == []


def test_a_champion_that_is_gone_is_no_reason_to_serve_another(at: MadeUp) -> None:
    promote(at.workspace, "shop", folder(at, "a"))
    folder(at, "a").rename(at.workspace.root / "elsewhere")
    with pytest.raises(BundleError, match="'a', which was promoted last, is gone: run 'llactr rollback'"):
        find_bundle(at.workspace, "shop")


@pytest.mark.parametrize("damage", ["{", "[]", '{"champion"'])
def test_a_record_that_cannot_be_read_is_no_reason_to_serve_another(at: MadeUp, damage: str) -> None:
    promote(at.workspace, "shop", folder(at, "a"))
    record = at.workspace.root / "promotions" / "shop" / "000001.json"
    record.write_text(damage)
    for look in (find_bundle, promotions):
        with pytest.raises(BundleError, match=r"000001\.json.* cannot be read"):
            look(at.workspace, "shop")


def test_a_record_that_was_changed_by_hand_is_noticed(at: MadeUp) -> None:
    promote(at.workspace, "shop", folder(at, "a"))
    record = at.workspace.root / "promotions" / "shop" / "000001.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"who": "somebody else"}))
    with pytest.raises(BundleError, match="cannot be read"):
        promotions(at.workspace, "shop")


def test_pins(at: MadeUp) -> None:
    pin(at.workspace, "shop", "a", keep=True)
    assert pinned(at.workspace, "shop") == {"a"}
    assert [one.bundle for one in bundle_states(at.workspace, "shop") if one.pinned] == ["a"]
    pin(at.workspace, "shop", "a", keep=False)
    assert pinned(at.workspace, "shop") == frozenset()
    with pytest.raises(InputError, match="'a' is not pinned"):
        pin(at.workspace, "shop", "a", keep=False)
    with pytest.raises(BundleError, match="no bundle 'z'"):
        pin(at.workspace, "shop", "z", keep=True)
