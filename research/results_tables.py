"""The tables and the picture of research/movielens.md, from what `llactr evaluate --results` wrote: its JSON, or Parquet.

python -m research.results_tables research/results/movielens-items-fm.parquet   # Markdown tables
python -m research.results_tables FILE ... --picture docs/pictures/values.png   # and the picture
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from research.results import load

__all__ = ["arms_table", "main", "picture", "slices_table"]

SLICES = ("all", "unseen items", "rare items, n<=10", "unseen users", "warm")
SHOWN = ("values", "values untuned", "values words", "values permuted", "values random")


def arms_table(comparison: Mapping[str, Any]) -> str:
    """All rows: each arm's AUC, logloss and ECE, and its differences of AUC from what it is compared with."""
    lines = [
        "| backbone | arm | AUC | logloss | ECE | against | AUC difference | over draws | over seeds | over rows |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in comparison["arms"]:
        auc, logloss, error = (_mean(arm["runs"], "all", name) for name in ("auc", "logloss", "ece"))
        head = f"| {comparison['backbone']} | {arm['arm']} | {auc:.4f} | {logloss:.4f} | {error:.4f} |"
        found = [d for d in _differences(comparison, "all") if d["arm"] == arm["arm"]]
        lines += [f"{head if not number else '| | | | | |'} {_figures(d)} |" for number, d in enumerate(found)]
        if not found:
            lines.append(f"{head} | | | | |")
    return "\n".join(lines)


def slices_table(comparison: Mapping[str, Any], arms: Sequence[str] = ("values", "values permuted")) -> str:
    """Each slice: AUC of plain and of some arms, and the differences."""
    lines = [
        "| backbone | slice | plain | arm | AUC | difference | over draws | over seeds | over rows |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part in SLICES:
        for d in _differences(comparison, part):
            if d["arm"] in arms and d["baseline"] == "plain":
                figures = _figures(d).split(" | ", 1)[1]
                lines.append(
                    f"| {comparison['backbone']} | {part} | {d['baseline_mean']:.4f} | {d['arm']} | "
                    f"{d['arm_mean']:.4f} | {figures} |"
                )
    return "\n".join(lines)


def picture(comparisons: Sequence[Mapping[str, Any]], path: Path) -> None:
    """AUC differences from plain with their intervals over draws; a column per slice, a row of panels per backbone."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    parts = ("all", "unseen items", "warm")
    figure, axes = plt.subplots(
        len(comparisons), len(parts), figsize=(10, 1.0 + 1.7 * len(comparisons)), sharey=True, sharex="col",
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for row, comparison in zip(axes, comparisons, strict=True):
        for axis, part in zip(row, parts, strict=True):
            found = {d["arm"]: d for d in _differences(comparison, part) if d["baseline"] == "plain"}
            for height, arm in enumerate(reversed(SHOWN)):
                if arm in found:
                    low, high = found[arm]["over_draws"] or found[arm]["over_seeds"]
                    colour = "#1f5fa8" if arm in {"values", "values untuned"} else "#8a8a8a"
                    axis.plot([low, high], [height, height], color=colour, linewidth=2)
                    axis.plot(found[arm]["mean"], height, "o", color=colour)
            axis.axvline(0, color="black", linewidth=0.8)
            axis.set_yticks(range(len(SHOWN)), list(reversed(SHOWN)))
            axis.set_title(f"{comparison['backbone']}: {part}", fontsize=10)
            axis.grid(axis="x", alpha=0.3)
            axis.tick_params(labelsize=8)
    figure.supxlabel("test AUC, difference from plain; lines are 95 % intervals over draws", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _differences(comparison: Mapping[str, Any], part: str) -> list[dict[str, Any]]:
    return [d for d in comparison["differences"] if (d["slice"], d["metric"]) == (part, "auc")]


def _mean(runs: Sequence[Mapping[str, Any]], part: str, metric: str) -> float:
    return float(sum(run["metrics"][part][metric] for run in runs) / len(runs))


def _figures(d: Mapping[str, Any]) -> str:
    spans = [_span(d[name]) for name in ("over_draws", "over_seeds", "over_rows")]
    return f"{d['baseline']} | {d['mean']:+.4f} | {' | '.join(spans)}"


def _span(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"[{interval[0]:+.4f}, {interval[1]:+.4f}]"


def main() -> None:
    """Prints the tables, draws the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="of `llactr evaluate --results`, or kept as Parquet")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    given = parser.parse_args()
    comparisons = []
    for path in given.files:
        content = load(path)
        reading = content["test_reading"]
        print(f"{content['command']}\n\n{reading['rows']:,} test rows, read after {reading['models_before']} models; "
              f"earlier readings {len(reading['earlier_readings'])}\n")  # fmt: skip
        for comparison in content["comparisons"]:
            print(f"{arms_table(comparison)}\n\n{slices_table(comparison)}\n")
            comparisons.append(comparison)
    if given.picture:
        picture(comparisons, given.picture)


if __name__ == "__main__":
    main()
