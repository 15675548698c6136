"""The baseline: what one writes first. Feast's public call, a DataFrame, the same model; FastAPI, one worker.

python -m benchmarks.serving_baseline --workspace .llactr --port 8090
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from llactr.columns import EVENT_TIMESTAMP
from llactr.ctr import Bundle
from llactr.store import open_store
from llactr.store.names import PhysicalNames
from llactr.transforms import normalize_table
from llactr.workspace import Workspace

__all__ = ["create_app"]


class RankRequest(BaseModel):
    user: str
    items: list[str]
    timestamp: datetime | None = None
    context: dict[str, Any] = {}


class RankResponse(BaseModel):
    items: list[str]
    scores: list[float]


def create_app(workspace: Workspace, dataset: str, *, feast_config: Path | None) -> FastAPI:
    """A service with one path, /v1/rank, like the real one's."""
    bundle = Bundle.load(workspace.current(dataset)["train"])
    spec, names = bundle.spec, PhysicalNames(bundle.spec)
    store = open_store(workspace, config=feast_config)
    owners = [owner for owner in spec.entities if names.stored_fields(owner)]
    features = [f"{names.view(o)}:{names.features[f.name]}" for o in owners for f in names.stored_fields(o)]
    fields = {names.features[f.name]: f.name for o in owners for f in names.stored_fields(o)}
    app = FastAPI()

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/rank")
    def rank(request: RankRequest) -> RankResponse:
        user_key, item_key = names.join_key("user"), names.join_key("item")
        rows = [{user_key: request.user, item_key: item} for item in request.items]
        frame = pd.DataFrame(store.get_online_features(features=features, entity_rows=rows).to_dict())
        frame = frame.rename(columns=fields)
        for owner, entity in spec.entities.items():
            frame[entity.join_key] = request.user if owner == "user" else request.items
        frame[EVENT_TIMESTAMP] = pd.Timestamp(request.timestamp or datetime.now(UTC)).as_unit("us")
        for field in spec.owned_by("context"):
            if field.name in request.context:
                frame[field.name] = request.context[field.name]
        scores = bundle.score(normalize_table(spec, pa.Table.from_pandas(frame, preserve_index=False)))
        return RankResponse(items=request.items, scores=np.asarray(scores).tolist())

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", default="movielens-100k")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--feast-config", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    app = create_app(Workspace.at(given.workspace), given.dataset, feast_config=given.feast_config)
    uvicorn.run(
        app, host="127.0.0.1", port=given.port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
