"""The two sentences that a language model reads: one names a field, one shows a value of an unnamed field."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["DEFAULT_PROMPTS", "Prompts"]


class Prompts(BaseModel):
    """Templates, filled by plain replacement of one placeholder.

    A field is a sentence made of its description and not of its name alone: one-token names have nearly equal
    last-token vectors in a causal model, and a description says what `class` or `c7` means.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str = "The field is: {description}."
    feature: str = "The feature is: {value}."

    @model_validator(mode="after")
    def _placeholders_are_there(self) -> Prompts:
        for name, placeholder in (("field", "{description}"), ("feature", "{value}")):
            if getattr(self, name).count(placeholder) != 1:
                raise ValueError(f"the prompt {name!r} must hold {placeholder} exactly once")
        return self

    def field_text(self, description: str) -> str:
        """The sentence that is encoded into a field vector; a final full stop is not doubled."""
        return self.field.replace("{description}", description.strip().removesuffix("."))

    def question(self, value: str) -> str:
        """A value and the beginning of the field's sentence, for a model that goes on writing; see `answer`."""
        return f"{self.feature_text(value)} {self.field.split('{description}')[0].strip()}"

    def answer(self, description: str) -> str:
        """How the field's sentence goes on after `question`, so that the two end as `field_text` does."""
        return f" {self.field_text(description).removeprefix(self.field.split('{description}')[0]).strip()}"

    def feature_text(self, value: str) -> str:
        """The sentence from which the field of a value is to be recognised."""
        return self.feature.replace("{value}", value)


DEFAULT_PROMPTS = Prompts()
