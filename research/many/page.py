"""What the kept sets say together: a table a question, and a forest over data sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.special import stdtrit

from research.many.meta import RandomEffects, random_effects

__all__ = ["CONTRASTS", "Effect", "effects", "page", "write_picture"]

BEST, RIVAL = "best of ours", "best rival"
CONTRASTS: tuple[tuple[str, str, str], ...] = (
    ("paper", "plain", "does the method help"),
    ("paper", "paper permuted", "by the meaning of fields"),
    ("fre", "fre permuted", "FRE alone"),
    ("fie", "fie permuted", "FIE alone"),
    ("values untuned", "plain", "do texts of values help"),
    ("values untuned", "values untuned permuted", "by their meaning"),
    ("values untuned", "values words", "more than the words"),
    ("values", "values untuned", "does tuning on likes help"),
    ("history", "plain", "does the past help"),
    ("history", "history permuted", "by its meaning"),
    (BEST, RIVAL, "both chosen on validation"),
)
"""Arm, baseline, and the question; `history` stands for what a set's history arm is."""
PICTURED = (
    ("paper", "paper permuted"),
    ("values untuned", "plain"),
    ("values untuned", "values untuned permuted"),
    (BEST, RIVAL),
)
METRICS = ("auc", "user_auc", "logloss")


@dataclass(frozen=True)
class Effect:
    """A difference in one set.

    `error` is its standard error over users and seeds; the interval is the bootstrap's own where there are no seeds in it.
    """

    set: str
    mean: float
    error: float
    interval: tuple[float, float]


def effects(
    kept: Sequence[dict[str, Any]], backbone: str, arm: str, baseline: str, *, metric: str = "auc", part: str = "all"
) -> list[Effect]:
    """The difference of two arms in each set that has both."""
    found = []
    for one in kept:
        here = next((b for b in one["backbones"] if b["backbone"] == backbone), None)
        if here is None:
            continue
        first, second = (_meant(here, name) for name in (arm, baseline))
        effect = _effect(here["differences"], first, second, metric, part)
        if effect is not None:
            found.append(Effect(one["set"], *effect))
    return found


def best(backbone: dict[str, Any], roles: Sequence[str]) -> str | None:
    """The arm of the best validation AUC among some roles."""
    arms = [arm for arm in backbone["arms"] if arm["role"] in roles and arm["validation_auc"] is not None]
    return max(arms, key=lambda arm: arm["validation_auc"])["arm"] if arms else None


def _meant(backbone: dict[str, Any], name: str) -> str | None:
    if name == BEST:
        return best(backbone, ("plain", "treatment"))
    return best(backbone, ("rival",)) if name == RIVAL else name


def _effect(
    differences: Sequence[dict[str, Any]], arm: str | None, baseline: str | None, metric: str, part: str
) -> tuple[float, float, tuple[float, float]] | None:
    """Of the kept differences, or of one with its sides exchanged; 0 of an arm with itself is none."""
    for ours, theirs, sign in ((arm, baseline, 1), (baseline, arm, -1)):
        for one in differences:
            if (one["arm"], one["baseline"], one["metric"], one["slice"]) == (ours, theirs, metric, part):
                error, mean = _error(one), sign * one["mean"]
                if error is None:
                    return None
                ends = sorted(sign * end for end in one["over_rows"])
                if len(one.get("by_seed", ())) > 2:
                    ends = [mean - 1.96 * error, mean + 1.96 * error]
                return mean, error, (ends[0], ends[1])
    return None


def _error(difference: dict[str, Any]) -> float | None:
    """Over users (or rows) from the bootstrap's interval, over seeds from the t-interval of three or more."""
    rows, seeds = difference["over_rows"], difference["over_seeds"]
    if rows is None:
        return None
    squares = [((rows[1] - rows[0]) / (2 * 1.96)) ** 2]
    count = len(difference.get("by_seed", ()))
    if seeds is not None and count > 2:
        squares.append(((seeds[1] - seeds[0]) / (2 * float(stdtrit(count - 1, 0.975)))) ** 2)
    return math.sqrt(math.fsum(squares)) or None


def page(kept: Sequence[dict[str, Any]]) -> str:
    """Tables in Markdown."""
    lines: list[str] = []
    for backbone in dict.fromkeys(b["backbone"] for one in kept for b in one["backbones"]):
        lines += [f"## {backbone}", "", *_together(kept, backbone), "", *_by_set(kept, backbone)]
        lines += ["", *_arms(kept, backbone), ""]
    return "\n".join([*lines, *_readings(kept)])


def _together(kept: Sequence[dict[str, Any]], backbone: str) -> Iterator[str]:
    yield "| arm | against | | sets | mean AUC difference | 95 % | between sets | next set |"
    yield "|---|---|---|---|---|---|---|---|"
    for arm, baseline, question in CONTRASTS:
        found = effects(kept, backbone, arm, baseline)
        together = random_effects([one.mean for one in found], [one.error for one in found])
        if together is not None:
            prediction = "-" if together.prediction is None else _span(together.prediction)
            yield (
                f"| {arm} | {baseline} | {question} | {together.sets} | {_signed(together.mean)} | "
                f"{_span(together.interval)} | {together.tau:.4f} | {prediction} |"
            )


