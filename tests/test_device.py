"""Picking a device by trying it."""

from __future__ import annotations

import pytest
import torch

from llactr import device
from llactr.errors import InputError


def test_a_gpu_that_is_listed_but_cannot_add_is_not_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(device, "_adds", lambda name: name == "cpu")
    assert device.pick_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="device 'cuda' cannot be used on this machine: choose auto or cpu"):
        device.pick_device("cuda")


@pytest.mark.parametrize(("name", "gpus", "expected"), [("auto", 3, "cuda:1"), ("auto", 0, "auto"), ("cpu", 3, "cpu")])
def test_processes_are_dealt_out_to_the_gpus(
    monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert device.spread_device(name, 4) == expected
