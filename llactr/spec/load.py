"""Finds and reads a dataset spec, one YAML; what is wrong is said in one sentence that names the place."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from llactr.errors import SpecError
from llactr.spec.model import DatasetSpec
from llactr.validation import problems

__all__ = ["SPECS", "dump_spec", "find_spec", "load_spec", "read_spec_yaml", "spec_difference"]

SPECS = Path(__file__).resolve().parents[1] / "specs"
"""The specs that come with llactr, one YAML each."""


def find_spec(name: str) -> Path:
    """The spec file meant by a path, or by the name of one that comes with llactr.

    Raises:
        SpecError: it is neither.
    """
    path = Path(name)
    packaged = SPECS / f"{name}.yaml"
    if path.suffix in {".yaml", ".yml"} or path.exists():
        return path
    if packaged.exists():
        return packaged
    known = ", ".join(sorted(file.stem for file in SPECS.glob("*.yaml")))
    raise SpecError(f"no dataset spec {name!r}: give the path of a YAML file, or one of {known}")


def load_spec(path: str | Path) -> DatasetSpec:
    """The dataset spec in a YAML file.

    Raises:
        SpecError: the file is missing, is not YAML, or does not hold a valid spec.
    """
    path = Path(path)
    _, content = read_spec_yaml(path, _UniqueKeys)  # a subclass of SafeLoader
    try:
        return DatasetSpec.model_validate(content)
    except ValidationError as error:
        said = problems(error, DatasetSpec, content, named={"fields": "field"})
        raise SpecError(f"the dataset spec {path} is not valid: {said}") from None


def read_spec_yaml(path: Path, loader: type[yaml.SafeLoader]) -> tuple[str, dict[str, Any]]:
    """A spec file's text, and the mapping that YAML makes of it.

    Raises:
        SpecError: it is missing, cannot be read, is not YAML, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, loader)
    except FileNotFoundError:
        raise SpecError(f"no dataset spec at {path}: give the path of a YAML file, as in llactr/specs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the dataset spec {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"the dataset spec {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpecError(
            f"the dataset spec {path} holds {type(content).__name__}, expected keys such as 'name', 'fields'"
        )
    return text, content


def dump_spec(spec: DatasetSpec) -> str:
    """The spec as YAML with every setting spelled out; loading it gives an equal spec."""
    content = spec.model_dump(mode="json")
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def spec_difference(old: DatasetSpec, new: DatasetSpec) -> str:
    """What differs between two specs, setting by setting: "label.above 3.0 -> 4.0"; the first five, and a count."""
    before, after = ({**_leaves(spec.model_dump(mode="json"))} for spec in (old, new))
    places = [place for place in (before | after) if before.get(place, _ABSENT) != after.get(place, _ABSENT)]
    said = [f"{place} {before.get(place, _ABSENT)} -> {after.get(place, _ABSENT)}" for place in places[:5]]
    return ", ".join(said) + (f" and {len(places) - 5} more" if len(places) > 5 else "")


_ABSENT = "absent"


def _leaves(content: Any, place: str = "") -> dict[str, str]:
    """Dotted place -> value of everything in a tree; a field's place has its name, not its number."""
    if isinstance(content, dict):
        items = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list) and any(isinstance(one, dict) for one in content):
        items = [(str(one.get("name", number)), one) for number, one in enumerate(content)]
    else:
        return {place: "none" if content is None else str(content)}
    found: dict[str, str] = {}
    for key, value in items:
        found |= _leaves(value, f"{place}.{key}" if place else key)
    return found


class _UniqueKeys(yaml.SafeLoader):
    """Safe YAML in which a key that is given twice is an error; plain YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of a node."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)
