"""What a day costs: `python -m benchmarks.days SPEC TABLES OUT`, and how the cost goes over the weeks.

A data set is cut into weeks of event time. A workspace is made of the first half of them, and every later week is
brought in by `llactr advance`, a process of its own, as a night job would run it. After some weeks the same rows go
through a full run in a fresh workspace: ingest, tuning and encoding, apply, train, materialize. All figures are CPU
seconds of whole processes, start-up included. OUT/days.json is written anew after each week, so that a run that was
ended goes on where it stood. `python -m benchmarks.days --picture FILE.svg NAME=OUT/days.json ...` draws the curves.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from llactr.atomic import write_text, writing_folder
from llactr.columns import TIMESTAMP
from llactr.datasets.sources import read_source
from llactr.spec import DatasetSpec, find_spec, load_spec
from llactr.transforms import utc_timestamps

__all__ = ["main", "weeks_of", "write_weeks"]

_WEEK_US = 7 * 24 * 3600 * 1_000_000
_GATES = {"auc": -1, "logloss": 1, "calibration": 1, "min_positives": 1}
"""All challengers pass: the cost is that of a week that ends with another champion."""


def weeks_of(times: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(N,) the week of each moment, counted from the first one; weeks without a row do not count."""
    micros = times.cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    return np.unique((micros - micros.min()) // _WEEK_US, return_inverse=True)[1].astype(np.int64)


def write_weeks(spec: DatasetSpec, tables: Path, out: Path) -> int:
    """Cuts the sources into OUT/first (the first half of the weeks) and OUT/week-NN, and gives the number of weeks.

    OUT/until-NN, the rows up to a week, is what a full run reads.
    """
    events = read_source(spec, spec.events, tables)
    weeks = weeks_of(utc_timestamps(events[spec.timestamp.column], spec.timestamp))
    count = int(weeks.max()) + 1
    if (out / "weeks" / f"week-{count - 1:02d}").is_dir():
        return count
    for week in range(count // 2 - 1, count):
        parts = {f"until-{week:02d}": weeks <= week} | (
            {f"week-{week:02d}": weeks == week} if week >= count // 2 else {}
        )
        for name, mask in parts.items():
            with writing_folder(out / "weeks" / name) as draft:
                pq.write_table(events.filter(pa.array(mask)), draft / spec.sources[spec.events].path)
                if name.startswith("until"):
                    for other, source in spec.sources.items():
                        if other != spec.events:
                            pq.write_table(read_source(spec, other, tables), draft / source.path)
    return count


def measured(arguments: Sequence[object]) -> tuple[float, Any]:
    """CPU seconds of an `llactr` command, and the JSON that it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "llactr.jobs.cli", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(spent, 2), json.loads(done.stdout)


def full(spec: Path, data: Path, workspace: Path, config: Path, *, texts: bool) -> float:
    """CPU seconds of making a workspace of all rows, to the first challenger's trial."""
    place = ("--workspace", workspace)
    commands: list[tuple[object, ...]] = [
        ("ingest", spec, "--data", data),
        ("finetune", "--config", config),
        ("encode", "--config", config),
        *([("encode", "--values", "--untuned", "--config", config)] if texts else []),
        ("apply",),
        ("materialize",),
        ("advance", "--config", config),
    ]
    return round(sum(measured((*command, *place))[0] for command in commands), 2)


def by_step(found: dict[str, Any]) -> dict[str, float]:
    """CPU seconds of the steps of a day that were not skipped."""
    return {one["step"]: one["cpu_seconds"] for one in found["steps"] if not one["skipped"]}


def draw(path: Path, curves: dict[str, dict[str, Any]]) -> None:
    """CPU of each day, and of full runs, by the week; a colour a data set."""
    from llactr.diagnostics.pictures.canvas import LINE, ROLE_COLOURS, Picture, drawing, plain_axes

    width, height = 640, 260
    picture = Picture.blank(
        "days", label="CPU-seconds of a day and of a full run, week by week.", width=width, height=height
    )
    colours = [ROLE_COLOURS[role] for role in ("treatment", "permuted", "random")]
    with drawing():
        axes = picture.axes(44, 26, width - 60, height - 66)
        plain_axes(axes)
        axes.grid(axis="y", color=LINE, linewidth=0.6)
        for (name, found), colour in zip(curves.items(), colours, strict=False):
            for kind, style, marker in (("days", "-", ""), ("full", ":", "o")):
                spent = found[kind] if kind == "full" else {at: one["cpu_seconds"] for at, one in found[kind].items()}
                weeks = sorted(map(int, spent))
                label = f"{name}, {'a day' if kind == 'days' else 'a full run'}"
                axes.plot(weeks, [spent[str(week)] for week in weeks], style, marker=marker, color=colour, label=label)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("week", fontsize=9.5)
        axes.set_title("CPU-seconds", loc="left", fontsize=10)
        axes.legend(frameon=False, fontsize=9, loc="center right")
    path.write_bytes(picture.svg())


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it; see the module's text."""
    if arguments is None and sys.argv[1:2] == ["--picture"]:
        named = dict(one.split("=", 1) for one in sys.argv[3:])
        draw(
            Path(sys.argv[2]),
            {name: json.loads(Path(file).read_text(encoding="utf-8")) for name, file in named.items()},
        )
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=find_spec)
    parser.add_argument("tables", type=Path, help="folder of the source files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--arm", default="plain")
    parser.add_argument("--backbone", default="deepfm")
    parser.add_argument("--weeks", type=int, default=1000, help="at most so many days")
    parser.add_argument("--full", type=int, default=3, help="after how many of the weeks a full run is made")
    given = parser.parse_args(arguments)
    spec, out = load_spec(given.spec), given.out.absolute()
    content = spec.model_dump(mode="json", exclude_none=True, exclude={"recipe"})  # the weeks are files, no download
    write_text(out / "spec.yaml", yaml.safe_dump(content, sort_keys=False))
    count = write_weeks(spec, given.tables, out)
    config = out / "run.yaml"
    train = {"backbone": given.backbone, "arm": given.arm}
    write_text(config, yaml.safe_dump({"train": train, "promote": _GATES}))
    place = out / "days.json"
    known: dict[str, Any] = {"full": {}, "days": {}}
    if place.exists():
        known = json.loads(place.read_text(encoding="utf-8"))
    half, last = count // 2, min(count, count // 2 + given.weeks)
    texts = any(word in given.arm for word in ("values", "both", "taste"))
    asked = np.linspace(half - 1, last - 1, given.full).round().astype(int).tolist()
    for week in [half - 1, *range(half, last)]:
        if week in asked and str(week) not in known["full"]:
            folder = out / ("workspace" if week == half - 1 else f"full-{week:02d}")
            spent = full(out / "spec.yaml", out / "weeks" / f"until-{week:02d}", folder, config, texts=texts)
            known["full"][str(week)] = spent
            write_text(place, json.dumps(known, indent=1))
            print(f"week {week}: a full run takes {spent:.1f} CPU-seconds", flush=True)
        if week >= half and str(week) not in known["days"]:
            data = out / "weeks" / f"week-{week:02d}"
            spent, found = measured(("advance", "--data", data, "--config", config, "--workspace", out / "workspace"))
            steps = by_step(found)
            known["days"][str(week)] = {"cpu_seconds": spent, "steps": steps, "trial": found["trial"]}
            write_text(place, json.dumps(known, indent=1))
            told = ", ".join(f"{name} {seconds:.1f}" for name, seconds in steps.items())
            print(f"week {week}: a day takes {spent:.1f} CPU-seconds ({told})", flush=True)


if __name__ == "__main__":
    main()
