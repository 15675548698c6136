"""What the kept sets say together, in tables: ours against trees, what the past is worth, a line a question, all arms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

from research.many.meta import random_effects

__all__ = ["BEST", "CONTRASTS", "PICTURED", "Effect", "champion", "champions", "cpu_s", "effects", "page"]

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


@dataclass(frozen=True)
class Effect:
    """A difference in one set.

    `error` is its standard error over users and seeds; the interval is the bootstrap's own where no seeds are in it.
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
    lines = ["## Ours against the best rival", "", *_goal(kept), "", "## What the past is worth", "", *_past(kept), ""]
    for backbone in dict.fromkeys(b["backbone"] for one in kept for b in one["backbones"]):
        lines += [f"## {backbone}", "", *_together(kept, backbone), "", *_by_set(kept, backbone)]
        lines += ["", *_arms(kept, backbone), ""]
    return "\n".join([*lines, *_readings(kept)])


def champion(one: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The backbone and arm of ours with the best validation AUC of a set."""
    ours = [
        (arm["validation_auc"], at, arm["arm"])
        for at, backbone in enumerate(one["backbones"])
        for arm in backbone["arms"]
        if arm["role"] in {"plain", "treatment"} and arm["validation_auc"] is not None
    ]
    _, at, name = max(ours)
    return one["backbones"][at], name


def champions(kept: Sequence[dict[str, Any]]) -> list[Effect]:
    """By how much the best of ours, of whichever backbone, is ahead of the best rival in each set, in AUC."""
    found = []
    for one in kept:
        backbone, ours = champion(one)
        effect = _effect(backbone["differences"], ours, best(backbone, ("rival",)), "auc", "all")
        if effect is not None:
            found.append(Effect(one["set"], *effect))
    return found


def cpu_s(one: dict[str, Any], backbone: dict[str, Any], name: str) -> float:
    """CPU-seconds to come to a model: the search of its weight decay, as of a rival's settings, and its training."""
    arm = next(arm for arm in backbone["arms"] if arm["arm"] == name)
    if arm["role"] == "rival":
        return float(arm["train_s"])
    words = name.split()
    searched = TASTE if "history" in words else "items" if "items" in words else "plain"
    groups = one.get("tried", ())
    if isinstance(groups, dict):  # as sets were kept before arms that read the past had a search of their own
        groups = [{"backbone": name, "arm": "plain", "tried": some} for name, some in groups.items()]
    tried = [
        sum(run["cpu_s"] for run in group["tried"])
        for group in groups
        if group["backbone"] == backbone["backbone"] and group["arm"] == searched
    ]
    return float(arm["train_s"]) + math.fsum(tried)


def _goal(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The best of ours and the best rival of each set, both of the best validation AUC; a rival may read the past too."""
    yield "| set | ours | rival | AUC | − | AUC within users | − | CPU-s to find it |"
    yield "|---|---|---|---|---|---|---|---|"
    count = {"AUC": [0, 0, 0, 0], "AUC within users": [0, 0, 0, 0]}
    sets = cheaper = both = 0
    gains: list[tuple[float, float]] = []
    for one in kept:
        backbone, ours = champion(one)
        rival = best(backbone, ("rival",))
        if rival is None:
            continue
        sets += 1
        cells, ahead = [], []
        for metric, name in (("auc", "AUC"), ("user_auc", "AUC within users")):
            figures = [
                next(arm for arm in backbone["arms"] if arm["arm"] == each).get(metric) for each in (ours, rival)
            ]
            found = _effect(backbone["differences"], ours, rival, metric, "all")
            if found is None or None in figures:
                cells += ["-", "-"]
                continue
            low, high = found[2]
            gains += [(found[0], found[1])] * (metric == "auc")
            ahead.append(found[0] > 0)
            count[name][0] += found[0] > 0
            count[name][1] += low > 0
            count[name][2] += high < 0
            count[name][3] += 1
            cells += [" against ".join(f"{value:.4f}" for value in figures), f"{_signed(found[0])} {_span(found[2])}"]
        seconds = [cpu_s(one, backbone, each) for each in (ours, rival)]
        cheaper += seconds[0] <= seconds[1]
        both += all(ahead) and seconds[0] <= seconds[1]
        cells.append(" against ".join(f"{value:,.0f}" for value in seconds))
        yield f"| {one['set']} | {backbone['backbone']} {ours} | {rival} | " + " | ".join(cells) + " |"
    together = random_effects([mean for mean, _ in gains], [error for _, error in gains])
    said = [
        f"{name}: ahead on {a} of {n} (surely on {b}, surely behind on {c})" for name, (a, b, c, n) in count.items()
    ]
    yield ""
    yield (
        f"In {'; in '.join(said)}. At no more CPU on {cheaper} of {sets}; ahead in all that there is, at no more CPU, "
        f"on {both}."
    )
    if together is not None:
        after = "" if together.prediction is None else f", for the next set {_span(together.prediction)}"
        yield ""
        yield f"Mean difference in AUC {_signed(together.mean)} {_span(together.interval)}{after}."


def _past(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Arms that read the past against plain, and which arm the product's rule would serve."""
    arms = ("items", "history", TASTE)
    yield "| set | backbone | would be served | " + " | ".join(f"{arm}: AUC, within users" for arm in arms) + " |"
    yield "|---|---|---|" + "---|" * len(arms)
    for one in kept:
        for backbone in one["backbones"]:
            cells = []
            for arm in arms:
                found = [_effect(backbone["differences"], arm, "plain", m, "all") for m in ("auc", "user_auc")]
                cells.append("<br>".join("-" if f is None else f"{_signed(f[0])} {_span(f[2])}" for f in found))
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


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _span(ends: Sequence[float]) -> str:
    return f"[{_signed(ends[0])}, {_signed(ends[1])}]"
