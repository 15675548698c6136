"""What pydantic found wrong, in words: every problem with its place, and what was probably meant."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

__all__ = ["problems"]

_MANY = 50
_Location = tuple[int | str, ...]


def problems(
    error: ValidationError,
    model: type[BaseModel],
    content: Mapping[str, Any] | None = None,
    *,
    prefix: str = "",
    named: Mapping[str, str] | None = None,
    quoted: bool = True,
) -> str:
    """All problems, each with its place, joined by `; `.

    Args:
        error: what validation of `model` raised.
        model: what was expected: an unknown key is answered with the one that was probably meant.
        content: what was validated, to name list entries by their `name` instead of their number.
        prefix: where the content stands in what the user wrote, such as `training`.
        quoted: write places in quotes, as parts of a sentence; else as `place: what is wrong`, as for flags.
        named: lists whose entries have a `name` -> what an entry is called: `{"fields": "field"}`.

    Returns:
        such as `field 'age', 'kind': is missing; 'split.train' is 2: input should be less than 1`.
    """
    found = [
        _problem(dict(one), model, content or {}, prefix=prefix, named=named or {}, quoted=quoted)
        for one in error.errors(include_url=False)
    ]
    found = list(dict.fromkeys(found))
    more = f" (and {len(found) - _MANY} more)" if len(found) > _MANY else ""
    return "; ".join(found[:_MANY]) + more


def _problem(
    one: dict[str, Any],
    model: type[BaseModel],
    content: Mapping[str, Any],
    *,
    prefix: str,
    named: Mapping[str, str],
    quoted: bool,
) -> str:
    kind, location, context = one["type"], one["loc"], one.get("ctx", {})
    message = one["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = _unknown(str(location[-1]), _keys(model, location[:-1]))
        if quoted:
            location = location[:-1]
    elif kind == "missing":
        message = "is missing"
    elif kind == "union_tag_invalid":
        message = f"unknown kind {context['tag']!r}, expected one of {context['expected_tags']}"
    elif kind == "union_tag_not_found":
        tags = _tags(model, location)
        message = f"has no {context['discriminator']}, expected one of {', '.join(map(repr, tags))}"
    elif kind == "string_pattern_mismatch":
        message = f"is {one['input']!r}: use lower-case letters, digits, '-' and '_', at most 63 of them"
    elif not kind.startswith("value_error"):
        reason = f"{message[:1].lower()}{message[1:]}"
        message = f"is {_short(one['input'])}: {reason}" if quoted else f"{reason}, given {_short(one['input'])}"
    place = _place(_written(model, location), content, prefix=prefix, named=named)
    if not quoted:
        place = place.replace("'", "")
    colon = "" if (quoted and message.startswith(("is ", "has "))) or not place else ":"
    return f"{place}{colon} {message}".strip()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _unknown(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"unknown key {key!r}, " + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}")


def _place(location: _Location, content: Mapping[str, Any], *, prefix: str, named: Mapping[str, str]) -> str:
    parts: list[str] = []
    if len(location) > 1 and location[0] in named and isinstance(location[1], int):
        called = named[str(location[0])]
        try:
            name = content[str(location[0])][location[1]].get("name")
        except (KeyError, IndexError, TypeError, AttributeError):
            name = None
        parts.append(f"{called} {name!r}" if name else f"{called} number {location[1] + 1}")
        location = location[2:]
    path = ".".join(map(str, location))
    if prefix:
        return f"{prefix}: {path}" if path else prefix
    return ", ".join([*parts, *([repr(path)] if path else [])])


def _written(model: type[BaseModel], location: _Location) -> _Location:
    """A location without what pydantic adds for members of a union: the place as the user wrote it."""
    written: list[int | str] = []
    types_here: list[Any] = [model]
    for part in location:
        inner = list(_inner(types_here, part))
        if inner or isinstance(part, int):
            written.append(part)
            types_here = inner
        elif any(_is_member(one, part) for one in types_here):
            types_here = [one for one in types_here if _is_member(one, part)]
        elif types_here:
            written.append(part)
            types_here = []
    return tuple(written)


def _at(model: type[BaseModel], location: _Location) -> list[Any]:
    types_here: list[Any] = [model]
    for part in location:
        inner = list(_inner(types_here, part))
        types_here = inner or [one for one in types_here if _is_member(one, part)]
    return types_here


def _keys(model: type[BaseModel], location: _Location) -> list[str]:
    models = [one for one in _at(model, location) if _is_model(one)]
    return list(dict.fromkeys(key for one in models for key in one.model_fields))


def _tags(model: type[BaseModel], location: _Location) -> list[str]:
    models = [one for one in _at(model, location) if _is_model(one) and "kind" in one.model_fields]
    return [str(tag) for one in models for tag in get_args(one.model_fields["kind"].annotation)]


def _inner(types_here: Iterable[Any], part: int | str) -> Iterable[Any]:
    """The types of what lies under a key or a number in values of some types."""
    for one in types_here:
        if _is_model(one):
            if part in one.model_fields:
                yield from _leaves(one.model_fields[part].annotation)
        elif get_origin(one) in (list, tuple, set, frozenset, Sequence):
            if isinstance(part, int):
                yield from (leaf for inner in get_args(one) if inner is not ... for leaf in _leaves(inner))
        elif get_origin(one) in (dict, Mapping):
            yield from _leaves(get_args(one)[1])


def _leaves(annotation: Any) -> Iterable[Any]:
    """The members of a union, without what is annotated on them."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _leaves(inner)
    else:
        yield annotation


def _is_member(one: Any, part: int | str) -> bool:
    if _is_model(one):
        tag = one.model_fields.get("kind")
        return part == one.__name__ or (tag is not None and part in get_args(tag.annotation))
    if get_origin(one) is Literal:
        return isinstance(part, str) and part.startswith("literal[")
    return getattr(one, "__name__", None) == part


def _is_model(one: Any) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)
