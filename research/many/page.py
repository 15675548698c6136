"""What the kept sets say together, in tables: ours against trees, what the past is worth, a line a question, all arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from research.many.differences import Effect, best, difference, signed, span
from research.many.goal import goal
from research.many.meta import random_effects

__all__ = ["BEST", "CONTRASTS", "PICTURED", "effects", "page"]

BEST, RIVAL = "best of ours", "best rival"
TASTE = "history taste"
CONTRASTS: tuple[tuple[str, str, str], ...] = (
    ("paper", "plain", "does the method help"),
    ("paper", "paper permuted", "by the meaning of fields"),
    ("fre", "fre permuted", "FRE alone"),
    ("fie", "fie permuted", "FIE alone"),
    ("values untuned", "plain", "do texts of values help"),
    ("values untuned", "values untuned permuted", "by their meaning"),
    ("values untuned", "values words", "more than the words"),
    ("items", "plain", "does the past of items help"),
    ("history", "plain", "and that of the person"),
    (TASTE, "plain", "and what the person liked"),
    (TASTE, "history", "this alone"),
    (TASTE, f"{TASTE} permuted", "by its meaning"),
    (TASTE, f"{TASTE} words", "more than the words"),
    (BEST, RIVAL, "both chosen on validation"),
)
"""Arm, baseline, and the question."""
PICTURED = (
    ("paper", "paper permuted"),
    ("values untuned", "values untuned permuted"),
    (TASTE, f"{TASTE} permuted"),
    (BEST, RIVAL),
)
METRICS = ("auc", "user_auc", "logloss")


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
        effect = difference(here["differences"], first, second, metric, part)
        if effect is not None:
            found.append(Effect(one["set"], *effect))
    return found


def _meant(backbone: dict[str, Any], name: str) -> str | None:
    if name == BEST:
        return best(backbone, ("plain", "treatment"))
    return best(backbone, ("rival",)) if name == RIVAL else name


def page(kept: Sequence[dict[str, Any]]) -> str:
    """Tables in Markdown."""
    lines = ["## Ours against the best rival", "", *goal(kept), "", "## What the past is worth", "", *_past(kept), ""]
    for backbone in dict.fromkeys(b["backbone"] for one in kept for b in one["backbones"]):
        lines += [f"## {backbone}", "", *_together(kept, backbone), "", *_by_set(kept, backbone)]
        lines += ["", *_arms(kept, backbone), ""]
    return "\n".join([*lines, *_readings(kept)])


def _past(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Arms that read the past against plain, and which arm the product's rule would serve."""
    arms = ("items", "history", TASTE)
    yield "| set | backbone | would be served | " + " | ".join(f"{arm}: AUC, within users" for arm in arms) + " |"
    yield "|---|---|---|" + "---|" * len(arms)
    for one in kept:
        for backbone in one["backbones"]:
            cells = []
            for arm in arms:
                found = [difference(backbone["differences"], arm, "plain", m, "all") for m in ("auc", "user_auc")]
                cells.append("<br>".join("-" if f is None else f"{signed(f[0])} {span(f[2])}" for f in found))
            if any(cell != "-<br>-" for cell in cells):
                served = backbone["chosen"]["served"]
                yield f"| {one['set']} | {backbone['backbone']} | {served} | " + " | ".join(cells) + " |"


def _together(kept: Sequence[dict[str, Any]], backbone: str) -> Iterator[str]:
    yield "| arm | against | | sets | mean AUC difference | 95 % | between sets | next set |"
    yield "|---|---|---|---|---|---|---|---|"
    for arm, baseline, question in CONTRASTS:
        found = effects(kept, backbone, arm, baseline)
        together = random_effects([one.mean for one in found], [one.error for one in found])
        if together is not None:
            prediction = "-" if together.prediction is None else span(together.prediction)
            yield (
                f"| {arm} | {baseline} | {question} | {together.sets} | {signed(together.mean)} | "
                f"{span(together.interval)} | {together.tau:.4f} | {prediction} |"
            )


def _by_set(kept: Sequence[dict[str, Any]], backbone: str) -> Iterator[str]:
    shown = [(arm, baseline) for arm, baseline in PICTURED]
    yield "| set | test rows | " + " | ".join(f"{arm} − {baseline}" for arm, baseline in shown) + " |"
    yield "|---|---|" + "---|" * len(shown)
    for one in kept:
        cells = []
        for arm, baseline in shown:
            effect = next(iter(effects([one], backbone, arm, baseline)), None)
            cells.append("-" if effect is None else f"{signed(effect.mean)} {span(effect.interval)}")
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
