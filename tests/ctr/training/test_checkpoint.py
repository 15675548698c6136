from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from llactr.ctr import CTRData, CTRModel, ModelConfig, Split, TrainConfig, train
from llactr.ctr.training.batches import Batch, MemoryRows
from llactr.ctr.training.checkpoint import Checkpoint, Checkpoints
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.trainer import TrainResult
from llactr.errors import InputError, StepError
from llactr.transforms import Transform
from tests.ctr.training_fakes import clicks, model
from tests.specs import field, spec_of

HERE = Path(__file__).parent


class Breaking(MemoryRows):
    """Rows that fail after some batches, as a machine does."""

    def __init__(self, batches: int, data: CTRData | None = None) -> None:
        super().__init__(clicks() if data is None else data)
        self.left = batches

    def batches(self, *, seed: int, epoch: int, batch_size: int, start: int = 0) -> Iterator[Batch]:
        for batch in super().batches(seed=seed, epoch=epoch, batch_size=batch_size, start=start):
            if self.left == 0:
                raise OSError("the machine went away")
            self.left -= 1
            yield batch


def config(**changes: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {"batch_size": 128, "max_epochs": 4, "device": "cpu", "weight_decay": 1e-3} | changes
    )


def finished(optimizer: str) -> tuple[CTRModel, TrainResult]:
    made = model("deepfm", enhanced=True)
    return made, train(made, clicks(), config(embedding_optimizer=optimizer))


