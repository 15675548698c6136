"""Bits that were flipped on the disk: a sentence, never another model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from llactr.ctr import Bundle, CTRData, TrainingSet
from llactr.ctr.training.data import Split
from llactr.errors import BundleError, DataError
from llactr.manifest import is_sealed, sealed
from llactr.transforms import Transform
from tests.ctr.test_bundle import field_vectors, make_bundle, rows, spec


def _training_set(folder: Path) -> Path:
    folder.mkdir()
    transform = Transform.fit(spec(), rows())
    ids = np.concatenate([transform.ids(rows())] * 2)
    split = Split(np.arange(2), np.arange(2, 4), np.arange(4, 8))
    data = CTRData(ids, np.array([0, 1] * 4, np.float32), np.zeros(8, np.int32), split)
    TrainingSet(data, transform, (field_vectors(),), {}).save(folder)
    return folder


def _flip(path: Path, place: float) -> None:
    content = bytearray(path.read_bytes())
    content[min(int(place * len(content)), len(content) - 1)] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
def test_a_training_set_with_flipped_bits_is_refused(tmp_path: Path, place: float) -> None:
    files = sorted(path.relative_to(tmp_path / "0") for path in _training_set(tmp_path / "0").rglob("*.*"))
    assert "rows.safetensors" in [file.name for file in files]
    for number, file in enumerate(files, 1):
        folder = _training_set(tmp_path / str(number))
        TrainingSet.load(folder)
        _flip(folder / file, place)
        with pytest.raises(DataError, match=r"run 'llactr (train --force|encode)'"):
            TrainingSet.load(folder)


@pytest.mark.parametrize("place", [0.01, 0.2, 0.5, 0.9])
def test_a_bundle_with_flipped_bits_is_refused(tmp_path: Path, place: float) -> None:
    make_bundle().save(tmp_path / "0")
    files = [path.relative_to(tmp_path / "0") for path in sorted((tmp_path / "0").rglob("*")) if path.is_file()]
    for number, file in enumerate(files, 1):
        folder = tmp_path / str(number)
        make_bundle().save(folder)
        Bundle.load(folder)
        _flip(folder / file, place)
        with pytest.raises(BundleError, match=r"is damaged|has format"):
            Bundle.load(folder)


def test_a_seal_holds_content_and_its_absence_passes() -> None:
    content = {"b": [1, 2.5], "a": {"ü": None}}
    assert is_sealed(json.loads(json.dumps(sealed(content))))
    assert is_sealed(content)
    assert not is_sealed({**sealed(content), "b": [1, 2.25]})


def test_a_test_split_of_one_class_is_refused_before_training() -> None:
    ids = np.zeros((10, 2), np.int32)
    label = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1, 1], np.float32)
    data = CTRData(ids, label, np.zeros(10, np.int32), Split(np.arange(4), np.arange(4, 8), np.arange(8, 10)))
    with pytest.raises(DataError, match="the test split has 2 clicks in 2 rows, it needs both clicks and non-clicks"):
        data.check_test_split()
