"""All that a spec gets wrong by itself: what is wrong is taken out and the rest read again, until nothing is."""

from __future__ import annotations

import copy
import re
from typing import Any

from pydantic import ValidationError

from llactr.profile.checking.places import SpecText
from llactr.spec import DatasetSpec
from llactr.validation import problems

__all__ = ["Problem", "spec_problems"]

_ROUNDS = 200
_OPTIONAL = ("description", "recipe", "split", "history")


class Problem(tuple[int, str]):
    """A line and what is wrong there."""

    __slots__ = ()

    @property
    def line(self) -> int:
        """The line in the spec."""
        return self[0]

    @property
    def text(self) -> str:
        """What is wrong, and the mend."""
        return self[1]


def spec_problems(text: SpecText) -> tuple[list[Problem], DatasetSpec | None]:
    """What is wrong with a spec by itself, and as much of it as can be held against data; None where nothing can."""
    found = [Problem((line, f"the key {name!r} is given twice")) for line, name in text.repeated]
    content = copy.deepcopy(text.content)
    for _ in range(_ROUNDS):
        try:
            return found, DatasetSpec.model_validate(content)
        except ValidationError as error:
            before = copy.deepcopy(content)
            for one in error.errors(include_url=False):
                said = problems(_only(error, one), DatasetSpec, content, named={"fields": "field"})
                problem = Problem((_line(text, one, said), said))
                if problem not in found:
                    found.append(problem)
            _repair(content, error, text)
            if content == before:
                return found, None
    return found, None


def _only(error: ValidationError, one: Any) -> ValidationError:
    """The same error with one of its parts."""
    part = {key: one[key] for key in ("type", "loc", "input", "ctx") if key in one}
    if one["type"].startswith("value_error"):
        part["ctx"] = {"error": one["ctx"]["error"]}
    return ValidationError.from_exception_data(error.title, [part])  # type: ignore[list-item]


def _line(text: SpecText, one: Any, said: str) -> int:
    place = tuple(part for part in one["loc"] if not (isinstance(part, str) and part in _TAGS))
    if place:
        return text.line(*place)
    named = re.match(r"field '([^']*)'", said)
    if named:
        return text.field_line(named[1])
    role = re.match(r"(events|user|item|'history'|history)", said)
    if role:
        return text.line(
            *{"events": ("events",), "user": ("entities", "user"), "item": ("entities", "item")}.get(
                role[1], ("history",)
            )
        )
    return text.line("entities") if "join key" in said else 1


_TAGS = {"categorical", "numeric", "timestamp_part", "multi_valued"}


def _repair(content: dict[str, Any], error: ValidationError, text: SpecText) -> None:
    """Takes out what is wrong."""
    fields: set[int] = set()
    for one in error.errors(include_url=False):
        place, said = one["loc"], one["msg"]
        if not place:
            _repair_disagreement(content, said.removeprefix("Value error, "))
        elif place[0] == "fields" and len(place) > 1 and isinstance(place[1], int):
            fields.add(place[1])
        elif one["type"] == "extra_forbidden":
            _delete(content, place)
        elif place[0] in _OPTIONAL:
            content.pop(str(place[0]), None)
        elif place[0] == "name":
            content["name"] = "unnamed"
        elif place[0] == "sources" and len(place) > 1 and isinstance(content["sources"], dict):
            given = content["sources"].get(place[1])
            path = given.get("path") if isinstance(given, dict) else None
            content["sources"][place[1]] = {"path": path if isinstance(path, str) else "?", "format": "csv"}
        elif place[0] in {"timestamp", "label"}:
            given = content.get(str(place[0]))
            column = given.get("column") if isinstance(given, dict) else None
            content[str(place[0])] = {"column": column if isinstance(column, str) else "?"}
        elif place[0] == "entities" and len(place) > 1 and isinstance(content["entities"], dict):
            given = content["entities"].get(place[1])
            if (
                isinstance(given, dict)
                and isinstance(given.get("join_key"), str)
                and set(given) - {"join_key", "source"}
            ):
                source = given.get("source")
                content["entities"][place[1]] = {"join_key": given["join_key"]} | (
                    {"source": source} if isinstance(source, str) else {}
                )
            else:
                content["entities"].pop(place[1], None)
        elif place[0] == "entities":
            content["entities"] = {}
        elif place[0] == "events" and isinstance(content.get("sources"), dict) and content["sources"]:
            content["events"] = next(iter(content["sources"]))
    if fields:
        _drop_fields(content, fields)


def _repair_disagreement(content: dict[str, Any], said: str) -> None:
    named = re.match(r"field '([^']*)'", said) or re.match(r"('.*?') is a reserved name", said)
    if named:
        name = named[1].strip("'")
        hits = [n for n, one in enumerate(content["fields"]) if one.get("name") == name]
        _drop_fields(content, set(hits[-1:]))
    elif said.startswith(("history", "'history'")):
        content.pop("history", None)
    elif (role := re.match(r"(events|user|item) reads source", said)) is not None:
        if role[1] == "events":
            content["events"] = next(iter(content["sources"]))
        else:
            content["entities"][role[1]].pop("source", None)
            content["entities"][role[1]].pop("timestamp", None)
            content["entities"][role[1]].pop("created", None)


def _drop_fields(content: dict[str, Any], numbers: set[int]) -> None:
    """Takes fields out, and out of the texts that are made of them."""
    if not isinstance(content.get("fields"), list):
        return
    gone = {one.get("name") for n, one in enumerate(content["fields"]) if n in numbers and isinstance(one, dict)}
    content["fields"] = [one for n, one in enumerate(content["fields"]) if n not in numbers]
    for one in content["fields"]:
        if isinstance(one, dict) and isinstance(one.get("value_text"), list):
            one["value_text"] = [name for name in one["value_text"] if name not in gone] or False


def _delete(content: Any, place: tuple[int | str, ...]) -> None:
    for part in place[:-1]:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            continue  # a tag that pydantic adds
    if isinstance(content, dict):
        content.pop(str(place[-1]), None)
