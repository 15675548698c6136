"""What history is worth, with and without meaning: arms through the product's pass, function and backbones.

    python -m research.history ml-100k --data FOLDER --backbones fm deepfm --arms plain history ... --seeds 0 1 \
        [--test] [--out FILE]

Judged on windows before the test split (train on the first part, stop on the next tenth, judge on the tenth after
that), unless `--test` is given: then trained on 80 %, stopped on 10 %, and the test tenth is read. Scores of seeds are
averaged as logits before they are judged; intervals resample users.

Arms are columns, see ARMS; `NAME+` adds NAME's columns to those of another, as in `items+text`.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainConfig, train
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.history import with_history
from llactr.evaluation.ranking import METRICS, RankingRows
from llactr.history import Events, HistoryDefinition, ItemCategories, fit_item_vectors, history_rows
from llactr.history.vectors import ItemVectors
from llactr.spec import HistorySpec, SequenceField, TasteField, WindowField
from llactr.transforms import Transform
from research.history_data import DATASETS, HistoryLog, load_log
from research.history_joint import BlockRows, JointModel

WINDOWS = (0.5, 0.6, 0.7)
MEASURES = ("level", "recent", "regression", "uncertainty", "similarity", "nearest", "liked_near", "disliked_near")
SOURCES = ("both", "text", "categories")
PLACEBOS = ("", "-permuted", "-random")
SEEN = 20
"""Events of a sequence."""
TASTE = ("regression", "similarity", "nearest")

USER = ("user_count", "user_rate")
ITEM = ("item_count", "item_rate")
GROUPS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "user": USER,
    "items": ITEM,
    "level": ("both.level",),
    "recent": ("both.recent",),
    "month": ("item_rate_month", "item_count_month"),
    "itemitem": ("item_item",),
    "unsure": ("both.uncertainty",),
    "near": ("both.liked_near", "both.disliked_near"),
    **{f"{s}{p}": tuple(f"{s}{p}.{m}" for m in TASTE) for s in SOURCES for p in PLACEBOS},
    **{
        f"{s}{p}-seq": tuple(f"{s}{p}.seq {part} {n}" for n in range(1, SEEN + 1) for part in ("cosine", "residual", "age"))
        for s in SOURCES
        for p in PLACEBOS
    },
    **{f"{s}{p}-reg": (f"{s}{p}.regression",) for s in SOURCES for p in PLACEBOS},
    **{f"{s}{p}-sim": (f"{s}{p}.similarity",) for s in SOURCES for p in PLACEBOS},
}
LEVELS = {"user_count", "user_rate"} | {f"{s}{p}.{m}" for s in SOURCES for p in PLACEBOS for m in ("level", "recent")}
"""Columns that say something of the user alone."""


def spec_of(source: str, categories: Sequence[str], **settings: Any) -> HistorySpec:
    """All columns with vectors of one source."""

    def window(owner: Any, measure: Any, suffix: str = "", **kwargs: Any) -> WindowField:
        name = f"{owner}_{measure}{suffix}"
        return WindowField(name=name, description=name, kind="window", owner=owner, measure=measure, **kwargs)

    taste = [
        TasteField(name=f"{source}.{m}", description=m, kind="taste", vectors=source, measure=m) for m in MEASURES
    ]
    both_ = TasteField(name="item_item", description="item_item", kind="taste", vectors="item_item", measure="similarity")
    windows = [window(o, m) for o in ("user", "item") for m in ("count", "rate")]
    windows += [window("pair", m, f".{c}", category=c) for c in categories for m in ("count", "rate")]
    recent = [window("item", m, "_month", half_life="30d") for m in ("count", "rate")]
    last = SequenceField(name=f"{source}.seq", description="last", kind="sequence", vectors=source, last=SEEN)
    return HistorySpec(fields=(*windows, *recent, both_, *taste, last), **settings)


class Columns:
    """History columns of a log, each source's pass run once and kept."""

    def __init__(self, log: HistoryLog, train_rows: int, cache: Path, settings: dict[str, Any]) -> None:
        self.log, self.train_rows, self.cache, self.settings = log, train_rows, cache, settings
        self._kept: dict[str, NDArray[np.float32]] = {}

    def of(self, names: Sequence[str]) -> NDArray[np.float32]:
        """(N, H)."""
        for name in names:
            if name not in self._kept:
                source = name.split(".")[0] if "." in name and not name.startswith("pair") else "both"
                self._kept |= self._run(source)
        columns = [self._kept[name] for name in names]
        return np.stack(columns, 1) if columns else np.empty((self.log.table.num_rows, 0), np.float32)

    def _run(self, source: str) -> dict[str, NDArray[np.float32]]:
        base, _, placebo = source.partition("-")
        spec = spec_of(base, self.log.category_fields, **self.settings)
        key = json.dumps([self.log.name, self.train_rows, source, spec.model_dump(mode="json")])
        path = self.cache / f"history-columns-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
        if not path.exists():
            started = time.process_time()
            definition = HistoryDefinition(
                spec, float(self.log.label[: self.train_rows].mean()), {base: self._vectors(base, placebo)},
                categories={
                    name: ItemCategories.of(self.log.items, lists)
                    for name, lists in zip(self.log.category_fields, self.log.categories, strict=True)
                },
            )
            table = self.log.table
            events = Events.of(
                table["user_id"].to_pylist(), table["item_id"].to_pylist(), self.log.times, self.log.label
            )
            found = history_rows(definition, events)
            np.save(path, found)
            print(f"# {source}: pass of {len(events)} rows, {time.process_time() - started:.1f} CPU-s", flush=True)
        found = np.load(path)
        return {
            (f"{source}.{name.split('.')[1]}" if name.startswith(f"{base}.") else name): found[:, at]
            for at, name in enumerate(spec.columns)
        }

    def _vectors(self, base: str, placebo: str) -> ItemVectors:
        seen = set(self.log.table["item_id"].slice(0, self.train_rows).to_pylist())
        fitted_on = np.array([item in seen for item in self.log.items])
        raw = self.log.raw_vectors(self.cache)[base]
        rank = int(self.settings.get("rank", 24))
        vectors = fit_item_vectors(self.log.items, raw, rank=rank, fitted_on=fitted_on)
        return vectors.permuted(1) if placebo == "permuted" else vectors.random(1) if placebo == "random" else vectors


