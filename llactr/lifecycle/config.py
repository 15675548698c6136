"""The configuration of a run: one YAML with a section a step, every key optional; command-line flags win over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from llactr.ctr import BACKBONES, check_backbone
from llactr.ctr.training.config import TrainJobConfig
from llactr.ctr.training.warm.config import WarmConfig
from llactr.errors import InputError
from llactr.evaluation.config import EvaluateConfig
from llactr.lifecycle.gates import Gates
from llactr.semantics import SemanticsConfig, ValueSemanticsConfig
from llactr.validation import problems

__all__ = ["RunConfig", "load_config", "read_yaml", "run_config"]


class RunConfig(BaseModel):
    """All sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    semantics: SemanticsConfig = SemanticsConfig()
    values: ValueSemanticsConfig = ValueSemanticsConfig()
    train: TrainJobConfig = TrainJobConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    promote: Gates = Gates()
    warm: WarmConfig = WarmConfig()

    @property
    def judged(self) -> EvaluateConfig:
        """The comparison about what `train` makes: of its backbone first, which is trained as `train` says.

        Other backbones are compared where they are asked for. What `evaluate` says of the training of the backbone that
        is served does not count: then another model would be judged.
        """
        train, given = self.train, self.evaluate
        asked = given.backbones if "backbones" in given.model_fields_set else ()
        changes: dict[str, Any] = {"backbones": (train.backbone, *(one for one in asked if one != train.backbone))}
        changes |= {"values": train.values, "enhancement": train.enhancement}
        for name in ("settings", "training"):
            others = {backbone: some for backbone, some in getattr(given, name).items() if backbone != train.backbone}
            changes[name] = others | ({train.backbone: getattr(train, name)} if getattr(train, name) else {})
        return given.model_copy(update=changes)


def load_config(path: Path | None, **flags: dict[str, Any]) -> RunConfig:
    """The configuration in a YAML file (all defaults without one), with flags over it; a flag of None was not given.

    Args:
        path: the YAML file.
        flags: section -> its flags. `model` and `device` go to the section's encoder, other semantics flags to the
            tuning.

    Raises:
        InputError: the file is missing, is not YAML, or has unknown keys or values out of range.
    """
    content = read_yaml(path) if path else {}
    for section, given in flags.items():
        chosen = {name: value for name, value in given.items() if value is not None}
        part = content.setdefault(section, {}) or {}
        content[section] = part
        for name, value in chosen.items():
            home = _home(section, name)
            place = part.setdefault(home, {}) if home and isinstance(part, dict) else part
            if isinstance(place, dict):  # else validation says what is wrong with it
                place[name] = value
    return run_config(content, source=f"{path}: " if path else "")


def run_config(content: dict[str, Any], *, source: str = "") -> RunConfig:
    """The configuration that sections and keys say.

    Raises:
        InputError: there are unknown keys or values out of range; `source` says where.
    """
    _check_backbones(content)
    try:
        return RunConfig.model_validate(content)
    except ValidationError as error:
        raise InputError(
            f"the configuration is not valid: {source}{problems(error, RunConfig, quoted=False)}"
        ) from None


def _home(section: str, flag: str) -> str:
    """The part of a section that a flag belongs to; empty for the section itself."""
    if section in {"semantics", "values"} and flag in {"model", "device"}:
        return "encoder"
    return "finetune" if section == "semantics" else ""


def _check_backbones(content: dict[str, Any]) -> None:
    """Backbones by name, `all` for the six; an unknown one is refused with the list of those there are.

    What is no section, or no list, is left to validation.
    """
    train, evaluate = content.get("train"), content.get("evaluate")
    if isinstance(train, dict) and "backbone" in train:
        check_backbone(train["backbone"])
    if isinstance(evaluate, dict) and isinstance(evaluate.get("backbones"), list | tuple):
        names = [name for name in evaluate["backbones"] if name != "all" and check_backbone(name)]
        evaluate["backbones"] = tuple(BACKBONES) if "all" in evaluate["backbones"] else tuple(dict.fromkeys(names))


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration file's keys; empty for an empty file.

    Raises:
        InputError: the file is missing, or is not YAML with keys.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no configuration at {path}: give the path of a YAML file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the configuration {path} cannot be read: {' '.join(str(error).split())}") from None
    if content is not None and not isinstance(content, dict):
        raise InputError(f"the configuration {path} holds {type(content).__name__}, expected sections with keys")
    return content or {}
