from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.torch import load_file

from llactr.ctr.history import with_history
from llactr.ctr.training.batches import HeldOut
from llactr.ctr.training.stream import encode_rows, read_rows, write_rows
from llactr.jobs.train_rows import main
from llactr.transforms import Transform
from tests.specs import field, spec_of

SPEC = spec_of(field("colour"), field("size"))
CONFIG = (
    "train: {backbone: fm, training: {embedding_optimizer: lazy, batch_size: 128, learning_rate: 0.02, max_epochs: 3}}"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    colours, sizes = rng.integers(0, 20, 3000), rng.integers(0, 9, 3000)
    odds = rng.normal(0, 1.5, 20)[colours] + rng.normal(0, 1.5, 9)[sizes]
    label = (rng.random(3000) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    table = pa.table({"colour": colours.astype(str), "size": sizes.astype(str), "label": label})
    transform = Transform.fit(SPEC, table)
    transform.save(tmp_path / "transform")
    write_rows(tmp_path / "train", encode_rows([table.slice(0, 1000), table.slice(1000, 1400)], transform, []))
    write_rows(tmp_path / "held_out", encode_rows([table.slice(2400)], transform, []))
    (tmp_path / "run.yaml").write_text(CONFIG)
    return tmp_path


def arguments(place: Path, out: str = "model") -> list[str]:
    folders = {"rows": "train", "held-out": "held_out", "transform": "transform", "config": "run.yaml", "out": out}
    return [part for name, folder in folders.items() for part in (f"--{name}", str(place / folder))]


def test_rows_on_disk_become_a_model(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(place)) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["validation_auc"] > 0.75
    assert said["steps"] == 3 * 19
    weights = load_file(place / "model" / "model.safetensors")
    assert weights["embedding.weight"].shape == (20 + 3 + 9 + 3, 32)
    manifest = json.loads((place / "model" / "manifest.json").read_text())
    assert manifest["config"]["training"]["embedding_optimizer"] == "lazy"


def test_two_processes_write_one_model(place: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    done = subprocess.run(
        [*command, "llactr.jobs.train_rows", *arguments(place, "two"), "--checkpoint-steps", "10"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["steps"] == 57
    assert (place / "two" / "model.safetensors").exists()
    assert len(list((place / "two.checkpoints").glob("process-*"))) == 2


def test_a_missing_folder_is_one_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = arguments(place)
    broken[1] = str(place / "nowhere")
    assert main(broken) == 2
    assert "holds no training rows" in capsys.readouterr().err
    assert not (place / "model").exists()


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("arm: history taste", "the arm 'history taste' reads vectors or history: train it with 'llactr train'"),
        ("arm: paper", "the arm 'paper' reads vectors or history"),
        ("cold_share: 0.1", "cold_share is 0.1, and cold starts are not drawn among rows on disk"),
    ],
)
def test_what_needs_more_than_ids_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], train: str, said: str
) -> None:
    (place / "run.yaml").write_text(f"train: {{backbone: fm, {train}}}")
    assert main(arguments(place)) == 2
    assert said in capsys.readouterr().err
    assert not (place / "model").exists()


def test_rows_with_history_numbers_behind_their_ids_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = read_rows(place / "held_out")
    shutil.rmtree(place / "held_out")
    numbers = np.zeros((len(held.label), 3), np.float32)
    write_rows(place / "held_out", [HeldOut(with_history(held.ids, numbers), held.label, held.version)])
    assert main(arguments(place)) == 2
    assert "are 5 numbers wide, the transform makes 2 ids of a row" in capsys.readouterr().err