def bits(made: CTRModel) -> dict[str, bytes]:
    return {name: value.numpy().tobytes() for name, value in made.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
@pytest.mark.parametrize("broken_after", [3, 17, 18, 40])
def test_a_run_taken_up_again_has_the_bits_of_one_that_was_never_broken(
    tmp_path: Path, optimizer: str, broken_after: int
) -> None:
    whole, expected = finished(optimizer)
    with pytest.raises(OSError, match="went away"):
        train(
            model("deepfm", enhanced=True),
            Breaking(broken_after),
            config(embedding_optimizer=optimizer),
            checkpoints=Checkpoints(tmp_path, every_steps=5),
        )
    torch.manual_seed(99)  # a new process would have another state of the global generator
    made = model("deepfm", enhanced=True)
    rows = Breaking(1000)
    result = train(made, rows, config(embedding_optimizer=optimizer), checkpoints=Checkpoints(tmp_path, every_steps=5))
    assert bits(made) == bits(whole)
    assert [replace(r, seconds=0) for r in result.history] == [replace(r, seconds=0) for r in expected.history]
    assert result.best_epoch == expected.best_epoch
    assert 1000 - rows.left == result.steps - broken_after // 5 * 5  # lost: what came after the last checkpoint


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
def test_a_run_with_history_is_taken_up_again_to_the_bit(tmp_path: Path, optimizer: str) -> None:
    """The weights of history numbers, and what they are standardised by, are in a checkpoint too."""

    def made() -> CTRModel:
        model_ = model("deepfm", enhanced=True, history=True)
        assert model_.history is not None
        model_.history.fit(clicks(history=True).ids[:2000, -3:].copy().view(np.float32))
        return model_

    whole, settings = made(), config(embedding_optimizer=optimizer)
    train(whole, clicks(history=True), settings)
    kept = Checkpoints(tmp_path, every_steps=5)
    with pytest.raises(OSError, match="went away"):
        train(made(), Breaking(18, clicks(history=True)), settings, checkpoints=kept)
    again = made()
    train(again, clicks(history=True), settings, checkpoints=Checkpoints(tmp_path, every_steps=5))
    assert bits(again) == bits(whole)
    assert again.history is not None
    assert float(again.history.weights[0, 0].detach()) > 0, "the number that says something was learned"


def cold_model(share: float = 0.4) -> tuple[CTRModel, CTRData, ColdStart | None]:
    """A model that treats users and items as never seen at random, and rows for it."""
    spec = spec_of(field("person", "user"), field("film", "item"))
    rng = np.random.default_rng(1)
    person, film = rng.integers(0, 30, 900), rng.integers(0, 20, 900)
    rows = pa.table({"person": [f"p{n}" for n in person], "film": [f"f{n}" for n in film]})
    transform = Transform.fit(spec, rows)
    label = ((person + film) % 3 == 0).astype(np.float32)
    split = Split(np.arange(600), np.arange(600, 800), np.arange(800, 900))
    data = CTRData(transform.ids(rows), label, np.zeros(900, np.int32), split)
    config = ModelConfig.model_validate({"backbone": "deepfm", "embedding_dim": 8, "settings": {}})
    return CTRModel(config, transform.layout, seed=3), data, ColdStart.of(spec, transform, share)


@pytest.mark.parametrize("optimizer", ["dense", "lazy"])
@pytest.mark.parametrize("broken_after", [4, 7, 16])
def test_cold_starts_are_drawn_as_if_the_run_had_never_been_broken(
    tmp_path: Path, optimizer: str, broken_after: int
) -> None:
    whole, data, cold = cold_model()
    train(whole, data, config(embedding_optimizer=optimizer), cold=cold)
    breaking = Breaking(broken_after, data)
    with pytest.raises(OSError, match="went away"):
        train(
            cold_model()[0],
            breaking,
            config(embedding_optimizer=optimizer),
            checkpoints=Checkpoints(tmp_path, every_steps=3),
            cold=cold,
        )
    torch.manual_seed(99)
    made, _, _ = cold_model()
    train(
        made, data, config(embedding_optimizer=optimizer), checkpoints=Checkpoints(tmp_path, every_steps=3), cold=cold
    )
    assert bits(made) == bits(whole)
    plain, _, none = cold_model(share=0)
    train(plain, data, config(embedding_optimizer=optimizer), cold=none)
    assert bits(plain) != bits(whole), "the draws matter"


def test_a_checkpoint_of_another_share_of_cold_starts_is_refused(tmp_path: Path) -> None:
    made, data, cold = cold_model()
    train(made, data, config(), checkpoints=Checkpoints(tmp_path, every_steps=3), cold=cold)
    other, _, less = cold_model(share=0.1)
    with pytest.raises(InputError, match="made with another model, data or configuration"):
        train(other, data, config(), checkpoints=Checkpoints(tmp_path, every_steps=3), cold=less)


def test_checkpoints_leave_the_result_alone(tmp_path: Path) -> None:
    whole, _ = finished("lazy")
    made = model("deepfm", enhanced=True)
    train(made, clicks(), config(embedding_optimizer="lazy"), checkpoints=Checkpoints(tmp_path, every_steps=1))
    assert bits(made) == bits(whole)
    assert len(list(tmp_path.iterdir())) == 2


def test_time_makes_a_checkpoint_due(tmp_path: Path) -> None:
    never = Checkpoints(tmp_path, every_minutes=1000)
    soon = Checkpoints(tmp_path, every_minutes=0.001)
    time.sleep(0.1)
    assert not never.due(7)
    assert soon.due(7)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in (10, 20):
        facts = {"fingerprint": "a", "best": None, "at": step}
        kept.save(step, Checkpoint({"weight": torch.full((3,), float(step))}, None, facts))
    newest = tmp_path / "step-000000020" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:50])
    found = kept.latest("a")
    assert found is not None
    assert found.facts["at"] == 10
    assert found.state["weight"].tolist() == [10.0, 10.0, 10.0]


def test_an_unfinished_draft_is_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".step-000000030.123").mkdir()
    assert Checkpoints(tmp_path).latest("a") is None


