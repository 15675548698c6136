from __future__ import annotations

import pytest
from pydantic import ValidationError

from llactr.semantics import Prompts


def test_field_and_feature_sentences():
    prompts = Prompts()
    assert prompts.field_text("age of the user") == "The field is: age of the user."
    assert prompts.field_text("age of the user. ") == "The field is: age of the user."
    assert prompts.feature_text("25") == "The feature is: 25."


def test_question_and_answer_end_like_the_field_sentence():
    prompts = Prompts()
    assert prompts.question("25") == "The feature is: 25. The field is:"
    assert prompts.answer("age of the user") == " age of the user."
    assert (prompts.question("25") + prompts.answer("age")).endswith(prompts.field_text("age"))


@pytest.mark.parametrize("value", ["{description}", "{0.__class__}", "{value} {value}", "%s", "a\nb", "ü"])
def test_values_are_put_in_as_they_stand(value: str):
    assert Prompts().feature_text(value) == "The feature is: " + value + "."


@pytest.mark.parametrize("template", ["no placeholder", "{value} and {value}"])
def test_a_prompt_needs_its_placeholder_once(template: str):
    with pytest.raises(ValidationError, match=r"'feature' must hold \{value\} exactly once"):
        Prompts(feature=template)
