"""Field-level against entity-level semantics in one run: AUC, LLM tokens, CPU seconds, bytes, and how they grow.

    python -m research.entity_baseline [--data FOLDER] [--backbone deepfm] [--seeds 3] [--json] [--out FILE]

Arms, all with the same encoder, backbone, split and seeds:

    plain    no language model
    field    the paper's enhancement (FRE and FIE): one vector for each of the K field descriptions
    values   gated value vectors: one for each distinct value of the text fields
    entity   KAR-like: one vector for each user's and item's profile, a small adapter, two more fields

Weight decay is chosen for each arm on the validation split, with one seed; the test split is read once for each seed.
Tokens are those of distinct texts as the model reads them (cut at its limit, special tokens included, padding not).
Bytes are those of the float32 vectors that have to be kept. Growth: a quarter, half and all of the users, of the items
and of the training rows, each on its own while the rest stays whole; profiles are made of the rows that are there.
CPU seconds are of one thread; every text is encoded once for an axis, in three pieces.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from llactr.ctr import (
    CTRData,
    CTRModel,
    EnhancementConfig,
    ModelConfig,
    TrainConfig,
    TrainingSet,
    measure,
    predict,
    train,
)
from llactr.ctr.config import ValuesConfig
from llactr.ctr.values.embedding import ValueTables
from llactr.datasets import fetch, table_files, write_offline_tables
from llactr.semantics import EncoderConfig, FieldVectors, load_encoder
from llactr.semantics.texts import value_texts
from llactr.semantics.values import FieldValueVectors, ValueVectors
from llactr.spec import DatasetSpec, EntityOwner, load_spec
from llactr.sql import connect, parquet_scan, quote_identifier
from llactr.workspace import Workspace
from research.entity_model import EntityModel, profiles

EXAMPLES = Path(__file__).resolve().parents[1] / "llactr" / "specs"
SCALES = {"1x": 0.25, "2x": 0.5, "4x": 1.0}
DECAYS = (1e-5, 1e-4, 1e-3)
ARMS = ("plain", "field", "values", "entity")
OWNERS: tuple[EntityOwner, ...] = ("user", "item")


class Rows:
    """The joined rows of a dataset whose entities do not change over time, their ids, and the split."""

    def __init__(self, spec: DatasetSpec, workspace: Workspace) -> None:
        self.spec = spec
        self.key = {owner: spec.entities[owner].join_key for owner in OWNERS}
        self.entities = {
            o: pa.concat_tables(map(pq.read_table, table_files(workspace.offline_table(spec.name, o)))) for o in OWNERS
        }
        joins = " ".join(
            f"LEFT JOIN (SELECT * EXCLUDE (event_timestamp, created_timestamp) "
            f"FROM {parquet_scan(table_files(workspace.offline_table(spec.name, o)))}) USING ({quote_identifier(k)})"
            for o, k in self.key.items()
        )
        events = parquet_scan(table_files(workspace.offline_table(spec.name, "events")), row_numbers=True)
        query = f"SELECT * EXCLUDE (file_row_number) FROM {events} {joins} ORDER BY event_timestamp, file_row_number"
        with connect() as connection:
            self.table = connection.execute(query).to_arrow_table()
        one = pa.array(["fields"] * len(self.table)).dictionary_encode()
        nothing = np.ones((len(spec.fields), 1), np.float32)  # each arm brings vectors of its own
        self.training_set = TrainingSet.build(
            spec,
            self.table.append_column("semantics_version", one),
            lambda version: FieldVectors(spec.name, version, "none", spec.field_names, spec.field_names, nothing),
        )
        self.transform, self.data = self.training_set.transform, self.training_set.data

    def likes(self, share: float = 1.0) -> pa.Table:
        """The rows with label 1 in the first `share` of the training rows: the log when it was shorter."""
        rows = self.table.slice(0, int(share * len(self.data.split.train)))
        return rows.filter(pc.equal(rows["label"], 1.0))

    def profiles(self, owner: EntityOwner, history: int, share: float = 1.0) -> dict[str, str]:
        """Key -> profile text."""
        return profiles(
            self.spec, owner, self.entities, likes=self.likes(share), titles=self._titles(), history=history
        )

    def _titles(self) -> dict[str, str]:
        items = self.entities["item"]
        text = next(f.value_text for f in self.spec.text_fields if f.owner == "item")
        assert not isinstance(text, bool)
        name = text[0]  # of the fields that an item's text is made of, the first is what it is called
        return dict(zip(items[self.key["item"]].to_pylist(), items[name].to_pylist(), strict=True))


class Meter:
    """An encoder that counts tokens and CPU seconds, and reads each distinct text once."""

    def __init__(self, model: str) -> None:
        self.encoder = load_encoder(EncoderConfig(model=model, device="cpu"))
        tokenizer = getattr(self.encoder.module, "tokenizer", None) or self.encoder.tokenizer
        self._tokenizer = tokenizer
        self._limit = int(getattr(self.encoder.module, "max_seq_length", None) or 256)
        self._cost: dict[str, float] = {}
        self._tokens: dict[str, int] = {}
        self.vectors: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
        self.encoder.encode(["warm up"])

    def read(self, texts: Iterable[str]) -> None:
        """Encodes what is new; its CPU time is shared among the texts by their tokens."""
        new = sorted(set(texts) - self.vectors.keys())
        if not new:
            return
        counts = [len(ids) for ids in self._tokenizer(new, truncation=True, max_length=self._limit)["input_ids"]]
        began = time.process_time()
        vectors = self.encoder.encode(new)
        seconds = time.process_time() - began
        for text, vector, count in zip(new, vectors, counts, strict=True):
            self.vectors[text], self._tokens[text] = vector, count
            self._cost[text] = seconds * count / sum(counts)

    def cost(self, texts: Iterable[str], *, vectors: int | None = None) -> dict[str, float]:
        """What some texts took; `vectors` are kept where several keys share a text."""
        self.read(distinct := set(texts))
        kept = len(distinct) if vectors is None else vectors
        return {
            "texts": len(distinct),
            "llm_tokens": sum(self._tokens[text] for text in distinct),
            "encode_cpu_s": round(sum(self._cost[text] for text in distinct), 3),
            "vector_bytes": kept * self.encoder.dim * 4,
        }

    def array(self, texts: Iterable[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """(N, L) vectors of texts that were read."""
        return np.stack([self.vectors[text] for text in texts])


class Arms:
    """Builds and measures the models of each arm."""

    def __init__(self, rows: Rows, meter: Meter, *, backbone: str, history: int) -> None:
        self.rows, self.meter, self.backbone, self.history = rows, meter, backbone, history
        self.texts = texts_of(rows, history)
        for texts in self.texts.values():
            meter.read(flat(texts))

    def build(self, arm: str, seed: int) -> tuple[CTRModel, CTRData]:
        """A fresh model, and the rows as it reads them."""
        config = ModelConfig.model_validate({"backbone": self.backbone})
        layout = self.rows.transform.layout
        if arm == "field":
            vectors = torch.from_numpy(self.meter.array(self.texts["field"]["fields"].values()))
            config = config.model_copy(update={"enhancement": EnhancementConfig()})
            return CTRModel(config, layout, vectors, seed=seed), self.rows.data
        if arm == "values":
            fields = {
                name: FieldValueVectors(tuple(texts), self.meter.array(texts.values()))
                for name, texts in self.texts["values"].items()
            }
            found = ValueVectors(self.rows.spec.name, "0" * 16, self.meter.encoder.name, fields)
            unseen = self.rows.training_set.unseen
            tables = ValueTables.fit(self.rows.transform, found, ValuesConfig(), unseen)
            model = CTRModel(config, layout, values=tables, seed=seed)
            return model, self.rows.training_set.with_values(tables)
        if arm == "entity":
            keys = {owner: list(self.texts["entity"][owner]) for owner in OWNERS}
            model = EntityModel(
                config,
                layout,
                vectors={o: self.meter.array(self.texts["entity"][o].values()) for o in OWNERS},
                positions={o: _positions(self.rows.table[self.rows.key[o]], keys[o]) for o in OWNERS},
                seed=seed,
            )
            count = len(self.rows.data.label)
            return model, dataclasses.replace(self.rows.data, version=np.arange(count, dtype=np.int32))
        return CTRModel(config, layout, seed=seed), self.rows.data

    def run(self, arm: str, *, seed: int, decay: float, test: bool) -> dict[str, float]:
        """Trains a model; its test AUC and scoring cost only when asked for."""
        model, data = self.build(arm, seed)
        settings = TrainConfig.of(self.backbone, seed=seed, weight_decay=decay)  # type: ignore[arg-type]
        result = train(model, data, settings)
        found = {
            "validation_auc": float(result.validation.auc or 0),
            "train_cpu_s": result.cpu_seconds,
            "steps": result.steps,
            "parameter_bytes": sum(parameter.numel() * 4 for parameter in model.parameters()),
        }
        if test:
            rows, began = data.split.test, time.process_time()
            scores = predict(model, data.ids[rows], data.version[rows])
            found["score_cpu_ms_per_1000_rows"] = 1e6 * (time.process_time() - began) / len(rows)
            found["test_auc"] = float(measure(data.label[rows], scores).auc or 0)
        return found

    def measure(self, arm: str, *, seeds: int, decays: Sequence[float]) -> dict[str, Any]:
        """Chooses the weight decay on the validation split, then reads the test split once for each seed."""
        tried: dict[float, float] = {}
        if len(decays) > 1:
            for decay in decays:
                tried[decay] = self.run(arm, seed=0, decay=decay, test=False)["validation_auc"]
        decay = max(tried, key=lambda one: tried[one]) if tried else decays[0]
        found = [self.run(arm, seed=seed, decay=decay, test=True) for seed in range(seeds)]
        return {
            "weight_decay": decay,
            "validation_auc_by_decay": {f"{key:g}": value for key, value in tried.items()},
            **{name: statistics.fmean(one[name] for one in found) for name in found[0]},
            "test_auc_per_seed": [one["test_auc"] for one in found],
            **self.meter.cost(flat(self.texts[arm]), vectors=_vector_count(self.texts[arm])),
        }


def texts_of(rows: Rows, history: int, *, users: float = 1.0, items: float = 1.0, likes: float = 1.0) -> dict[str, Any]:
    """arm -> group -> key -> text, of a share of the users and items, and of a share of the training rows."""
    shares = {"user": users, "item": items}
    kept = {o: rows.entities[o].slice(0, round(shares[o] * len(rows.entities[o]))) for o in OWNERS}
    entity = {}
    for owner in OWNERS:
        found = rows.profiles(owner, history, likes)
        entity[owner] = {key: found[key] for key in kept[owner][rows.key[owner]].to_pylist()}
    return {
        "plain": {},
        "field": {"fields": {f.name: f.description for f in rows.spec.fields}},
        "values": value_texts(rows.spec, rows.table, kept),
        "entity": entity,
    }


def flat(groups: Mapping[str, Mapping[str, str]]) -> list[str]:
    """All texts of an arm."""
    return [text for texts in groups.values() for text in texts.values()]


def growth(rows: Rows, meter: Meter, history: int) -> dict[str, Any]:
    """axis -> arm -> scale -> cost, each axis on its own."""
    found: dict[str, Any] = {}
    for axis, keyword in (("users", "users"), ("items", "items"), ("rows", "likes")):
        for scale, share in SCALES.items():
            texts = texts_of(rows, history, **{keyword: share})
            for arm in ("field", "values", "entity"):
                cost = meter.cost(flat(texts[arm]), vectors=_vector_count(texts[arm]))
                found.setdefault(axis, {}).setdefault(arm, {})[scale] = cost
    return found


def _vector_count(groups: Mapping[str, Mapping[str, str]]) -> int:
    """Vectors that have to be kept: one a key."""
    return sum(map(len, groups.values()))


def _positions(column: pa.ChunkedArray, keys: list[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    found = pc.index_in(column, pa.array(keys)).to_numpy()
    return found.astype(np.int64)


def table(content: dict[str, Any]) -> str:
    """The results in words."""
    lines = [f"{content['dataset']}, {content['backbone']}, {content['encoder']}: mean of {content['seeds']} seeds", ""]
    lines.append(f"{'arm':<8} {'test AUC':>9} {'tokens':>9} {'encode':>9} {'train':>9} {'vectors':>10} {'bytes':>12}")
    for arm, one in content["arms"].items():
        vectors = one["vector_bytes"] // (4 * content["dim"])
        lines.append(
            f"{arm:<8} {one['test_auc']:9.4f} {one['llm_tokens']:9,} {one['encode_cpu_s']:7.2f} s "
            f"{one['train_cpu_s']:7.1f} s {vectors:10,} {one['vector_bytes']:12,}"
        )
    for axis, arms in content["growth"].items():
        lines += ["", f"{axis} 1x, 2x, 4x: tokens; encoding, CPU seconds; bytes"]
        for arm, scales in arms.items():
            tokens = "  ".join(f"{one['llm_tokens']:9,}" for one in scales.values())
            seconds = "  ".join(f"{one['encode_cpu_s']:7.2f}" for one in scales.values())
            sizes = "  ".join(f"{one['vector_bytes']:11,}" for one in scales.values())
            lines.append(f"  {arm:<8} {tokens}   {seconds}   {sizes}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--dataset", default="movielens-100k", help="an example spec whose entities are static")
    parser.add_argument("--data", type=Path, help="folder with the raw files; fetched without it")
    parser.add_argument("--cache", type=Path, default=Path(".llactr/downloads"))
    parser.add_argument("--backbone", default="deepfm")
    parser.add_argument("--model", default="minilm", help="the encoder of all arms, untuned")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--history", type=int, default=10, help="liked items in a user's profile")
    parser.add_argument("--decays", type=float, nargs="+", default=DECAYS, help="weight decays to choose from")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file, arm by arm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = load_spec(EXAMPLES / f"{options.dataset}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace.at(folder)
        write_offline_tables(spec, workspace, fetch(spec.recipe or "", folder=options.data, cache=options.cache))
        rows = Rows(spec, workspace)
    meter = Meter(options.model)
    content: dict[str, Any] = {
        "command": _command(options),
        "dataset": spec.name,
        "rows": len(rows.table),
        "users": len(rows.entities["user"]),
        "items": len(rows.entities["item"]),
        "fields": len(spec.fields),
        "backbone": options.backbone,
        "encoder": meter.encoder.name,
        "dim": meter.encoder.dim,
        "history": options.history,
        "seeds": options.seeds,
        "growth": growth(rows, meter, options.history),
        "arms": {},
    }
    arms = Arms(rows, meter, backbone=options.backbone, history=options.history)
    for arm in ARMS:
        _keep(content, options.out)
        content["arms"][arm] = arms.measure(arm, seeds=options.seeds, decays=options.decays)
        print(f"{arm}: done", file=sys.stderr)
    _keep(content, options.out)
    print(json.dumps(content) if options.json else table(content))


def _command(options: argparse.Namespace) -> str:
    """What makes the same figures anywhere: paths are left out."""
    decays = " ".join(f"{decay:g}" for decay in options.decays)
    chosen = (
        f"--dataset {options.dataset} --backbone {options.backbone} --model {options.model} --seeds {options.seeds}"
    )
    return f"python -m research.entity_baseline {chosen} --history {options.history} --decays {decays}"


def _keep(content: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
