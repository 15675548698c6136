"""A trained model scores on the device what it scores on the CPU."""

from __future__ import annotations

import statistics

import numpy as np

from benchmarks.gpu_check.card import seconds_of
from benchmarks.gpu_check.check import Found, Setting
from benchmarks.gpu_check.click_rows import DIM, LAYERS, click_rows, config, fresh
from benchmarks.gpu_check.traffic import scoring_bytes
from llactr.ctr import predict, train

__all__ = ["scored"]

_LARGEST_GAP = 1e-5


def scored(setting: Setting) -> Found:
    """Probabilities of DeepFM within 1e-5, and rows a second."""
    data = click_rows(setting)
    model = fresh("deepfm")
    train(model, data, config("cpu"))
    ids = data.ids[: setting.size(500_000, 20_000)]
    expected = predict(model, ids)
    model.to(setting.device)
    gap = float(np.abs(predict(model, ids) - expected).max())
    seconds = statistics.median(seconds_of(lambda: predict(model, ids), setting.device, repeats=3))
    # the whole table's different rows: what a piece of rows reads of it again is not counted
    offsets = np.arange(ids.shape[1]).astype(np.int64) << 32
    different = len(np.unique(ids + offsets))
    moved = scoring_bytes(
        len(ids), fields=ids.shape[1], dim=DIM, different_rows=different, linear=True, layers=LAYERS["deepfm"]
    )
    figures = {
        "largest_gap": gap,
        "rows_per_second": round(len(ids) / seconds),
        "share_of_bandwidth": round(setting.share_of_bandwidth(moved, seconds), 4),
    }
    said = f"largest gap {gap:.1e}, {len(ids) / seconds:,.0f} rows/s"
    return Found(gap <= _LARGEST_GAP, said, figures)
