"""A small dataset with a signal: people, dishes, and what they thought of them."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import yaml

SPEC: dict[str, Any] = {
    "name": "tiny",
    "description": "Did the person like the dish?",
    "sources": {
        "events": {"path": "events.csv", "format": "csv"},
        "people": {"path": "people.csv", "format": "csv"},
        "dishes": {"path": "dishes.csv", "format": "csv"},
    },
    "events": "events",
    "timestamp": {"column": "at", "unit": "s"},
    "label": {"column": "stars", "above": 3, "drop": [3]},
    "entities": {
        "user": {"join_key": "person", "source": "people"},
        "item": {"join_key": "dish", "source": "dishes"},
    },
    "fields": [
        {"name": "person", "description": "the identity of the person who eats", "owner": "user", "kind": "categorical"},
        {"name": "job", "description": "the occupation of the person", "owner": "user", "kind": "categorical"},
        {"name": "age", "description": "the age of the person in years", "owner": "user", "kind": "numeric"},
        {"name": "dish", "description": "the identity of the dish", "owner": "item", "kind": "categorical"},
        {"name": "tags", "description": "what is in the dish", "owner": "item", "kind": "multi_valued", "separator": "|"},
        {"name": "device", "description": "the device that the order came from", "owner": "context", "kind": "categorical"},
        {"name": "hour", "description": "the hour of the day", "owner": "context", "kind": "timestamp_part", "part": "hour"},
    ],
}  # fmt: skip

CONFIG: dict[str, Any] = {
    "semantics": {"finetune": {"epochs": 1, "values_per_field": 4, "validation_per_field": 1, "held_out_per_field": 3}},
    "train": {"backbone": "fm", "training": {"max_epochs": 3, "min_steps": 0, "batch_size": 128}},
    "evaluate": {
        "backbones": ["fm"],
        "seeds": 2,
        "training": {"fm": {"max_epochs": 3, "min_steps": 0, "batch_size": 128}},
    },
}


def write_dataset(folder: Path, **changes: Any) -> Path:
    """Writes the sources and the spec; returns the spec's path."""
    draw = random.Random(7)
    jobs, tags = ["cook", "nurse", "pilot"], ["fish", "rice", "leek", "beef"]
    people = [(f"p{n}", draw.choice(jobs), draw.randint(18, 80)) for n in range(30)]
    dishes = [(f"d{n}", "|".join(draw.sample(tags, 2))) for n in range(20)]
    _csv(folder / "people.csv", ["person", "job", "age"], people)
    _csv(folder / "dishes.csv", ["dish", "tags"], dishes)
    events = []
    for n in range(900):
        person, dish = draw.choice(people), draw.choice(dishes)
        likes = 0.8 if ("fish" in dish[1]) == (person[1] == "cook") else 0.3
        stars = draw.choice([4, 5]) if draw.random() < likes else draw.choice([1, 2, 3])
        events.append((person[0], dish[0], draw.choice(["phone", "desk"]), 1_700_000_000 + 977 * n, stars))
    _csv(folder / "events.csv", ["person", "dish", "device", "at", "stars"], events)
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**SPEC, **changes}), encoding="utf-8")
    return path


def _csv(path: Path, header: list[str], rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
