"""What is exported of a whole workspace: the rows of a training set, and the adapter as Hugging Face's libraries read it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from llactr.manifest import read_manifest
from llactr.semantics import EncoderConfig, load_encoder
from llactr.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore")
TEXTS = ["The field is: the age of the person in years.", "cook"]


def test_a_training_set_has_the_rows_and_the_versions_that_they_go_with(llactr, ran, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    said = llactr("export", "--to", "training_set", "--out", out, "--workspace", ran.workspace, "--json").json
    parts = {name: pd.read_parquet(out / f"{name}.parquet") for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 621, "validation": 78, "test": 78}
    assert said["note"] == ""
    events, people = pd.read_csv(ran.spec.parent / "events.csv"), pd.read_csv(ran.spec.parent / "people.csv")
    kept = events[events["stars"] != 3].sort_values("at", kind="stable").iloc[621 + 78 :]
    assert parts["test"]["person"].tolist() == kept["person"].tolist()
    assert parts["test"]["label"].tolist() == (kept["stars"] > 3).astype(float).tolist()
    jobs = people.set_index("person")["job"]
    assert parts["test"]["job"].tolist() == jobs[kept["person"]].tolist()
    vectors = pq.read_table(out / "field_vectors.parquet").to_pandas()
    assert set(parts["train"]["semantics_version"]) == set(vectors["semantics_version"])
    facts = json.loads((out / "export.json").read_text())
    assert facts["training_set"] == facts["training_set_of_bundle"]
    assert len(vectors) == len(facts["versions"]) * 7


def test_a_training_set_joined_in_buckets_is_the_same(llactr, ran, tmp_path: Path) -> None:
    at = ("--workspace", ran.workspace)
    for name, options in (("whole", ()), ("buckets", ("--buckets", 3))):
        assert llactr("export", "--to", "training_set", "--out", tmp_path / name, *options, *at).code == 0
    for file in sorted(path.name for path in (tmp_path / "whole").glob("*.parquet")):
        whole, bucketed = (pq.read_table(tmp_path / name / file) for name in ("whole", "buckets"))
        assert whole.unify_dictionaries().to_pylist() == bucketed.unify_dictionaries().to_pylist()
        assert whole.schema == bucketed.schema
    facts = [json.loads((tmp_path / name / "export.json").read_text()) for name in ("whole", "buckets")]
    assert facts[0] == facts[1]


def test_the_adapter_loads_with_peft_and_with_sentence_transformers(llactr, ran, tmp_path: Path) -> None:
    """And gives the vectors that llactr's encoder gives with it."""
    from peft import PeftModel
    from sentence_transformers import SentenceTransformer

    out = tmp_path / "adapter"
    assert llactr("export", "--to", "hf", "--out", out, "--workspace", ran.workspace).code == 0
    assert {"README.md", "adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in out.iterdir()}
    tuned = Workspace.at(ran.workspace).current("tiny")["finetune"] / "adapter"
    encoder = load_encoder(EncoderConfig(adapter=tuned))
    expected = encoder.encode(TEXTS)
    model = SentenceTransformer(str(encoder.folder), device="cpu", local_files_only=True)
    plain = model.encode(TEXTS, normalize_embeddings=True)
    assert np.abs(plain - expected).max() > 1e-3
    model.load_adapter(str(out))
    assert np.allclose(model.encode(TEXTS, normalize_embeddings=True), expected, atol=1e-5)
    other = SentenceTransformer(str(encoder.folder), device="cpu", local_files_only=True)
    other[0].auto_model = PeftModel.from_pretrained(other[0].auto_model, out)
    assert np.allclose(other.encode(TEXTS, normalize_embeddings=True), expected, atol=1e-5)
    card = (out / "README.md").read_text()
    assert "base_model: sentence-transformers/all-MiniLM-L6-v2" in card
    assert "`age`: the age of the person in years" in card


def test_an_adapter_that_is_gone_or_never_was_is_refused(llactr, ran, tmp_path: Path) -> None:
    copy = tmp_path / "workspace"
    shutil.copytree(ran.workspace, copy)
    shutil.rmtree(copy / "adapters")
    at = ("--out", tmp_path / "out", "--workspace", copy)
    answer = llactr("export", "--to", "hf", *at)
    assert answer.code == 2
    assert "is gone: run 'llactr finetune'" in " ".join(answer.err.split())
    manifest = next(path for path in (copy / "semantics").glob("*/manifest.json"))
    content = read_manifest(manifest.parent)
    content["inputs"]["adapter"] = ""
    manifest.write_text(json.dumps(content))
    answer = llactr("export", "--to", "hf", *at)
    assert answer.code == 2
    assert "as published, there is no adapter" in " ".join(answer.err.split())
    assert not (tmp_path / "out").exists()
