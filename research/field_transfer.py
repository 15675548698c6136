"""Does a field's vector say what the field's pair weights will be? Two tries with FwFM on MovieLens-100K.

    python -m research.field_transfer [--data FOLDER] [--seeds 3] [--draws 5] [--json] [--out FILE]
    python -m research.field_transfer --fields lean --seeds 0 --draws 15    # the other dataset alone, more draws

New field: a model was trained without it; then it arrives, and the model is trained further on a few new rows. Its
embeddings are fresh; its pair weights r_jk are

    fresh      as FwFM draws them
    mean       with each field, the mean over the other fields
    nearest    those of the field with the nearest description vector (cosine)
    permuted   those of another field: the placebo
    learned    what it learns itself from all earlier rows: as good as a guess can be
    (without   the model goes on without the field)

Either the whole model is trained further, or the field's own parameters alone while the old model stays.

Other dataset: A holds one half of the users and describes the fields in other words, B a share of the training rows of
the other half. Pair weights go from A's fields to B's by the cosines of their vectors. B's model starts at them, or
holds them. The arms are `fresh`, `vectors`, `permuted` (the same, with B's vectors on the wrong fields) and `named`
(each field gets its own). Both halves have the same fields and films: no two real datasets are as near.

Both are done with all fields, and with `lean` ones: no identities (user, zip code, item, title), so that what is left
has to carry all there is.

Everything happens before the test split, which is cut off on loading. A window trains on the first part of the rows,
stops on the next tenth and judges on a later one. Differences are paired by window and seed, or by window and draw of
the halves of the users. An interval is a t-interval: over fields x windows for the new field, over draws for the other
dataset.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from llactr.ctr import CTRData, CTRModel, Split
from llactr.datasets import fetch, write_offline_tables
from llactr.evaluation.evidence import t_interval
from llactr.semantics import EncoderConfig, load_encoder
from llactr.spec import DatasetSpec, load_spec
from llactr.transforms import Transform, chronological_split
from llactr.workspace import Workspace
from research.entity_baseline import EXAMPLES, Rows
from research.field_prior import Vectors, carried, cosines, pair_weights, set_pair_weights
from research.new_field import BATCH_ROWS, CONFIG, NEW_STEPS, NewField, judged, trained

DATASET = "movielens-100k"
NEW_FIELDS = ("genres", "release_year", "occupation", "movie_title")
NEW_WINDOWS = (0.5, 0.6)  # where training ends; stop on the next tenth, then new rows, then the tenth that judges
NEW_SHARES = (0.01, 0.1)  # of all rows
NEW_WAYS = ("whole", "own")
NEW_ARMS = ("fresh", "mean", "nearest", "permuted", "learned", "without")
OTHER_WINDOWS = (0.6, 0.7)  # where training ends; stop on the next tenth, judge on the one after
OTHER_SHARES = (0.03, 0.1, 0.3)  # of B's training rows
OTHER_ARMS = ("fresh", "vectors", "permuted", "named")
TEMPERATURE = 0.02  # of the softmax over cosines; not tuned
IDENTITIES = ("user_id", "zip_code", "item_id", "movie_title")

OTHER_WORDS = {
    "user_id": "which viewer it is",
    "age": "the viewer's years of life",
    "gender": "the sex of the viewer",
    "occupation": "the job of the viewer, for instance teacher or lawyer",
    "zip_code": "the area code of the viewer's home address",
    "item_id": "which movie it is",
    "movie_title": "what the movie is called",
    "release_year": "when the movie was first shown in cinemas",
    "genres": "the kinds of movie it counts as, for instance thriller, musical or western",
    "hour": "the time of day when the viewer gave the stars",
    "weekday": "Monday to Sunday, the day when the viewer gave the stars",
}


@dataclasses.dataclass(frozen=True)
class Log:
    """The rows before the test split, in the order of time, their users (N,), and the raw tables of users and items."""

    spec: DatasetSpec
    table: pa.Table
    users: NDArray[np.object_]
    entities: Mapping[str, pa.Table]

    @classmethod
    def read(cls, data: Path | None, cache: Path) -> Log:
        """Joined rows; those of the test split are left behind."""
        spec = load_spec(EXAMPLES / f"{DATASET}.yaml")
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace.at(folder)
            write_offline_tables(spec, workspace, fetch(spec.recipe or "", folder=data, cache=cache))
            rows = Rows(spec, workspace)
        table = rows.table.slice(0, chronological_split(len(rows.table), spec.split).validation.stop)
        entities = {str(owner): raw for owner, raw in rows.entities.items()}
        return cls(spec, table, np.asarray(table[rows.key["user"]].to_pylist(), object), entities)

    def lean(self) -> Log:
        """The same rows without the fields that are identities."""
        fields = tuple(field for field in self.spec.fields if field.name not in IDENTITIES)
        return dataclasses.replace(self, spec=self.spec.model_copy(update={"fields": fields}))

    def part(self, start: float, stop: float) -> NDArray[np.int64]:
        """Row numbers between two shares of all rows, those of the test split counted."""
        whole = len(self.table) / (self.spec.split.train + self.spec.split.validation)
        return np.arange(round(start * whole), min(round(stop * whole), len(self.table)))

    def fitted(self, split: Split) -> tuple[Transform, CTRData]:
        """Vocabularies of the training rows, and all rows' ids; `test` are the rows that judge."""
        transform = Transform.fit(self.spec, self.table.take(pa.array(split.train)))
        label = self.table["label"].to_numpy().astype(np.float32)
        version = np.zeros(len(self.table), np.int32)
        return transform, CTRData(transform.ids(self.table), label, version, split)


