"""A bundle scores as the model did, and refuses what is not its own."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from llactr.ctr import BACKBONES, BackboneName, Bundle, CTRModel, EnhancementConfig, ModelConfig, predict
from llactr.ctr.history_arms import history_input
from llactr.errors import BundleError, DataError
from llactr.history import HistoryDefinition
from llactr.manifest import file_hash, sealed
from llactr.semantics import FieldVectors
from llactr.spec import DatasetSpec, HistorySpec, WindowField
from llactr.transforms import Transform
from tests.specs import field, spec_of


def spec() -> DatasetSpec:
    return spec_of(field("person", "user"), field("film", "item"), field("tags", kind="multi_valued"))


def rows() -> pa.Table:
    return pa.table({"person": ["a", "b", "a", "c"], "film": ["x", "y", "z", "x"], "tags": ["p q", "p", "", "q r"]})


def field_vectors(*, version: str = "v1", dim: int = 6) -> FieldVectors:
    vectors = np.random.default_rng(0).normal(size=(3, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return FieldVectors("tiny", version, "fake", ("person", "film", "tags"), ("one", "two", "three"), vectors)


def make_bundle(backbone: BackboneName = "fm", *, enhanced: bool = True) -> Bundle:
    config = ModelConfig.model_validate(
        {"backbone": backbone, "init_std": 0.3, "enhancement": EnhancementConfig() if enhanced else None}
    )
    transform, vectors = Transform.fit(spec(), rows()), field_vectors()
    model = CTRModel(config, transform.layout, torch.from_numpy(vectors.vectors), seed=4)
    return Bundle.of(model, spec=spec(), transform=transform, vectors=vectors, metrics={"auc": 0.5})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make_bundle().save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize("enhanced", [False, True], ids=["plain", "enhanced"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_loaded_bundle_scores_to_the_same_bits(tmp_path: Path, backbone: BackboneName, enhanced: bool) -> None:
    made = make_bundle(backbone, enhanced=enhanced)
    made.save(tmp_path)
    loaded = Bundle.load(tmp_path)
    scores = made.score(rows())
    assert np.array_equal(loaded.score(rows()), scores)
    assert np.ptp(scores) > 0
    assert loaded.version == "v1"
    assert loaded.metrics == {"auc": 0.5}
    assert loaded.model.config == made.model.config
    assert loaded.spec == made.spec


def test_it_scores_what_the_model_scored_and_values_never_seen() -> None:
    made = make_bundle()
    assert np.array_equal(made.score(rows()), predict(made.model, made.transform.ids(rows())))
    unseen = made.score(pa.table({"person": ["nobody"], "film": [None], "tags": ["s"]}, schema=rows().schema))
    assert np.isfinite(unseen).all()


def test_of_several_versions_the_pinned_one_is_kept() -> None:
    base = make_bundle()
    other = torch.randn(3, 6)
    pinned = torch.from_numpy(base.vectors.vectors)
    model = CTRModel(base.model.config, base.transform.layout, torch.stack([other, pinned]), seed=4)
    made = Bundle.of(model, spec=spec(), transform=base.transform, vectors=base.vectors, metrics={})
    expected = predict(model, base.transform.ids(rows()), np.ones(4, np.int32))
    np.testing.assert_allclose(made.score(rows()), expected, atol=1e-7)


@pytest.mark.parametrize("name", ["model.safetensors", "transform/vocabulary-001.parquet", "transform/transform.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_refused_by_name(saved: Path, name: str, harm: str) -> None:
    path = saved / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif harm == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.unlink()
    with pytest.raises(BundleError, match=f"is damaged: .*{Path(name).name}"):
        Bundle.load(saved)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"is no bundle, it has no bundle.json: give a folder that 'llactr train' made"
    ):
        Bundle.load(tmp_path)


def test_a_bundle_of_another_format_is_refused(saved: Path) -> None:
    facts = json.loads((saved / "bundle.json").read_text())
    (saved / "bundle.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(BundleError, match="has format 99, this version reads 1 and 2: run 'llactr train'"):
        Bundle.load(saved)


def test_facts_that_are_not_json_are_refused(saved: Path) -> None:
    (saved / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match=r"is damaged: bundle.json cannot be read .*run 'llactr train --force'"):
        Bundle.load(saved)


def test_its_own_vectors_are_taken() -> None:
    assert make_bundle().check_vectors(field_vectors()) is None


def test_vectors_of_another_version_are_refused() -> None:
    with pytest.raises(
        BundleError, match="have semantics version v2, the model was trained with v1: run 'llactr encode'"
    ):
        make_bundle().check_vectors(field_vectors(version="v2"))


def test_vectors_of_another_dimension_are_refused() -> None:
    with pytest.raises(
        BundleError, match="field vectors have dim 5, the model was trained with 6: run 'llactr encode'"
    ):
        make_bundle().check_vectors(field_vectors(dim=5))


def test_vectors_of_another_dataset_are_refused() -> None:
    other = dataclasses.replace(field_vectors(), dataset="large")
    with pytest.raises(BundleError, match="are of dataset 'large', the model was trained on 'tiny'"):
        make_bundle().check_vectors(other)


def test_vectors_of_other_fields_are_refused_with_the_difference() -> None:
    other = dataclasses.replace(field_vectors(), fields=("person", "film", "genre"))
    with pytest.raises(BundleError, match=r"lack \['tags'\], have \['genre'\] in excess"):
        make_bundle().check_vectors(other)


def test_vectors_that_were_changed_under_their_version_are_refused() -> None:
    own = field_vectors()
    other = dataclasses.replace(own, vectors=own.vectors[[1, 0, 2]])
    with pytest.raises(BundleError, match=r"of version v1 differ by .* from those that the model was trained with"):
        make_bundle().check_vectors(other)


def test_rows_without_a_field_are_refused() -> None:
    with pytest.raises(DataError, match="tags"):
        make_bundle().score(rows().drop_columns(["tags"]))


def history_bundle() -> Bundle:
    spec_fields = tuple(
        WindowField(name=name, description="of the past", kind="window", owner="item", measure=measure)
        for name, measure in (("seen", "count"), ("liked", "rate"))
    )
    definition = HistoryDefinition(HistorySpec(fields=spec_fields), 0.3)
    config = ModelConfig.model_validate(
        {"backbone": "fm", "init_std": 0.3, "history": history_input(definition.spec).model_dump()}
    )
    transform = Transform.fit(spec(), rows())
    model = CTRModel(config, transform.layout, seed=4)
    assert model.history is not None
    model.history.fit(PAST)
    return Bundle.of(
        model, spec=spec(), transform=transform, vectors=field_vectors(), metrics={}, history=definition
    )  # fmt: skip


PAST = np.array([[0, np.nan], [1, 0.25], [2, 0.5], [0.5, 0.1]], np.float32)


def test_a_bundle_with_history_scores_rows_with_their_past(tmp_path: Path) -> None:
    made = history_bundle()
    made.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    assert loaded.history is not None
    assert made.history is not None
    assert loaded.history.version == made.history.version
    assert np.array_equal(loaded.score(rows(), PAST), made.score(rows(), PAST))
    assert not np.array_equal(loaded.score(rows(), PAST), loaded.score(rows(), PAST[::-1].copy()))
    assert json.loads((tmp_path / "bundle" / "bundle.json").read_text())["format"] == 2, "older versions refuse it"
    with pytest.raises(
        DataError,
        match="the bundle's model reads history: give the rows' history numbers as well, or score in the workspace",
    ):
        loaded.score(rows())
    with pytest.raises(DataError, match="the bundle's model reads no history, and history numbers were given"):
        make_bundle().score(rows(), PAST)


def test_a_bundle_without_history_is_written_as_ever(saved: Path) -> None:
    facts = json.loads((saved / "bundle.json").read_text())
    assert facts["format"] == 1
    assert "history_version" not in facts


@pytest.mark.parametrize("name", ["history.json", "history.safetensors"])
def test_a_damaged_history_is_refused_by_name(tmp_path: Path, name: str) -> None:
    history_bundle().save(tmp_path)
    path = tmp_path / "history" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=f"is damaged: history/{name} is not the file that was saved"):
        Bundle.load(tmp_path)


def test_the_history_of_another_bundle_is_refused(tmp_path: Path) -> None:
    """Its numbers would be of another rate, and of other states."""
    made = history_bundle()
    made.save(tmp_path)
    assert made.history is not None
    dataclasses.replace(made.history, overall_rate=0.4).save(tmp_path / "history")
    facts = json.loads((tmp_path / "bundle.json").read_text())
    files = facts["files"] | {f"history/{p.name}": file_hash(p) for p in (tmp_path / "history").iterdir()}
    facts = {name: value for name, value in facts.items() if name != "sha256_of_the_rest"} | {"files": files}
    (tmp_path / "bundle.json").write_text(json.dumps(sealed(facts)))
    with pytest.raises(BundleError, match=r"is damaged: history/ has the version .*, the model was trained with"):
        Bundle.load(tmp_path)
