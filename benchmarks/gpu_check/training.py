"""DeepFM and FinalMLP with lazy tables: the same AUC as on the CPU, in fp32 and bf16, and rows a second in memory."""

from __future__ import annotations

import dataclasses
import statistics
from typing import Any

import numpy as np

from benchmarks.gpu_check.card import seconds_of
from benchmarks.gpu_check.check import Aim, Found, Setting
from benchmarks.gpu_check.click_rows import DIM, LAYERS, click_rows, config, fresh
from benchmarks.gpu_check.traffic import training_bytes
from llactr.ctr import train
from llactr.ctr.training.batches import MemoryRows
from llactr.ctr.training.device import on_device
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import TrainingStep

__all__ = ["TOLERANCE", "WANTED_ROWS_PER_SECOND", "same_auc", "training_rate"]

TOLERANCE = 0.001
WANTED_ROWS_PER_SECOND = 5_000_000
_PRECISIONS = ("fp32", "bf16")


def same_auc(setting: Setting, backbone: str) -> Found:
    """Validation AUC after an epoch on the device, in both precisions, against fp32 on the CPU."""
    data = click_rows(setting)
    expected = _auc(data, backbone, "cpu", "fp32")
    found = {precision: _auc(data, backbone, setting.device, precision) for precision in _PRECISIONS}
    gaps = {precision: abs(auc - expected) for precision, auc in found.items()}
    said = ", ".join(f"{name} {auc:.4f}" for name, auc in found.items())
    figures = {"auc_cpu": expected, **{f"auc_{name}": auc for name, auc in found.items()}, "tolerance": TOLERANCE}
    return Found(max(gaps.values()) <= TOLERANCE, f"AUC {said}; CPU {expected:.4f}", figures)


def _auc(data: Any, backbone: str, device: Any, precision: str) -> float:
    found = train(fresh(backbone), data, config(device, precision=precision)).validation.auc
    assert found is not None
    return float(found)


def training_rate(setting: Setting, backbone: str) -> Found:
    """Rows a second of steps on rows in memory, by size of the batch, and the share of the memory's bandwidth."""
    data = click_rows(setting)
    steps = setting.size(40, 3)
    figures: dict[str, Any] = {}
    best = 0.0
    for batch_size in (4096, 65_536) if not setting.small else (4096,):
        rows = np.resize(data.split.train, batch_size * steps)
        memory = MemoryRows(dataclasses.replace(data, split=dataclasses.replace(data.split, train=rows)))
        for precision in _PRECISIONS:
            model = fresh(backbone).to(setting.device).train()
            step = TrainingStep(model, config(setting.device, precision=precision), Processes())
            epochs = iter(range(1, 100))

            def epoch(step: Any = step, memory: Any = memory, size: int = batch_size, epochs: Any = epochs) -> None:
                batches = memory.batches(seed=0, epoch=next(epochs), batch_size=size)
                for batch in on_device(batches, setting.device):
                    step(batch)

            seconds = statistics.median(seconds_of(epoch, setting.device, repeats=setting.size(3, 1))) / steps
            first = next(iter(memory.batches(seed=0, epoch=1, batch_size=batch_size)))
            different = len(model.embedding.row_ids(first.ids.to(setting.device)).unique())
            moved = training_bytes(
                batch_size,
                fields=first.ids.shape[1],
                dim=DIM,
                different_rows=different,
                linear=model.backbone.linear,
                layers=LAYERS[backbone],
                bf16=precision == "bf16",
            )
            figures[f"{precision}, batch {batch_size}"] = {
                "rows_per_second": round(batch_size / seconds),
                "bytes_per_step": round(moved),
                "share_of_bandwidth": round(setting.share_of_bandwidth(moved, seconds), 4),
            }
            best = max(best, batch_size / seconds)
    share = max(one["share_of_bandwidth"] for one in figures.values())
    aims = (Aim(f"{backbone} rows a second in memory", WANTED_ROWS_PER_SECOND, best),) if backbone == "deepfm" else ()
    return Found(best > 0, f"{best:,.0f} rows/s, {share:.0%} of the copy's bandwidth", figures, aims)
