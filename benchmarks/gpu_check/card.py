"""The card: its name, versions, time that is waited for, and what a copy within its memory reaches."""

from __future__ import annotations

import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch

__all__ = ["copy_bandwidth", "facts", "seconds_of"]


def facts(device: torch.device) -> dict[str, Any]:
    """The device by name, and the versions that figures hang on."""
    told: dict[str, Any] = {
        "device": str(device),
        "name": platform.processor() or platform.machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "driver": None,
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        told |= {"name": found.name, "memory_bytes": found.total_memory, "capability": f"{found.major}.{found.minor}"}
        told["driver"] = _driver()
    return told


def _driver() -> str | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.split()
    return said[0] if said else None


def seconds_of(call: Callable[[], Any], device: torch.device, *, repeats: int, warm_up: int = 1) -> list[float]:
    """Wall-clock seconds of each of some calls, the device's work waited for; after calls that warm up."""
    found = []
    for number in range(-warm_up, repeats):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        if number >= 0:
            found.append(time.perf_counter() - began)
    return found


def copy_bandwidth(device: torch.device, *, size_bytes: int) -> float:
    """Bytes a second of a copy from one place of the device's memory to another: those read and those written."""
    source = torch.ones(size_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), device, repeats=9, warm_up=2)
    return 2 * 4 * len(source) / statistics.median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
