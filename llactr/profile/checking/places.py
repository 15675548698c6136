"""Where in a YAML file something stands: the line of every key, list entry and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from llactr.spec.load import read_spec_yaml

__all__ = ["SpecText", "read_spec_text"]

Path_ = tuple[str | int, ...]


class SpecText:
    """A spec file's content with the lines that it stands on.

    Attributes:
        content: what YAML makes of it.
        repeated: keys that are given twice, with their lines.
    """

    def __init__(self, content: dict[str, Any], lines: dict[Path_, int], repeated: list[tuple[int, str]]) -> None:
        self.content, self.repeated = content, repeated
        self._lines = lines

    def line(self, *place: str | int) -> int:
        """The line of a place, or of the nearest thing around it."""
        for end in range(len(place), -1, -1):
            if place[:end] in self._lines:
                return self._lines[place[:end]]
        return 1

    def field_line(self, name: str, *more: str) -> int:
        """The line of a field of that name."""
        listed = self.content.get("fields")
        for number, one in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(one, dict) and one.get("name") == name:
                return self.line("fields", number, *more)
        return self.line("fields")


def read_spec_text(path: Path) -> SpecText:
    """A spec's YAML with its lines.

    Raises:
        SpecError: it is missing, no YAML, or no mapping.
    """
    text, content = read_spec_yaml(path, yaml.SafeLoader)
    node = yaml.compose(text, yaml.SafeLoader)
    lines: dict[Path_, int] = {(): 1}
    repeated: list[tuple[int, str]] = []
    _walk(node, (), lines, repeated)
    return SpecText(content, lines, repeated)


def _walk(node: yaml.Node | None, place: Path_, lines: dict[Path_, int], repeated: list[tuple[int, str]]) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                repeated.append((key.start_mark.line + 1, name))
            seen.add(name)
            lines[(*place, name)] = key.start_mark.line + 1
            _walk(value, (*place, name), lines, repeated)
    elif isinstance(node, yaml.SequenceNode):
        for number, one in enumerate(node.value):
            lines[(*place, number)] = one.start_mark.line + 1
            _walk(one, (*place, number), lines, repeated)