def _by_set(kept: Sequence[dict[str, Any]], backbone: str) -> Iterator[str]:
    shown = [(arm, baseline) for arm, baseline in PICTURED]
    yield "| set | test rows | " + " | ".join(f"{arm} − {baseline}" for arm, baseline in shown) + " |"
    yield "|---|---|" + "---|" * len(shown)
    for one in kept:
        cells = []
        for arm, baseline in shown:
            effect = next(iter(effects([one], backbone, arm, baseline)), None)
            cells.append("-" if effect is None else f"{_signed(effect.mean)} {_span(effect.interval)}")
        yield f"| {one['set']} | {one['reading']['rows']:,} | " + " | ".join(cells) + " |"


def _arms(kept: Sequence[dict[str, Any]], backbone: str) -> Iterator[str]:
    """Ours that are no placebos, and the rivals; the best on validation of each kind is marked."""
    yield "| set | arm | AUC | AUC within users | logloss | validation AUC | CPU-s to train | rows per CPU-s |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in kept:
        here = next((b for b in one["backbones"] if b["backbone"] == backbone), None)
        for arm in here["arms"] if here else ():
            if arm["role"] not in {"plain", "treatment", "rival"}:
                continue
            chosen = arm["arm"] in {best(here, ("plain", "treatment")), best(here, ("rival",))}
            name = f"**{arm['arm']}**" if chosen else arm["arm"]
            figures = [arm.get(metric) for metric in (*METRICS, "validation_auc")]
            cells = ["-" if value is None else f"{value:.4f}" for value in figures]
            cells += ["-" if arm["train_s"] is None else f"{arm['train_s']:.1f}"]
            cells += ["-" if arm["rows_per_s"] is None else f"{arm['rows_per_s']:,.0f}"]
            yield f"| {one['set']} | {name} | " + " | ".join(cells) + " |"


def _readings(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield "| set | test rows | seeds | models trained before | test read | readings before it | CPU-s of all steps |"
    yield "|---|---|---|---|---|---|---|"
    for one in kept:
        reading = one["reading"]
        yield (
            f"| {one['set']} | {reading['rows']:,} | {reading['seeds']} | {reading['models_before']} | "
            f"{reading['read_at'][:16]} | {len(reading['earlier_readings'])} | {sum(one['cpu_s'].values()):,.0f} |"
        )


def write_picture(kept: Sequence[dict[str, Any]], path: Path, *, backbone: str = "fm") -> None:
    """A panel a contrast: sets with their intervals, the mean as a diamond, the prediction interval as a line below."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    from llactr.diagnostics.pictures.canvas import INK, LINE, MUTED, ROLE_COLOURS, drawing

    panels = [(a, b, found) for a, b in PICTURED if len(found := effects(kept, backbone, a, b)) > 1]
    names = [one["set"] for one in kept]
    with drawing():
        figure, axes = pyplot.subplots(1, len(panels), figsize=(3.1 * len(panels) + 1.4, 0.34 * len(names) + 1.7))
        for at, (axis, (arm, baseline, found)) in enumerate(zip(list(axes) if len(panels) > 1 else [axes], panels)):
            axis.axvline(0, color=MUTED, linewidth=1)
            for effect in found:
                y = names.index(effect.set)
                axis.plot(effect.interval, [y, y], color=INK, linewidth=1.2)
                axis.plot([effect.mean], [y], "s", color=ROLE_COLOURS["treatment"], markersize=5)
            _summary(axis, random_effects([e.mean for e in found], [e.error for e in found]), len(names))
            axis.set_ylim(len(names) + 1.2, -0.7)
            labels = [*names, "mean", "next set"] if at == 0 else [""] * (len(names) + 2)
            axis.set_yticks(range(len(names) + 2), labels)
            axis.set_title(f"{arm} − {baseline}", fontsize=10)
            axis.axhline(len(names) - 0.5, color=LINE, linewidth=0.8)
            axis.tick_params(labelsize=9)
            for side in ("top", "right", "left"):
                axis.spines[side].set_visible(False)
        figure.supxlabel(f"difference in test AUC, {backbone}, 95 %", fontsize=9, color=MUTED)
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def _summary(axis: Any, together: RandomEffects | None, y: int) -> None:
    if together is None:
        return
    low, high = together.interval
    axis.fill([low, together.mean, high, together.mean], [y, y - 0.25, y, y + 0.25], color="#b4540a")
    if together.prediction is not None:
        axis.plot(together.prediction, [y + 1, y + 1], color="#b4540a", linewidth=2)


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _span(ends: Sequence[float]) -> str:
    return f"[{_signed(ends[0])}, {_signed(ends[1])}]"
