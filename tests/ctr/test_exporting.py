"""Exports of a bundle: programs of torch and ONNX score what the bundle scores, tables hold what it knows."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from llactr.ctr import BACKBONES
from llactr.ctr.bundle import Bundle
from llactr.ctr.exporting import export_bundle
from llactr.ctr.exports import EXPORTS, _program
from llactr.errors import BundleError, ConsistencyError, InputError
from llactr.workspace import Workspace
from tests.ctr.test_bundle import make_bundle, rows


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make_bundle("deepfm").save(tmp_path / "bundles" / "b")
    return tmp_path


def export(root: Path, to: str, bundle: str = "b") -> tuple[Path, dict]:
    out = root / "out"
    export_bundle(Workspace.at(root), "tiny", bundle, to=to, out=out)
    return out, json.loads((out / "export.json").read_text())


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=[] if name in {"fm", "deepfm"} else pytest.mark.slow) for name in BACKBONES]
)
def test_a_program_of_torch_scores_what_the_bundle_scores(tmp_path: Path, backbone: str) -> None:
    """Multi-valued fields, nulls and values never seen among the rows; FIE weighs the pairs."""
    made = make_bundle(backbone)
    made.save(tmp_path / "bundles" / "b")
    out, facts = export(tmp_path, "torch")
    module = torch.export.load(out / "model.pt2").module()
    ids = made.transform.ids(rows())
    assert np.allclose(module(torch.from_numpy(ids.astype(np.int64))).detach().numpy(), made.score(rows()), atol=1e-6)
    assert facts["largest_difference"] < 1e-5
    assert facts["input"] == {"name": "ids", "shape": ["rows", ids.shape[1]], "type": "int64"}
    assert [one["name"] for one in facts["fields"]] == ["person", "film", "tags"]


@pytest.mark.parametrize("backbone", ["deepfm", pytest.param("finalmlp", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
def test_an_onnx_program_scores_what_the_bundle_scores(
    tmp_path: Path, backbone: str, caplog: pytest.LogCaptureFixture
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    made = make_bundle(backbone)
    made.save(tmp_path / "bundles" / "b")
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    log.addHandler(caplog.handler)  # torch's own handlers do not hand on
    out, facts = export(tmp_path, "onnx")
    log.removeHandler(caplog.handler)
    assert not any("torchvision" in said for said in caplog.messages), "no model here needs it"
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    ids = made.transform.ids(rows()).astype(np.int64)
    (scores,) = session.run(["scores"], {"ids": ids})
    assert np.allclose(scores, made.score(rows()), atol=1e-6)
    assert facts["semantics_version"] == "v1"


def test_tables_hold_every_value_with_its_embedding(saved: Path) -> None:
    out, _ = export(saved, "parquet")
    bundle = Bundle.load(saved / "bundles" / "b")
    values = pq.read_table(out / "values.parquet").to_pylist()
    row = next(one for one in values if (one["field"], one["value"]) == ("film", "y"))
    place = int(bundle.transform.layout.offsets[1]) + row["id"]
    assert row["count"] == 1
    assert np.allclose(row["embedding"], bundle.model.embedding.weight[place].detach())
    assert {one["value"] for one in values if one["field"] == "tags"} == {None, "p", "q", "r"}
    vectors = pq.read_table(out / "field_vectors.parquet")
    assert np.allclose(vectors["vector"].to_pylist(), bundle.vectors.vectors)
    assert vectors["semantics_version"].to_pylist() == ["v1"] * 3


def test_a_program_that_scores_otherwise_is_not_written(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_program, "predict", lambda model, ids: np.full(len(ids), 0.5, np.float32))
    with pytest.raises(
        ConsistencyError, match=r"scores differ by .* from the bundle's, more than 1e-05: nothing was written"
    ):
        export(saved, "torch")
    assert not (saved / "out").exists()


def test_what_cannot_be_exported_is_refused(saved: Path) -> None:
    with pytest.raises(
        InputError, match="export format 'tensorrt' is not known: choose one of torch, onnx, parquet, training_set, hf"
    ):
        export(saved, "tensorrt")
    with pytest.raises(BundleError, match="no bundle 'c'"):
        export(saved, "parquet", bundle="c")
    (saved / "out").mkdir()
    (saved / "out" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="is there already and is no export"):
        export(saved, "parquet")
    assert (saved / "out" / "mine.txt").read_text() == "keep"


def test_a_second_export_takes_the_place_of_the_first(saved: Path) -> None:
    out, _ = export(saved, "parquet")
    (out / "left.txt").write_text("of the first")
    out, facts = export(saved, "parquet")
    assert facts["format"] == "parquet"
    assert not (out / "left.txt").exists()
    assert sorted(EXPORTS) == ["hf", "onnx", "parquet", "torch", "training_set"]


def test_the_command_exports(saved: Path) -> None:
    from llactr.jobs import export as step

    made = export_bundle(Workspace.at(saved), "tiny", "b", to="parquet", out=saved / "out")
    assert step.describe(made).startswith("b as parquet in ")
