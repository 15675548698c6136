"""Ours against the best rival of each set: both searched, then ours as the product trains it by its defaults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from llactr.ctr import TrainConfig
from llactr.ctr.training.config import reads_a_person
from research.many.differences import Effect, best, difference, signed, span
from research.many.meta import random_effects

__all__ = ["champion", "champions", "cpu_s", "goal"]

TASTE = "history taste"
METRICS = (("auc", "AUC"), ("user_auc", "AUC within users"))


def champion(one: dict[str, Any], *, by_default: bool = False) -> tuple[dict[str, Any], str]:
    """The backbone and arm of ours with the best validation AUC of a set.

    Args:
        one: the set.
        by_default: only such as were trained with the weight decay that the product takes where none is given.
    """
    ours = [
        (arm["validation_auc"], at, arm["arm"])
        for at, backbone in enumerate(one["backbones"])
        for arm in backbone["arms"]
        if arm["role"] in {"plain", "treatment"}
        and arm["validation_auc"] is not None
        and (not by_default or _is_default(one, backbone["backbone"], arm["arm"]))
    ]
    _, at, name = max(ours)
    return one["backbones"][at], name


def champions(kept: Sequence[dict[str, Any]]) -> list[Effect]:
    """By how much the best of ours, of whichever backbone, is ahead of the best rival in each set, in AUC."""
    found = []
    for one in kept:
        backbone, ours = champion(one)
        effect = difference(backbone["differences"], ours, best(backbone, ("rival",)), "auc", "all")
        if effect is not None:
            found.append(Effect(one["set"], *effect))
    return found


def cpu_s(one: dict[str, Any], backbone: dict[str, Any], name: str) -> float:
    """CPU-seconds to come to a model: all that was tried, and its training where it is none of those.

    A rival's are those of its search, the best of which it is. Our weight decays are searched with one arm of a group;
    with one seed that arm's model is one of those that were tried.
    """
    arm = next(arm for arm in backbone["arms"] if arm["arm"] == name)
    if arm["role"] == "rival":
        return float(arm["train_s"])
    group = _group(one, backbone["backbone"], name)
    tried = math.fsum(run["cpu_s"] for run in group["tried"])
    return tried if group["arm"] == name and one["reading"]["seeds"] == 1 else tried + float(arm["train_s"])


def goal(kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Tables of the best of ours and the best rival, by validation AUC; a rival may read the past too."""
    yield from _table(kept, by_default=False)
    yield ""
    yield "### Ours by its defaults, nothing searched"
    yield ""
    yield from _table(kept, by_default=True)


def _table(kept: Sequence[dict[str, Any]], *, by_default: bool) -> Iterator[str]:
    cost = "CPU-s to train it, and the rival's search; its first setting alone" if by_default else "CPU-s to find it"
    yield f"| set | ours | rival | AUC | − | AUC within users | − | {cost} |"
    yield "|---|---|---|---|---|---|---|---|"
    count = {"AUC": [0, 0, 0, 0], "AUC within users": [0, 0, 0, 0]}
    sets = cheaper = both = 0
    gains: list[tuple[float, float]] = []
    for one in kept:
        backbone, ours = champion(one, by_default=by_default)
        rival = best(backbone, ("rival",))
        if rival is None:
            continue
        sets += 1
        cells, ahead = [], []
        arms = {arm["arm"]: arm for arm in backbone["arms"]}
        for metric, name in METRICS:
            figures = [arms[each].get(metric) for each in (ours, rival)]
            found = difference(backbone["differences"], ours, rival, metric, "all")
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
            cells += [" against ".join(f"{value:.4f}" for value in figures), f"{signed(found[0])} {span(found[2])}"]
        mine = float(arms[ours]["train_s"]) if by_default else cpu_s(one, backbone, ours)
        theirs = cpu_s(one, backbone, rival)
        cheaper += mine <= theirs
        both += all(ahead) and mine <= theirs
        cells.append(f"{mine:,.0f} against {theirs:,.0f}" + (_first_setting(one, rival) if by_default else ""))
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
        after = "" if together.prediction is None else f", for the next set {span(together.prediction)}"
        yield ""
        yield f"Mean difference in AUC {signed(together.mean)} {span(together.interval)}{after}."


def _first_setting(one: dict[str, Any], rival: str) -> str:
    """What a rival's first setting alone costs, and how far it is behind the best of them on validation."""
    for search in one.get("searches", ()):
        if search["arm"] == rival:
            first, most = search["tried"][0], max(run["auc"] for run in search["tried"])
            return f"; {first['cpu_s']:,.0f} ({signed(first['auc'] - most)} on validation)"
    return ""


def _group(one: dict[str, Any], backbone: str, name: str) -> dict[str, Any]:
    """The search that an arm took its weight decay from."""
    groups = [group for group in one["tried"] if group["backbone"] == backbone]
    words = name.split()
    wanted = TASTE if "history" in words else "items" if "items" in words else "plain"
    at_first = TASTE if wanted == "items" else wanted  # one search for all that read a past, as some sets were kept
    found = {group["arm"]: group for group in groups}
    return found.get(wanted) or found[at_first]


def _is_default(one: dict[str, Any], backbone: str, name: str) -> bool:
    best_one = max(_group(one, backbone, name)["tried"], key=lambda run: float(run["auc"]))
    default = TrainConfig.of(backbone, reads_a_person=reads_a_person(name)).weight_decay
    return float(best_one["weight_decay"]) == default