def test_unchanged_best_weights_are_linked_not_copied(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        facts = {"fingerprint": "a", "best": {"epoch": 1 if step < 3 else 2}}
        kept.save(step, Checkpoint({"w": torch.zeros(1)}, {"w": torch.full((1,), float(step))}, facts))
    files = [tmp_path / f"step-{step:09d}" / "best.safetensors" for step in (2, 3)]
    assert load_file(files[0])["w"].item() == 1.0  # linked from step 1: same best epoch
    assert load_file(files[1])["w"].item() == 3.0


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train(model("fm"), clicks(), config(max_epochs=1), checkpoints=Checkpoints(tmp_path, every_steps=3))
    with pytest.raises(InputError, match="made with another model, data or configuration"):
        train(model("fwfm"), clicks(), config(max_epochs=1), checkpoints=Checkpoints(tmp_path, every_steps=3))


def test_a_longer_run_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    whole, _ = finished("lazy")
    for epochs in (1, 4):
        made = model("deepfm", enhanced=True)
        checkpoints = Checkpoints(tmp_path, every_steps=1)
        train(made, clicks(), config(embedding_optimizer="lazy", max_epochs=epochs), checkpoints=checkpoints)
    assert bits(made) == bits(whole)


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
import torch
from safetensors.torch import save_file
from tests.ctr.training_fakes import clicks, model
from llactr.ctr import TrainConfig, train
from llactr.ctr.training.batches import MemoryRows
from llactr.ctr.training.checkpoint import Checkpoints
from pathlib import Path

class Waits(MemoryRows):
    given = 0

    def batches(self, **which):
        for batch in super().batches(**which):
            Waits.given += 1
            if Waits.given == 20:
                Path({folder!r}).with_name("waits").touch()
                while not Path({folder!r}).with_name("go on").exists():
                    time.sleep(0.01)
            yield batch

torch.set_num_threads(1)
made = model("deepfm", enhanced=True)
config = TrainConfig(batch_size=128, max_epochs=4, device="cpu", weight_decay=1e-3, embedding_optimizer="lazy")
train(made, Waits(clicks()), config, checkpoints=Checkpoints(Path({folder!r}), every_steps={every}))
save_file(made.state_dict(), {out!r})
"""


def started(tmp_path: Path, *, every: int) -> subprocess.Popen[str]:
    source = SCRIPT.format(
        here=str(HERE), folder=str(tmp_path / "kept"), out=str(tmp_path / "model.safetensors"), every=every
    )
    return subprocess.Popen([sys.executable, "-c", source], stderr=subprocess.PIPE, text=True, cwd=HERE.parents[2])


def wait_for(folder: Path, pattern: str, count: int) -> None:
    for _ in range(2400):
        if len(list(folder.glob(pattern))) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} came")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_goes_on_where_it_was(tmp_path: Path, ending: signal.Signals) -> None:
    every = 10_000 if ending == signal.SIGTERM else 2
    process = started(tmp_path, every=every)
    try:
        wait_for(tmp_path, "waits", 1)  # in the second epoch of four
        if ending == signal.SIGKILL:
            wait_for(tmp_path / "kept", "step-*", 2)
        os.kill(process.pid, ending)
        if ending == signal.SIGTERM:
            (tmp_path / "go on").touch()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    newest = sorted((tmp_path / "kept").glob("step-*"))[-1]
    steps = json.loads((newest / "checkpoint.json").read_text())["steps"]
    assert 0 < steps < 68
    if ending == signal.SIGTERM:
        assert "asked to stop after" in said
        assert str(newest) in said
    (tmp_path / "go on").touch()  # for the second one from the beginning
    again = started(tmp_path, every=every)
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    torch.set_num_threads(1)
    whole, _ = finished("lazy")
    found = load_file(tmp_path / "model.safetensors")
    assert {name: value.numpy().tobytes() for name, value in found.items()} == bits(whole)


def test_sigterm_without_the_main_thread_listening_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    train(model("fm"), clicks(), config(max_epochs=1))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_between_steps_is_one_sentence(tmp_path: Path) -> None:
    class Stopping(Breaking):
        def batches(self, **which: int) -> Iterator[Batch]:  # type: ignore[override]
            for number, batch in enumerate(super().batches(**which)):
                if number == 2:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield batch

    with pytest.raises(StepError, match=r"asked to stop after \d steps: its checkpoint is .*step-00000000\d"):
        train(model("fm"), Stopping(100), config(max_epochs=1), checkpoints=Checkpoints(tmp_path))
    assert len(Checkpoints(tmp_path).steps()) == 1


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path) -> None:
    """The fingerprint left out the data: as many other rows went on from the checkpoint."""
    checkpoints = Checkpoints(tmp_path, every_steps=5)
    with pytest.raises(OSError, match="the machine went away"):
        train(model("fm"), Breaking(7), config(), checkpoints=checkpoints)
    data = clicks()
    label = data.label.copy()
    label[data.split.train[0]] = 1 - label[data.split.train[0]]
    with pytest.raises(InputError, match="was made with another model, data or configuration"):
        train(model("fm"), replace(data, label=label), config(), checkpoints=Checkpoints(tmp_path))
    assert train(model("fm"), clicks(), config(), checkpoints=Checkpoints(tmp_path)).steps > 7