@dataclasses.dataclass(frozen=True)
class Cell:
    """One split: which rows train, stop and judge."""

    split: Split
    name: str

    @classmethod
    def of(cls, rows: int, start: float, name: str) -> Cell:
        a, b, c = round(start * rows), round((start + 0.1) * rows), round((start + 0.2) * rows)
        return cls(Split(np.arange(a), np.arange(a, b), np.arange(b, c)), name)


def logits_of(
    log: HistoryLog, cell: Cell, values: NDArray[np.float32], names: tuple[str, ...], options: Any, seed: int, ids: Any
) -> tuple[NDArray[np.float32], float]:
    """Logits of the judged rows, and validation AUC."""
    transform, plain_ids = ids
    data_ids = with_history(plain_ids, values) if names else plain_ids
    history = None
    if names:
        additive = set(names) if options.additive == "all" else LEVELS & set(names) if options.additive == "levels" else ()
        history = {"names": names, "additive": tuple(n for n in names if n in additive)}
        history["hidden_units"] = tuple(options.hidden)
        history["sequences"] = tuple((at, SEEN) for at, name in enumerate(names) if name.endswith(".seq cosine 1"))
    config = ModelConfig(backbone=options.backbone, settings={}, history=history)
    slot = int(transform.layout.slot_starts[[f.name for f in log.spec.fields].index("user_id")])
    model = (JointModel if options.pair_loss else CTRModel)(config, transform.layout, seed=seed)
    if isinstance(model, JointModel):
        model.weight, model.slot = options.pair_loss, slot
        model.own = tuple(at for at, name in enumerate(names) if name in LEVELS)
    if model.history is not None:
        model.history.fit(values[cell.split.train])
    data = CTRData(data_ids, log.label, np.zeros(len(log.label), np.int32), cell.split)
    changes = {} if options.decay is None else {"weight_decay": options.decay}
    rows: Any = data
    if options.block:
        rows = BlockRows(data)
        rows.block, rows.slot = options.block, slot
    cold = ColdStart.of(log.spec, transform, options.cold)
    result = train(model, rows, TrainConfig.of(options.backbone, seed=seed, **changes), cold=cold)
    model.eval()
    with torch.inference_mode():
        logits = model(torch.from_numpy(data_ids[cell.split.test])).numpy()
    return logits, float(result.validation.auc or 0)


