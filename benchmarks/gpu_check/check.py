"""What a check is given, and what it finds."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

__all__ = ["Aim", "Checked", "Found", "LeftOutError", "Setting", "run_checks"]


class LeftOutError(Exception):
    """A check that cannot be run here; the message says what it lacks."""


@dataclass(frozen=True)
class Setting:
    """What every check is given.

    Attributes:
        device: where the product works; the CPU is what it is compared with.
        small: sizes that a CPU gets through in seconds.
        folder: for files, empty.
        models: a folder with the models `minilm` and `smollm2`; None for those that are installed.
        bandwidth: bytes a second that a copy within the device's memory moves, read and written.
    """

    device: torch.device
    small: bool
    folder: Path
    models: Path | None
    bandwidth: float

    @property
    def on_gpu(self) -> bool:
        """Whether there is a card to speak of."""
        return self.device.type == "cuda"

    def size(self, full: int, small: int) -> int:
        """One of two sizes."""
        return small if self.small else full

    def share_of_bandwidth(self, moved_bytes: float, seconds: float) -> float:
        """Bytes moved over time, against what a copy reaches."""
        return moved_bytes / seconds / self.bandwidth


@dataclass(frozen=True)
class Aim:
    """A rate to be reached on one card of the H100 class; on a CPU it is neither reached nor missed."""

    name: str
    wanted: float
    found: float

    def state(self, *, on_gpu: bool) -> Literal["reached", "not reached", "no card"]:
        """What is told of it."""
        if not on_gpu:
            return "no card"
        return "reached" if self.found >= self.wanted else "not reached"


@dataclass(frozen=True)
class Found:
    """What a check found: whether the device did what the CPU does, in words, and the figures."""

    passed: bool
    said: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    aims: tuple[Aim, ...] = ()


@dataclass(frozen=True)
class Checked:
    """How a check ended."""

    name: str
    state: Literal["passed", "failed", "left out"]
    said: str
    seconds: float
    cpu_seconds: float
    figures: Mapping[str, Any]
    aims: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


def run_checks(
    checks: Mapping[str, Callable[[Setting], Found]], setting: Setting, *, seconds: float, shown: Callable[[str], None]
) -> list[Checked]:
    """Runs the checks one after the other: one that breaks is told, and the others go on.

    Args:
        checks: by name, in order.
        setting: what they are given; each gets a folder of its own.
        seconds: checks that would begin after so many are left out.
        shown: is told each name before it begins.
    """
    began, done = time.perf_counter(), list[Checked]()
    for number, (name, check) in enumerate(checks.items()):
        shown(name)
        folder = setting.folder / str(number)
        folder.mkdir()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            if wall - began > seconds:
                raise LeftOutError(f"the {seconds / 60:g} minutes are over")
            found = check(Setting(setting.device, setting.small, folder, setting.models, setting.bandwidth))
            ended = Checked(
                name,
                "passed" if found.passed else "failed",
                found.said,
                time.perf_counter() - wall,
                time.process_time() - cpu,
                dict(found.figures),
                _told(found.aims, on_gpu=setting.on_gpu),
            )
        except (LeftOutError, ModuleNotFoundError) as missing:
            ended = Checked(name, "left out", str(missing), 0.0, 0.0, {})
        except Exception as error:  # whatever a driver or a kernel says: it is this check's result
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            trace = {"traceback": traceback.format_exc()[-3000:]}
            ended = Checked(name, "failed", said, time.perf_counter() - wall, time.process_time() - cpu, trace)
        done.append(ended)
    return done


def _told(aims: Sequence[Aim], *, on_gpu: bool) -> tuple[dict[str, Any], ...]:
    return tuple({**asdict(aim), "state": aim.state(on_gpu=on_gpu)} for aim in aims)
