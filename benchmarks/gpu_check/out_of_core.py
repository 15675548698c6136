"""Training from Parquet: batches arrive on the device unchanged, pinned ahead, and the model is the CPU's."""

from __future__ import annotations

import time

import torch

from benchmarks.gpu_check.check import Found, Setting
from benchmarks.gpu_check.click_rows import click_rows, config, fresh
from benchmarks.gpu_check.training import TOLERANCE
from llactr.ctr import train
from llactr.ctr.training.batches import HeldOut
from llactr.ctr.training.device import on_device
from llactr.ctr.training.stream import StreamedRows, write_rows

__all__ = ["trained_from_disk"]


def trained_from_disk(setting: Setting) -> Found:
    """An epoch of DeepFM on the device and on the CPU, from the same files in the same order."""
    data = click_rows(setting)

    def part(rows: slice) -> HeldOut:
        return HeldOut(data.ids[rows], data.label[rows], data.version[rows])

    count = len(data.split.train)
    step = count // 6
    parts = [part(slice(start, min(start + step, count))) for start in range(0, count, step)]
    write_rows(setting.folder / "train", parts, row_group_rows=max(step // 2, 1))
    rows = StreamedRows(setting.folder / "train", part(slice(count, None)), window_rows=count // 3)

    plain = list(rows.batches(seed=0, epoch=1, batch_size=4096))
    moved = on_device(rows.batches(seed=0, epoch=1, batch_size=4096), setting.device)
    unchanged, arrived = True, 0
    for one, other in zip(plain, moved, strict=True):
        there = all(column.device.type == setting.device.type for column in other)
        unchanged &= there and all(torch.equal(a, b.cpu()) for a, b in zip(one, other, strict=True))
        arrived += len(one.label)

    found, seconds = {}, {}
    for name, device in (("device", setting.device), ("cpu", torch.device("cpu"))):
        began = time.perf_counter()
        found[name] = train(fresh("deepfm"), rows, config(device)).validation.auc
        seconds[name] = time.perf_counter() - began
    assert found["device"] is not None
    assert found["cpu"] is not None
    gap = abs(found["device"] - found["cpu"])
    figures = {
        "batches_unchanged": unchanged,
        "rows": arrived,
        "auc_device": found["device"],
        "auc_cpu": found["cpu"],
        "rows_per_second": round(count / seconds["device"]),
        "pinned": setting.on_gpu,
    }
    said = f"{arrived:,} rows arrive {'unchanged' if unchanged else 'CHANGED'}, AUC {found['device']:.4f}"
    return Found(unchanged and arrived == count and gap <= TOLERANCE, f"{said}; CPU {found['cpu']:.4f}", figures)
