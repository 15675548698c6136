"""Descriptions drafted by a causal language model of the user's: each field's name and values, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable

from llactr.errors import ModelError
from llactr.profile.drafting.work import Draft, FieldDraft
from llactr.semantics import EncoderConfig, load_encoder

__all__ = ["descriptions_by_model", "prompt_of", "usable"]

_EXAMPLES = (
    (
        "occupation",
        "person",
        "student, engineer, writer",
        "what the person does for a living, such as student or engineer",
    ),
    ("genres", "film", "Comedy, Drama, Horror", "the genres that the film belongs to, such as comedy or drama"),
    ("price", "product", "0.99 to 249", "how much the product costs"),
    ("is_subscriber", "reader", "true, false", "whether the reader pays a subscription"),
)
_MOST_TOKENS = 40
_LONGEST = 160


def descriptions_by_model(draft: Draft, model: str) -> dict[str, str]:
    """Field name -> description, of those fields that the model found words for; join keys keep theirs.

    Args:
        draft: the fields.
        model: a folder, a hub name, or a packaged model, as encoders take it.

    Raises:
        ModelError: it cannot be found, or is no causal language model.
    """
    encoder = load_encoder(EncoderConfig(model=model))
    say: Callable[..., str] | None = getattr(encoder, "continuation", None)
    if say is None:
        raise ModelError(
            f"the model {model!r} is no causal language model, and only those write: name one such as 'smollm2'"
        )
    keys = {entity["join_key"] for entity in draft.entities.values()}
    found: dict[str, str] = {}
    for one in draft.fields:
        if one.name in keys or one.kind == "timestamp_part":
            continue
        text = usable(say(prompt_of(one, draft.nouns.of(one.owner)), most_tokens=_MOST_TOKENS), one.name)
        if text and text.lower() not in {other.lower() for other in found.values()}:
            found[one.name] = text
    return found


def prompt_of(one: FieldDraft, noun: str) -> str:
    """A few columns with their meaning, and the column that is asked about."""
    lines = ["What the columns of a table mean, in plain words."]
    for name, of, values, meaning in _EXAMPLES:
        lines.append(f"Column: {name}\nOf: the {of}\nValues: {values}\nMeaning: {meaning}\n")
    values = re.sub(r"\s*\d+%", "", one.facts.partition("; ")[2] or one.facts)
    lines.append(f"Column: {one.name}\nOf: the {noun}\nValues: {values[:200]}\nMeaning:")
    return "\n".join(lines)


def usable(text: str, name: str) -> str:
    """The first line of what a model wrote; empty where it says no more than the name, or nothing."""
    line = text.strip().split("\n")[0].strip(" .\"'")
    line = " ".join("".join(char for char in line if char.isprintable()).split())[:_LONGEST].strip()
    wordless = re.sub(r"[\W_]+", " ", line.lower()).strip()
    if len(re.findall(r"[^\W\d_]{2,}", line)) < 3 or wordless == re.sub(r"[\W_]+", " ", name.lower()).strip():
        return ""
    return line[:1].lower() + line[1:] if not line[:2].isupper() else line
