"""What was tried to beat value vectors, judged on windows of time before the test split, which is cut off on loading.

    python -m research.value_variants --backbones fm deepfm --out FILE [--variants NAME ...] [--tuned NAME ...]

A window trains on the first part of the rows, stops on the next tenth, and judges on the tenth after that. In each it
trains once on all of the part, and once without 20 % of the items for every draw, whose later rows stay: new items.

    values                item and occupation, MiniLM as published, the defaults: what all is compared with
    plain                 no vectors
    permuted              the vectors on the wrong values
    all fields            titles, years and genres besides, which the item's text holds already
    tau N, rank N         as they say
    decay N               weight decay of P and q, as a multiple of the model's
    shared P              all fields, with one P and q, and one PCA, for them all
    numbers               year and age as such: bumps along the axis in the place of a text's vector
    mean oov              after training, E_oov becomes the mean of the field's embeddings, weighted by training counts
    plain mean oov        the same without vectors

Tuned on the likes of the window's training rows (`--tuned`; minutes for each window and draw, so fewer of them):

    likes                 as `llactr finetune --objective colike` does it: any of 3 likes in a row
    likes of 10           a like and three of the ten after it
    likes of 30           of the thirty after it: a session's graph rather than a window
    log-q                 logits less the logarithm of how often an item is drawn
    90 steps              instead of 40

Differences are paired by window, draw and seed; intervals are t-intervals over windows x draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from llactr.ctr import (
    BackboneName,
    CTRData,
    CTRModel,
    ModelConfig,
    Split,
    TrainConfig,
    ValuesConfig,
    ValueTables,
    measure,
    predict,
    train,
)
from llactr.ctr.values.unseen_rows import UnseenRows, find_unseen
from llactr.evaluation.evidence import t_interval
from llactr.evaluation.slices import row_slices
from llactr.evaluation.placebos import permuted_values
from llactr.semantics import EncoderConfig, FieldValueVectors, ValueVectors, load_encoder
from llactr.semantics.encoders.torch_encoder import TorchEncoder
from llactr.semantics.texts import value_texts
from llactr.transforms import FIRST, OOV, Transform
from research.field_transfer import Log
from research.value_tuning import TUNINGS, tuned_vectors

ITEM = "item_id"
FIELDS = (ITEM, "occupation")
ALL_FIELDS = (*FIELDS, "movie_title", "release_year", "genres")
AXES = {"release_year": (1930, 1998, 15, 6.0), "age": (10, 70, 9, 6.0)}  # first and last bump, how many, how wide
WINDOWS = (0.5, 0.6, 0.7)
SLICES = ("all", "unseen items", "warm")
REFERENCE = "values"


@dataclasses.dataclass(frozen=True)
class Variant:
    """How a model differs from `values`."""

    vectors: bool = True
    fields: tuple[str, ...] = FIELDS
    config: ValuesConfig = dataclasses.field(default_factory=ValuesConfig)
    permuted: bool = False
    shared: bool = False
    numbers: bool = False
    mean_oov: bool = False


VARIANTS: dict[str, Variant] = {
    REFERENCE: Variant(),
    "plain": Variant(vectors=False),
    "permuted": Variant(permuted=True),
    "all fields": Variant(fields=ALL_FIELDS),
    "tau 5": Variant(config=ValuesConfig(tau=5)),
    "tau 60": Variant(config=ValuesConfig(tau=60)),
    "rank 64": Variant(config=ValuesConfig(rank=64)),
    "decay 1": Variant(config=ValuesConfig(decay_factor=1)),
    "decay 30": Variant(config=ValuesConfig(decay_factor=30)),
    "shared P": Variant(fields=ALL_FIELDS, shared=True),
    "numbers": Variant(numbers=True),
    "mean oov": Variant(mean_oov=True),
    "plain mean oov": Variant(vectors=False, mean_oov=True),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """The rows of a window and a draw (-1: nothing held out), and what follows from them."""

    window: float
    draw: int
    train: NDArray[np.int64]
    transform: Transform
    data: CTRData
    unseen: Mapping[str, UnseenRows]
    parts: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, log: Log, window: float, draw: int) -> Cell:
        """Held out are 20 % of all items, by the draw; `test` is the tenth that judges."""
        train_rows = log.part(0, window)
        items = np.asarray(log.table[ITEM].to_pylist(), object)
        if draw >= 0:
            keys = np.array(sorted(set(items)), object)
            held = np.random.default_rng([77, draw]).permutation(keys)[: round(0.2 * len(keys))]
            train_rows = train_rows[~np.isin(items[train_rows], held)]
        split = Split(train_rows, log.part(window, window + 0.1), log.part(window + 0.1, window + 0.2))
        transform, data = log.fitted(split)
        unseen = find_unseen(transform, data.ids, log.table, list(dict.fromkeys([*ALL_FIELDS, *AXES])))
        parts = row_slices(log.spec, transform, data.ids[split.test])
        return cls(window, draw, train_rows, transform, data, unseen, parts)


def bumps(values: Sequence[str], first: float, last: float, count: int, width: float) -> NDArray[np.float32]:
    """(N, count) exp(-((value - centre) / width)^2 / 2), centres evenly from first to last; zeros without a number."""
    numbers = np.array([float(value) if value.isdigit() else np.nan for value in values])
    distance = (numbers[:, None] - np.linspace(first, last, count)) / width
    return np.nan_to_num(np.exp(-(distance**2) / 2)).astype(np.float32)


def in_one_space(vectors: ValueVectors, rank: int) -> ValueVectors:
    """All fields' vectors less their field's mean, in the coordinates of one PCA of them all."""
    centred = {name: one.vectors - one.vectors.mean(axis=0) for name, one in vectors.fields.items()}
    everything = np.concatenate(list(centred.values()))
    _, directions = np.linalg.eigh(everything.T @ everything)
    basis = directions[:, ::-1][:, :rank]  # (L, r)
    fields = {n: FieldValueVectors(one.values, centred[n] @ basis) for n, one in vectors.fields.items()}
    return dataclasses.replace(vectors, fields=fields)


def tables_of(variant: Variant, cell: Cell, vectors: ValueVectors, seed: int) -> ValueTables:
    """The z of a variant."""
    fields = {name: vectors.fields[name] for name in variant.fields}
    if variant.numbers:
        for name, axis in AXES.items():
            values = (*cell.transform.values(name), *cell.unseen[name].values)
            fields[name] = FieldValueVectors(values, bumps(values, *axis))
    chosen = dataclasses.replace(vectors, fields=fields)
    if variant.permuted:
        chosen = permuted_values(chosen, seed, {})
    if variant.shared:
        chosen = in_one_space(chosen, variant.config.rank)
    tables = ValueTables.fit(cell.transform, chosen, variant.config, cell.unseen)
    if variant.shared:  # undo each field's own rotation, so that one P can read them all
        turned = []
        for field in tables.fields:
            back = torch.from_numpy(field.pca.components)  # (r_k, r)
            turned.append(dataclasses.replace(
                field, z=field.z @ back, gated=field.gated @ back, unseen=field.unseen @ back
            ))  # fmt: skip
        tables = dataclasses.replace(tables, fields=tuple(turned))
    return tables


def share_projections(model: CTRModel) -> None:
    """One P and one q for all fields."""
    embedding = model.embedding
    for name in ("projections", "linear_projections"):
        own = getattr(embedding, name)
        if len(own):
            setattr(embedding, name, nn.ParameterList([own[0]] * len(own)))


def set_mean_oov(model: CTRModel, transform: Transform) -> None:
    """E_oov of each field: the mean of its embeddings, weighted by training counts; first-order weights likewise."""
    embedding, layout = model.embedding, transform.layout
    with torch.no_grad():
        for number, (start, size) in enumerate(zip(layout.offsets, layout.vocab_sizes, strict=True)):
            rows = slice(int(start) + FIRST, int(start) + int(size))
            counts = torch.from_numpy(transform.counts[number][FIRST:]).to(torch.float32)
            if counts.sum() > 0:
                share = counts / counts.sum()
                embedding.weight[int(start) + OOV] = share @ embedding.weight[rows]
                if embedding.linear is not None:
                    embedding.linear[int(start) + OOV] = share @ embedding.linear[rows]


def figures(
    backbone: BackboneName, variant: Variant, cell: Cell, vectors: ValueVectors, seed: int
) -> dict[str, float | None]:
    """AUC of each slice of the judged rows, and the logloss of them all."""
    tables, data = None, cell.data
    if variant.vectors:
        tables = tables_of(variant, cell, vectors, seed)
        ids = tables.ids(data.ids, cell.unseen, cell.transform.layout, training=cell.train)
        data = dataclasses.replace(data, ids=ids)
    model = CTRModel(
        ModelConfig.model_validate({"backbone": backbone}), cell.transform.layout, None, values=tables, seed=seed
    )
    if variant.shared:
        share_projections(model)
    train(model, data, TrainConfig.of(backbone, seed=seed))
    if variant.mean_oov:
        set_mean_oov(model, cell.transform)
    judged = data.split.test
    scores, labels = predict(model, data.ids[judged], data.version[judged]), data.label[judged]
    found: dict[str, float | None] = {
        part: measure(labels[cell.parts[part]], scores[cell.parts[part]]).auc for part in SLICES
    }
    return {**found, "logloss": measure(labels, scores).logloss}


def summary(runs: Sequence[Mapping[str, Any]], reference: str) -> list[dict[str, Any]]:
    """By variant and held-out or not: means, and differences from the reference over windows x draws."""
    by_key = {(r["variant"], r["window"], r["draw"], r["seed"]): r for r in runs}
    lines = []
    for variant in dict.fromkeys(run["variant"] for run in runs):
        for held in (False, True):
            mine = [run for run in runs if run["variant"] == variant and (run["draw"] >= 0) == held]
            line: dict[str, Any] = {"variant": variant, "held_out": held}
            for name in (*SLICES, "logloss"):
                gaps: dict[tuple[float, int], list[float]] = {}
                for run in mine:
                    other = by_key[(reference, run["window"], run["draw"], run["seed"])]
                    if run[name] is not None and other[name] is not None:
                        gaps.setdefault((run["window"], run["draw"]), []).append(run[name] - other[name])
                means = [statistics.fmean(some) for some in gaps.values()]
                values = [run[name] for run in mine if run[name] is not None]
                line[name] = {
                    "mean": statistics.fmean(values) if values else None,
                    "difference": statistics.fmean(means) if means else None,
                    "interval": t_interval(means),
                    "above": f"{sum(mean > 0 for mean in means)} of {len(means)}",
                }
            lines.append(line)
    return lines


def table(summaries: Mapping[str, Sequence[Mapping[str, Any]]], reference: str) -> str:
    """Markdown: differences from the reference; the reference's own line has its figures."""
    lines = [
        "| backbone | variant | nothing held out: all rows | logloss | 20 % of items held out: all rows | interval "
        "| unseen items | warm | logloss |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|",
    ]
    for backbone, found in summaries.items():
        names = list(dict.fromkeys(line["variant"] for line in found))
        for name in names:
            whole, held = (next(x for x in found if (x["variant"], x["held_out"]) == (name, h)) for h in (False, True))
            if name == reference:
                kind = "mean"
                span = ""
            else:
                kind = "difference"
                interval = held["all"]["interval"]
                span = "" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"

            def cell(line: Mapping[str, Any], key: str, kind: str = kind) -> str:
                value = line[key][kind]
                return "" if value is None else f"{value:.4f}" if kind == "mean" else f"{value:+.4f}"

            shown = [cell(whole, "all"), cell(whole, "logloss"), cell(held, "all"), span]
            shown += [cell(held, key) for key in ("unseen items", "warm", "logloss")]
            lines.append(f"| {backbone} | {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder with the raw files; fetched without it")
    parser.add_argument("--cache", type=Path, default=Path(".llactr/downloads"))
    parser.add_argument("--backbones", nargs="+", default=["fm", "deepfm"])
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--tuned", nargs="*", default=[], choices=list(TUNINGS))
    parser.add_argument("--windows", nargs="+", type=float, default=list(WINDOWS))
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    log = Log.read(options.data, options.cache)
    texts = value_texts(log.spec.model_copy(update={"fields": _with_texts(log)}), log.table, log.entities)
    encode = functools.partial(load_encoder, EncoderConfig(device="cpu"))
    vectors = _encoded(encode(), texts)
    names = list(dict.fromkeys([REFERENCE, *options.variants]))
    runs: dict[str, list[dict[str, Any]]] = {backbone: [] for backbone in options.backbones}
    for window in options.windows:
        for draw in range(-1, options.draws):
            cell = Cell.of(log, window, draw)
            sources = {name: (VARIANTS[name], vectors) for name in names}
            for name in options.tuned if draw >= 0 else ():
                own = tuned_vectors(encode(), texts[ITEM], log, cell.train, TUNINGS[name])
                tuned = FieldValueVectors(tuple(texts[ITEM]), own)
                sources[name] = (Variant(), dataclasses.replace(vectors, fields={**vectors.fields, ITEM: tuned}))
            for backbone in options.backbones:
                for name, (variant, source) in sources.items():
                    for seed in range(options.seeds):
                        found = figures(backbone, variant, cell, source, seed)
                        runs[backbone].append({"variant": name, "window": window, "draw": draw, "seed": seed, **found})
                print(f"{backbone}, trained on {window:.0%}, draw {draw}: done", file=sys.stderr, flush=True)
    summaries = {backbone: summary(some, REFERENCE) for backbone, some in runs.items()}
    content = {
        "command": shlex.join(["python", "-m", "research.value_variants", *sys.argv[1:]]),
        "rows": log.table.num_rows,
        "cpu_seconds": round(time.process_time() - began),
        "summaries": summaries,
        "runs": runs,
    }
    if options.out is not None:
        options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content) if options.json else table(summaries, REFERENCE))


def _with_texts(log: Log) -> tuple[Any, ...]:
    """The spec's fields, titles, years and genres with texts of their own."""
    return tuple(
        field.model_copy(update={"value_text": True})
        if field.name in ALL_FIELDS and field.name not in FIELDS
        else field
        for field in log.spec.fields
    )


def _encoded(encoder: TorchEncoder, texts: Mapping[str, Mapping[str, str]]) -> ValueVectors:
    fields = {name: FieldValueVectors(tuple(some), encoder.encode(list(some.values()))) for name, some in texts.items()}
    return ValueVectors("movielens-100k", "0" * 16, encoder.name, fields)


if __name__ == "__main__":
    main()
