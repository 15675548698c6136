"""Problems in words: all of them, with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llactr.errors import InputError, SpecError
from llactr.lifecycle.config import load_config
from llactr.spec import load_spec
from llactr.validation import problems


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Number(_Strict):
    kind: Literal["number"]
    buckets: int = 2


class _Word(_Strict):
    kind: Literal["word"]
    min_count: int = 1


class _Split(_Strict):
    train: float = Field(default=0.8, lt=1)
    window: _Number | None = None

    @model_validator(mode="after")
    def _agrees(self) -> _Split:
        if self.train == 0:
            raise ValueError("nothing to train on")
        return self


class _Spec(_Strict):
    name: str = "x"
    fields: tuple[Annotated[_Number | _Word, Field(discriminator="kind")], ...] = ()
    split: _Split = _Split()
    sources: dict[str, _Split] = {}
    level: int | str = 0


def _said(content: dict[str, Any], prefix: str = "") -> str:
    with pytest.raises(ValidationError) as caught:
        _Spec.model_validate(content)
    return problems(caught.value, _Spec, content, prefix=prefix, named={"fields": "field"})


def test_all_problems_are_listed_with_their_places() -> None:
    content = {
        "nam": "y",
        "fields": [
            {"name": "age", "kind": "number", "bucket": 3},
            {"kind": "word", "min_count": "many"},
            {"kind": "x"},
        ],
        "split": {"train": 2, "window": {"kind": "number", "bukets": 1}},
        "sources": {"log": {"train": 0}},
    }
    assert _said(content).split("; ") == [
        "field 'age': unknown key 'name', known are kind, buckets",
        "field 'age': unknown key 'bucket', did you mean 'buckets'?",
        "field number 2, 'min_count' is 'many': input should be a valid integer, unable to parse string as an integer",
        "field number 3: unknown kind 'x', expected one of 'number', 'word'",
        "'split.train' is 2: input should be less than 1",
        "'split.window': unknown key 'bukets', did you mean 'buckets'?",
        "'sources.log': nothing to train on",
        "unknown key 'nam', did you mean 'name'?",
    ]


def test_members_of_a_union_are_one_place() -> None:
    said = _said({"level": [1]}, "deep")
    assert said == (
        "deep: level is [1]: input should be a valid integer; deep: level is [1]: input should be a valid string"
    )


def test_many_problems_are_cut_off_with_their_number() -> None:
    said = _said({f"zz{i}": 0 for i in range(54)})
    assert said.count("unknown key") == 50
    assert said.endswith(" (and 4 more)")


def test_a_spec_lists_all_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("name: Shop\nfields: [{name: age, kind: numeric, ownr: user}]\nsplt: {}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    for part in (
        "'name' is 'Shop': use lower-case",
        "'sources' is missing",
        "field 'age': unknown key 'ownr', did you mean 'owner'?",
        "unknown key 'splt', did you mean 'split'?",
    ):
        assert part in str(caught.value)


def test_unknown_keys_of_a_configuration_are_answered_with_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("train: {bakbone: fm, seed: x}\nsemantics: {finetune: {epoch: 3}}\nvales: {}\n")
    with pytest.raises(InputError) as caught:
        load_config(path)
    for part in (
        "train.bakbone: unknown key 'bakbone', did you mean 'backbone'?",
        "train.seed: input should be a valid integer, unable to parse string as an integer, given 'x'",
        "semantics.finetune.epoch: unknown key 'epoch', did you mean 'epochs'?",
        "vales: unknown key 'vales', did you mean 'values'?",
    ):
        assert part in str(caught.value)
