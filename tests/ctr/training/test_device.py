from __future__ import annotations

import contextlib

import pytest
import torch

from llactr.ctr.training.batches import MemoryRows
from llactr.ctr.training.device import check_precision, on_device, precision_of
from llactr.device import pick_device
from llactr.errors import InputError
from tests.ctr.training_fakes import clicks


def test_auto_is_a_gpu_that_works_or_the_cpu() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == expected
    assert pick_device("cpu") == torch.device("cpu")


def test_a_device_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match="'gpu9' is not known: choose auto, cpu, cuda"):
        pick_device("gpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be used on this machine"):
        pick_device("cuda:7")


def test_bf16_multiplies_in_bfloat16_and_fp32_does_not() -> None:
    ones = torch.ones(2, 2)
    with precision_of(torch.device("cpu"), "bf16"):
        assert (ones @ ones).dtype == torch.bfloat16
    with precision_of(torch.device("cpu"), "fp32"):
        assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_batches_arrive_unchanged_on_the_device(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    rows = MemoryRows(clicks(300))
    plain = list(rows.batches(seed=0, epoch=1, batch_size=64))
    moved = list(on_device(rows.batches(seed=0, epoch=1, batch_size=64), torch.device(device)))
    assert len(moved) == len(plain)
    for one, other in zip(plain, moved, strict=True):
        assert other.ids.device.type == device
        assert torch.equal(one.ids, other.ids.cpu())
        assert torch.equal(one.label, other.label.cpu())


def test_bf16_is_refused_on_a_gpu_that_does_not_compute_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old Card")
    asked = []

    def supported(*, including_emulation: bool) -> bool:
        asked.append(including_emulation)
        return False

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    with pytest.raises(InputError, match="'bf16' needs a GPU that computes in bfloat16, 'Old Card' does not: use prec"):
        check_precision(torch.device("cuda"), "bf16")
    assert asked == [False]  # emulated, it would be slower than fp32
    check_precision(torch.device("cuda"), "fp32")
    check_precision(torch.device("cpu"), "bf16")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: True)
    check_precision(torch.device("cuda"), "bf16")