def new_field(log: Log, vectors: Vectors, *, seeds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Facts by field, window and seed; AUC of each arm by these, share of new rows, what is trained, and steps."""
    cases, found = [], []
    likeness = cosines(vectors, vectors)
    for window in NEW_WINDOWS:
        split = Split(log.part(0, window), log.part(window, window + 0.1), log.part(window + 0.2, window + 0.3))
        transform, data = log.fitted(split)
        names = transform.layout.names
        for name, seed in itertools.product([name for name in NEW_FIELDS if name in names], range(seeds)):
            field = names.index(name)
            others = [k for k in range(len(names)) if k != field]
            nearest = int(likeness[field, others].argmax())
            draw = np.random.default_rng([field, round(10 * window), seed])
            placebo = int(draw.choice([k for k in range(len(others)) if k != nearest]))
            case = NewField(field, seed, transform.layout, data, nearest, placebo)
            cell = {"field": name, "window": window, "seed": seed}
            cases.append({**cell, "nearest": names[others[nearest]], "permuted": names[others[placebo]],
                          "cosine": round(float(likeness[field, others[nearest]]), 3), **case.facts})  # fmt: skip
            for share, way, arm in itertools.product(NEW_SHARES, NEW_WAYS, NEW_ARMS):
                if (way, arm) != ("own", "without"):
                    more = log.part(window + 0.1, window + 0.1 + share)
                    for steps, auc in case.run(arm, way, more).items():
                        found.append({**cell, "share": share, "way": way, "steps": steps, "arm": arm, "auc": auc})
            if seed == seeds - 1:
                print(f"{len(names)} fields, {name}, trained on {window:.0%}: done", file=sys.stderr)
    return cases, found


def other_dataset(log: Log, a: Vectors, b: Vectors, *, draws: int) -> tuple[list[dict[str, Any]], float | None]:
    """AUC of each arm on B by window, draw and share of B's training rows; how well A's models agree.

    The agreement is the mean over pairs of draws of the correlation between the pairs' |r_jk|.
    """
    found, agreement = [], []
    names = np.array(sorted(set(log.users)))
    for window in OTHER_WINDOWS:
        parts = [log.part(0, window), log.part(window, window + 0.1), log.part(window + 0.1, window + 0.2)]
        strengths = []
        for draw in range(draws):
            chance = np.random.default_rng([round(10 * window), draw])
            in_a = np.isin(log.users, chance.permutation(names)[: len(names) // 2])
            transform, data = log.fitted(Split(*(rows[in_a[rows]] for rows in parts)))
            source = trained(CTRModel(CONFIG, transform.layout, seed=draw), data, draw)
            learned = pair_weights(source)
            strengths.append(np.abs(learned[np.triu_indices(len(learned), 1)]))
            wrong = _derangement(len(b), chance)
            priors = {
                "fresh": None,
                "vectors": carried(learned, cosines(b, a), temperature=TEMPERATURE),
                "permuted": carried(learned, cosines(b[wrong], a), temperature=TEMPERATURE),
                "named": learned,
            }
            rest = [rows[~in_a[rows]] for rows in parts]
            for share in OTHER_SHARES:
                few = np.sort(chance.choice(rest[0], round(share * len(rest[0])), replace=False))
                transform, data = log.fitted(Split(few, rest[1], rest[2]))
                for arm in OTHER_ARMS:
                    for held in (False, True):
                        model = CTRModel(CONFIG, transform.layout, seed=draw + 1000)  # not the source's first weights
                        prior = priors[arm]
                        set_pair_weights(model, pair_weights(model) if prior is None else prior, held=held)
                        trained(model, data, draw, batch_size=BATCH_ROWS)
                        found.append({"window": window, "draw": draw, "share": share, "rows": len(few), "arm": arm,
                                      "held": held, "auc": judged(model, data)})  # fmt: skip
            print(f"{len(b)} fields, other dataset, trained on {window:.0%}, draw {draw}: done", file=sys.stderr)
        agreement += [float(np.corrcoef(one, two)[0, 1]) for one, two in itertools.combinations(strengths, 2)]
    return found, statistics.fmean(agreement) if agreement else None


def _derangement(count: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """A permutation that leaves nothing in its place."""
    while True:
        order = draw.permutation(count)
        if (order != np.arange(count)).all():
            return order


def compared(
    runs: Sequence[dict[str, Any]], arm: str, baseline: str, *, cell: tuple[str, ...], unit: tuple[str, ...]
) -> dict[str, Any]:
    """Mean difference of two arms, paired by `cell`, with its interval over the means by `unit`."""
    auc = {(run["arm"], *(run[key] for key in cell)): run["auc"] for run in runs}
    assert len(auc) == len(runs)
    by_unit: dict[tuple[Any, ...], list[float]] = {}
    for run in runs:
        if run["arm"] == arm:
            gap = run["auc"] - auc[(baseline, *(run[key] for key in cell))]
            by_unit.setdefault(tuple(run[key] for key in unit), []).append(gap)
    means = [statistics.fmean(gaps) for gaps in by_unit.values()]
    return {
        "arm": arm,
        "baseline": baseline,
        "mean": statistics.fmean(means),
        "interval": t_interval(means),
        "range": [min(means), max(means)],
        "above": f"{sum(mean > 0 for mean in means)} of {len(means)}",
    }


def summary_of_new_field(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By share of new rows and what is trained: all arms after the steps that suit `fresh` best, which favours it."""
    lines = []
    for share, way in itertools.product(NEW_SHARES, NEW_WAYS):
        here = [run for run in runs if (run["share"], run["way"]) == (share, way)]
        by_steps = {n: _mean([r for r in here if (r["steps"], r["arm"]) == (n, "fresh")]) for n in NEW_STEPS}
        best = max(by_steps, key=lambda steps: by_steps[steps])
        kept = [run for run in here if run["steps"] == best]
        arms = [arm for arm in NEW_ARMS if any(run["arm"] == arm for run in kept)]
        pairs = [(arm, "fresh") for arm in arms[1:]] + [("nearest", "permuted"), ("nearest", "mean")]
        lines.append({
            "share": share,
            "way": way,
            "steps": best,
            "auc": {arm: _mean([run for run in kept if run["arm"] == arm]) for arm in arms},
            "differences": [
                compared(kept, *pair, cell=("field", "window", "seed"), unit=("field", "window")) for pair in pairs
            ],
        })  # fmt: skip
    return lines


def summary_of_other_dataset(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By share of B's rows, and whether the pair weights were held."""
    lines = []
    for share in OTHER_SHARES:
        for held in (False, True):
            kept = [run for run in runs if (run["share"], run["held"]) == (share, held)]
            start = [r for r in runs if r["share"] == share and not r["held"] and r["arm"] == "fresh"]
            pool = [{**run, "arm": "trained fresh"} for run in start] + kept
            pairs = [(arm, "trained fresh") for arm in OTHER_ARMS[0 if held else 1 :]] + [("vectors", "permuted")]
            lines.append({
                "share": share,
                "rows": round(statistics.fmean(run["rows"] for run in kept)),
                "held": held,
                "auc": {arm: _mean([run for run in kept if run["arm"] == arm]) for arm in OTHER_ARMS},
                "differences": [compared(pool, *pair, cell=("window", "draw"), unit=("draw",)) for pair in pairs],
            })  # fmt: skip
    return lines


def _mean(runs: Sequence[dict[str, Any]]) -> float:
    return statistics.fmean(run["auc"] for run in runs)


def table(content: dict[str, Any]) -> str:
    """The results in words."""
    lines = ["differences have intervals over fields x windows (new field), over draws (other dataset)"]
    for name, one in content["fields"].items():
        new, other = one.get("new_field"), one["other_dataset"]
        if new:
            before, after = new["auc_before"], new["auc_all_rows"]
            lines += [
                "",
                f"NEW FIELD, {name} fields: AUC {before:.4f} without, {after:.4f} with it and all earlier rows",
            ]
            for line in new["summary"]:
                lines += ["", f"{line['share']:.0%} of all rows, {line['way']}, {line['steps']} steps", *_lines(line)]
        lines += ["", f"OTHER DATASET, {name} fields: {other['matched_by_name']} of {other['count']} matched by name, "
                      f"correlation of |r| between draws {other['agreement'] or 0:.2f}"]  # fmt: skip
        for line in other["summary"]:
            how = "pair weights held" if line["held"] else "pair weights trained on"
            lines += ["", f"{line['share']:.0%} of B's rows ({line['rows']:,}), {how}", *_lines(line)]
    return "\n".join(lines)


def _lines(line: dict[str, Any]) -> list[str]:
    shown = ["  " + "  ".join(f"{arm} {auc:.4f}" for arm, auc in line["auc"].items())]
    for one in line["differences"]:
        span = "" if one["interval"] is None else "[{:+.4f}, {:+.4f}]".format(*one["interval"])
        shown.append(f"  {one['arm']:<9} - {one['baseline']:<13} {one['mean']:+.4f} {span}  above 0: {one['above']}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder with the raw files; fetched without it")
    parser.add_argument("--cache", type=Path, default=Path(".llactr/downloads"))
    parser.add_argument("--model", default="minilm", help="the encoder of the descriptions, untuned")
    parser.add_argument("--fields", nargs="+", choices=("all", "lean"), default=("all", "lean"))
    parser.add_argument("--seeds", type=int, default=3, help="for the new field; 0 leaves it out")
    parser.add_argument("--draws", type=int, default=5, help="of the halves of the users, for the other dataset")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the JSON to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    log = Log.read(options.data, options.cache)
    encoder = load_encoder(EncoderConfig(model=options.model, device="cpu"))
    began = time.process_time()
    fields: dict[str, dict[str, Any]] = {}
    for name in options.fields:
        rows = log if name == "all" else log.lean()
        described = encoder.encode([field.description for field in rows.spec.fields])
        reworded = encoder.encode([OTHER_WORDS[field] for field in rows.spec.field_names])
        fields[name] = {}
        if options.seeds:
            cases, new = new_field(rows, described, seeds=options.seeds)
            fields[name]["new_field"] = {
                "auc_before": statistics.fmean(case["auc_before"] for case in cases),
                "auc_all_rows": statistics.fmean(case["auc_all_rows"] for case in cases),
                "summary": summary_of_new_field(new),
                "cases": cases,
                "runs": new,
            }
        other, agreement = other_dataset(rows, reworded, described, draws=options.draws)
        fields[name]["other_dataset"] = {
            "count": len(described),
            "matched_by_name": int((cosines(described, reworded).argmax(1) == np.arange(len(described))).sum()),
            "agreement": agreement,
            "summary": summary_of_other_dataset(other),
            "runs": other,
        }
    chosen = f"--fields {' '.join(options.fields)} --seeds {options.seeds} --draws {options.draws}"
    content = {
        "command": f"python -m research.field_transfer --model {options.model} {chosen}",
        "dataset": log.spec.name,
        "rows_before_test": len(log.table),
        "encoder": encoder.name,
        "backbone": "fwfm",
        "seeds": options.seeds,
        "draws": options.draws,
        "cpu_s": round(time.process_time() - began, 1),
        "fields": fields,
    }
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lines = json.dumps(content).replace("}, {", "},\n{")  # one run a line
        options.out.write_text(lines + "\n", encoding="utf-8")
    print(json.dumps(content) if options.json else table(content))


if __name__ == "__main__":
    main()
