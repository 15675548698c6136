from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llactr.ctr import TrainConfig
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.parallel import Processes

SCRIPT = Path(__file__).with_name("train_in_parallel.py")
WAYS = {
    "dense": {"embedding_optimizer": "dense"},
    "replicated": {"embedding_optimizer": "lazy"},
    "sharded": {"embedding_optimizer": "lazy", "tables": "sharded"},
    "sharded, with history": {"embedding_optimizer": "lazy", "tables": "sharded", "history": True},
}


def run(out: Path, *, processes: int, ends: bool = True, **settings: object) -> list[dict[str, float]]:
    out.mkdir(exist_ok=True)
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1", "PYTHONPATH": str(SCRIPT.parents[3]),
    }  # fmt: skip
    done = subprocess.run(
        [*command, str(SCRIPT), str(out), json.dumps(settings)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == ends, done.stderr[-3000:]
    if not ends:
        assert not (out / "history-0.json").exists()
        return []
    return json.loads((out / "history-0.json").read_text())


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_as_one_with_the_same_batch(tmp_path: Path, way: str) -> None:
    settings = {"backbone": "deepfm", "max_epochs": 3, **WAYS[way]}
    alone = run(tmp_path / "one", processes=1, **settings)
    both = run(tmp_path / "two", processes=2, **settings)
    for one, two in zip(alone, both, strict=True):
        assert two["train_loss"] == pytest.approx(one["train_loss"], abs=2e-5)
        assert two["train_representation_loss"] == pytest.approx(one["train_representation_loss"], rel=1e-4)
        assert two["validation_auc"] == pytest.approx(one["validation_auc"], abs=1e-3)
    assert both[-1]["train_loss"] < both[0]["train_loss"] - 0.01
    first, second = (load_file(tmp_path / "two" / f"model-{rank}.safetensors") for rank in (0, 1))
    expected = load_file(tmp_path / "one" / "model-0.safetensors")
    assert first.keys() == expected.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name  # every process ends with the same whole model
        assert value.shape == expected[name].shape
    # Adam turns a gradient that is nothing but rounding into a whole step, so weights are close, not equal.
    difference = (first["embedding.weight"] - expected["embedding.weight"]).abs()
    assert float(difference.mean()) < 1e-3
    assert float(expected["embedding.weight"].abs().mean()) > 0.05


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed under /proc on Linux only")
def test_no_thread_of_the_process_group_outlives_it(tmp_path: Path) -> None:
    """One that did could abort the process while Python shuts down."""
    run(tmp_path, processes=2, backbone="fm", max_epochs=1, **WAYS["sharded"])
    for rank in (0, 1):
        threads = json.loads((tmp_path / f"threads-{rank}.json").read_text())
        assert threads
        assert not [name for name in threads if "gloo" in name]


def test_processes_go_on_from_the_newest_checkpoint_that_all_have(tmp_path: Path) -> None:
    settings = {"backbone": "fm", **WAYS["sharded, with history"]}
    whole = run(tmp_path / "whole", processes=2, max_epochs=3, **settings)
    kept = tmp_path / "kept"
    run(tmp_path / "parts", processes=2, max_epochs=3, killed_after=1, ends=False, checkpoints=str(kept), **settings)
    newest = sorted((kept / "1").glob("step-*"))[-1]
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()  # process 1 was killed before it could write its last one
    again = run(tmp_path / "parts", processes=2, max_epochs=3, checkpoints=str(kept), **settings)
    assert [r["train_loss"] for r in again] == [r["train_loss"] for r in whole]
    first = load_file(tmp_path / "whole" / "model-0.safetensors")
    assert all(torch.equal(v, first[n]) for n, v in load_file(tmp_path / "parts" / "model-0.safetensors").items())


def test_shares_cover_a_batch() -> None:
    batch = Batch(torch.arange(21).view(7, 3), torch.zeros(7), torch.zeros(7, dtype=torch.int32))
    shares = [Processes(rank=rank, count=3).share_of(batch) for rank in range(3)]
    assert [len(share.label) for share in shares] == [2, 2, 3]
    assert torch.equal(torch.cat([share.ids for share in shares]), batch.ids)


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with Processes.joined() as processes:
        assert (processes.rank, processes.count) == (0, 1)
        assert processes.agree_on([3, 9, 6]) == 9


def test_shards_of_a_dense_optimizer_are_refused() -> None:
    with pytest.raises(ValueError, match="'sharded' need embedding_optimizer 'lazy'"):
        TrainConfig(tables="sharded")
