"""Descriptions by a language model: what is asked, what of the answer is taken, and that a model is needed that writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from llactr.errors import ModelError
from llactr.profile import StartOptions, start_spec
from llactr.profile.describe_model import descriptions_by_model, usable
from llactr.spec import load_spec
from tests.profile.made_up import make


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (" What the person likes to eat.\nColumn: next", "what the person likes to eat"),
        ("price", ""),
        ("Price", ""),
        ("", ""),
        ("12 34", ""),
        ("USA and other countries", "USA and other countries"),
    ],
)
def test_what_is_taken_of_an_answer(answer: str, taken: str) -> None:
    assert usable(answer, "price") == taken


def test_its_words_are_marked_as_drafts(tmp_path: Path) -> None:
    files, _ = make("a database", tmp_path)
    start_spec(
        files, StartOptions(out=tmp_path / "s.yaml"), describe=lambda _: {"price": "how dear it is"}, model="some model"
    )
    text = (tmp_path / "s.yaml").read_text(encoding="utf-8")
    assert "description: how dear it is  # draft" in text
    assert text.count("# draft") == 1
    assert "were written by some model" in text
    assert load_spec(tmp_path / "s.yaml").field("price").description == "how dear it is"


def test_a_model_that_cannot_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llactr.profile.describe_model.load_encoder", lambda _: object())
    files, _ = make("a database", tmp_path)
    with pytest.raises(ModelError, match="'minilm' is no causal language model"):
        start_spec(
            files, StartOptions(out=tmp_path / "s.yaml"), describe=lambda draft: descriptions_by_model(draft, "minilm")
        )
    assert not (tmp_path / "s.yaml").exists()


def test_every_field_but_keys_and_times_is_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Writer:
        def continuation(self, prompt: str, *, most_tokens: int) -> str:
            assert most_tokens > 0
            asked = prompt.rsplit("Column: ", 1)[1].split("\n")[0]
            return f" what {asked} tells about it\n\nColumn: more"

    monkeypatch.setattr("llactr.profile.describe_model.load_encoder", lambda _: Writer())
    files, _ = make("a database", tmp_path)
    start_spec(
        files,
        StartOptions(out=tmp_path / "s.yaml"),
        describe=lambda draft: descriptions_by_model(draft, "m"),
        model="m",
    )
    spec = load_spec(tmp_path / "s.yaml")
    assert spec.field("price").description == "what price tells about it"
    assert "tells about it" not in spec.field("sku").description
    assert "tells about it" not in spec.field("hour").description
