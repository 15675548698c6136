"""Two new films enter the catalogue of a running service, and are ranked by their texts without retraining.

    make quickstart
    .venv/bin/llactr serve &
    .venv/bin/python examples/new_film/new_film.py

The films share year and genres, so nothing but their titles tells them apart: the quickstart's model compares them with
what each person did before. Prints what the service makes of them before and after `llactr ingest --append`,
`llactr encode --values` and `llactr materialize`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FILMS = [
    {"item_id": 90001, "movie_title": "Starship Rebels: The Last Empire", "release_year": 1998, "genres": "Action"},
    {"item_id": 90002, "movie_title": "Kickboxing Cop 4: No Mercy", "release_year": 1998, "genres": "Action"},
]
MOMENT = "1998-04-20T12:00:00Z"


def ask(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The service's answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def show(url: str, title: str) -> None:
    """Places of the new films among those that training saw most often, for three users."""
    model = ask(url, "/v1/model")
    new = [str(film["item_id"]) for film in FILMS]
    print(f"\n{title}")
    for user in model["examples"]["user"][:3]:
        items = [*new, *model["examples"]["item"]]
        body = {"user": user, "items": items, "top_k": len(items), "timestamp": MOMENT}
        ranked = ask(url, "/v1/rank", body)
        places = {item: place for place, item in enumerate(ranked["items"], 1)}
        scores = dict(zip(ranked["items"], ranked["scores"], strict=True))
        of = ", ".join(f"{key}: place {places[key]} of {len(items)}, {scores[key]:.4f}" for key in new)
        print(f"  user {user}: {of}; cold items {ranked['cold']['item']}, values {ranked.get('unseen')}")


def llactr(*arguments: str) -> None:
    """Runs a command of the installation that this script runs in."""
    print("$ llactr", *arguments)
    subprocess.run([sys.executable, "-m", "llactr.jobs.cli", *arguments], check=True)


def main() -> int:
    """Shows, adds the films, shows again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--workspace", default=".llactr")
    asked = parser.parse_args()
    show(asked.url, "before: the store knows neither film")
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.Table.from_pylist(FILMS), Path(folder) / "items.parquet")
        place = ["--workspace", asked.workspace]
        llactr("ingest", "movielens-100k", "--append", "--data", folder, *place)
        llactr("encode", "--values", *place)
        llactr("materialize", *place)
    show(asked.url, "after: their features and the vectors of their texts are online")
    return 0


if __name__ == "__main__":
    sys.exit(main())