def names_of(arm: str, log: HistoryLog) -> tuple[str, ...]:
    """The columns of an arm."""
    groups = GROUPS | {
        "pairs": tuple(f"pair_{m}.{c}" for c in log.category_fields for m in ("count", "rate")),
    }
    return tuple(dict.fromkeys(name for group in arm.split("+") for name in groups[group]))


def run(log: HistoryLog, options: Any) -> list[dict[str, Any]]:
    """All arms of all cells, with differences from the first arm and from `--against`."""
    rows, found = log.table.num_rows, []
    settings = json.loads(options.settings)
    if options.test:
        cells = [Cell.of(rows, 0.8, "test")]
    else:
        cells = [Cell.of(rows, start, f"window {start}") for start in options.windows]
    users = np.array(log.table["user_id"].to_pylist())
    columns = Columns(log, round(0.8 * rows) if options.test else round(0.5 * rows), options.cache, settings)
    scores: dict[tuple[str, str, str], NDArray[np.float32]] = {}
    for cell in cells:
        transform = Transform.fit(log.spec, log.table.slice(0, len(cell.split.train)))
        ids = (transform, transform.ids(log.table))
        judge = RankingRows(log.label[cell.split.test], users[cell.split.test], log.times[cell.split.test], draws=300)
        for backbone in options.backbones:
            options.backbone = backbone
            for arm in options.arms:
                names = names_of(arm, log)
                values = columns.of(names)
                runs = [logits_of(log, cell, values, names, options, seed, ids) for seed in options.seeds]
                score = np.mean([logits for logits, _ in runs], axis=0).astype(np.float32)
                scores[cell.name, backbone, arm] = score
                single = [judge.measure(logits) for logits, _ in runs]
                entry: dict[str, Any] = {"dataset": log.name, "cell": cell.name, "backbone": backbone, "arm": arm}
                entry |= {m: float(np.mean([getattr(r, m) or np.nan for r in single])) for m in METRICS}
                entry["validation"] = float(np.mean([v for _, v in runs]))
                for base in dict.fromkeys([options.arms[0], *options.against]):
                    if base != arm and (cell.name, backbone, base) in scores and (options.test or options.intervals):
                        entry[f"minus {base}"] = judge.difference(score, scores[cell.name, backbone, base])
                found.append(entry)
                figures = " ".join(f"{m} {entry[m]:.4f}" for m in METRICS)
                print(f"{cell.name:10} {backbone:8} {arm:40} {figures} val {entry['validation']:.4f}", flush=True)
                for key, value in entry.items():
                    if key.startswith("minus"):
                        shown = "  ".join(f"{m} {d:+.4f} [{lo:+.4f}, {hi:+.4f}]" for m, (d, lo, hi) in value.items())
                        print(f"    {key}: {shown}", flush=True)
    if len(cells) > 1:
        for backbone in options.backbones:
            for arm in options.arms:
                mine = [e for e in found if e["backbone"] == backbone and e["arm"] == arm]
                figures = " ".join(f"{m} {np.mean([e[m] for e in mine]):.4f}" for m in METRICS)
                print(f"mean       {backbone:8} {arm:40} {figures}", flush=True)
    return found


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "llactr" / "research")
    parser.add_argument("--backbones", nargs="+", default=["fm", "deepfm"])
    parser.add_argument("--arms", nargs="+", default=["plain", "user+items"])
    parser.add_argument("--against", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--windows", nargs="+", type=float, default=list(WINDOWS))
    parser.add_argument("--additive", choices=["none", "levels", "all"], default="levels")
    parser.add_argument("--hidden", nargs="*", type=int, default=[])
    parser.add_argument("--decay", type=float)
    parser.add_argument("--pair-loss", type=float, default=0.0, help="weight of pairs within a user")
    parser.add_argument("--block", type=int, default=0, help="rows of a user that come together")
    parser.add_argument("--cold", type=float, default=0.0, help="share of rows whose user or item is made cold")
    parser.add_argument("--settings", default="{}", help="of HistorySpec, as JSON")
    parser.add_argument("--intervals", action="store_true")
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    log = load_log(options.dataset, folder=options.data, cache=options.cache)
    found = run(log, options)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
