"""Trains a model until validation stops becoming better, and keeps the best weights.

Rows come from memory or from disk (`batches`, `stream`), a run can be taken up again where a checkpoint left it, and
several processes can share each step (`parallel`). The same seed and thread count give the same bits, with or without
interruptions.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.ctr.calibration import log_odds
from llactr.ctr.config import TrainConfig
from llactr.ctr.metrics import Metrics, measure
from llactr.ctr.model import CTRModel, predict, predict_logits
from llactr.ctr.training.batches import Batch, HeldOut, MemoryRows, TrainingRows
from llactr.ctr.training.calibrated import calibrate, chosen_kind
from llactr.ctr.training.checkpoint import Checkpoint, Checkpoints, StopRequest
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.data import CTRData
from llactr.ctr.training.device import check_precision, on_device
from llactr.ctr.training.parallel import Processes
from llactr.ctr.training.step import Moments, TrainingStep
from llactr.device import pick_device
from llactr.errors import StepError
from llactr.manifest import content_hash

__all__ = ["EpochRecord", "TrainResult", "train"]

_SCORING_ROWS = 4096

_SMALLEST_RISE = 1e-6


@dataclass(frozen=True)
class EpochRecord:
    """A point of the learning curves. Training losses are means over the epoch's steps."""

    epoch: int
    step: int
    train_loss: float
    train_clicks_loss: float
    train_representation_loss: float | None
    validation_auc: float
    validation_logloss: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """How training went. `validation` belongs to the best epoch, whose weights the model now has."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_step: int
    steps: int
    validation: Metrics
    seconds: float
    cpu_seconds: float

    def summary(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""
        return asdict(self)


def train(
    model: CTRModel,
    data: CTRData | TrainingRows,
    config: TrainConfig,
    *,
    progress: Callable[[EpochRecord], None] | None = None,
    checkpoints: Checkpoints | None = None,
    processes: Processes | None = None,
    cold: ColdStart | None = None,
    moments: Moments | None = None,
) -> TrainResult:
    """Trains the model in place; it ends on the CPU with the weights of the epoch that was best on validation.

    Args:
        model: fresh, or to be trained further.
        data: rows; those of the test split are not read.
        config: how.
        progress: called after each epoch.
        checkpoints: where to save, and to go on from; after SIGTERM the run saves and stops.
        processes: those that train together, each of which calls this with the same arguments (but checkpoints in a
            folder of its own); alone by default.
        cold: which rows are treated as cold starts; none by default.
        moments: of an earlier training that this one goes on from, and to be kept; not with checkpoints.

    Raises:
        StepError: the loss is not finite, or the process was asked to stop (its checkpoint is saved).
        InputError: the checkpoints belong to another run, or cold starts do not go with lazy tables.
    """
    rows = MemoryRows(data) if isinstance(data, CTRData) else data
    assert moments is None or checkpoints is None, "a checkpoint does not hold the moments of the best epoch"
    run = _Run(model, rows, config, checkpoints, processes or Processes(), cold)
    if moments is not None:
        run.keep(moments)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed + run.processes.rank)  # dropout
        run.take_up()
        with run.stop.listening() if checkpoints is not None else contextlib.nullcontext():
            while not run.finished:
                run.epoch()
                if progress is not None:
                    progress(run.history[-1])
    return run.result()


class _Run:
    """Where a training run stands."""

    def __init__(
        self,
        model: CTRModel,
        rows: TrainingRows,
        config: TrainConfig,
        checkpoints: Checkpoints | None,
        processes: Processes,
        cold: ColdStart | None,
    ) -> None:
        self.model, self.rows, self.config, self.cold = model, rows, config, cold
        self.checkpoints, self.processes = checkpoints, processes
        self.device = pick_device(config.device)
        check_precision(self.device, config.precision)
        self.few = _has_few_clicks(rows.held_out.label, config.few_clicks)
        if config.prior == "on" or (config.prior == "auto" and self.few):
            model.calibrate(1.0, log_odds(rows.label))
        model.to(self.device)
        self.step = TrainingStep(model, config, processes, cold)
        self.stop = StopRequest()
        self.history: list[EpochRecord] = []
        self.best: EpochRecord | None = None
        self.best_metrics: Metrics | None = None
        self.best_weights: dict[str, Tensor] = {}
        self.steps = 0
        self.batches_done = 0  # in the running epoch
        self.sums = torch.zeros(3, device=self.device)  # there: a copy in every step would wait for the step
        self._moments: Moments | None = None
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._earlier_s = (0.0, 0.0)

    def keep(self, moments: Moments) -> None:
        """Goes on from moments, and keeps those of the best epoch there."""
        self.step.take_moments(moments.tensors)
        self._moments = moments

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done."""
        if not self.history or self.best is None:
            return False
        last = self.history[-1].epoch
        risen_since = last - self.best.epoch
        return last >= self.config.max_epochs or (
            risen_since >= self.config.patience and self.steps >= self.config.min_steps
        )

    def epoch(self) -> None:
        """Trains to the end of the running epoch, and validates."""
        self.model.train()
        number = len(self.history) + 1
        size = self.config.batch_size
        batches = self.rows.batches(seed=self.config.seed, epoch=number, batch_size=size, start=self.batches_done)
        for batch in on_device(batches, self.device):
            if len(batch.label) >= self.processes.count:  # every process needs a row
                self.sums += self.step(batch)
                self.processes.stop_asked |= self.stop.asked
            self.steps += 1
            self.batches_done += 1
            self._save_if_due()
        means = (self.sums / self.batches_done).tolist()
        if not all(map(_finite, means)):
            raise StepError(
                f"the loss is {means[0]} in epoch {number}, after {self.steps} steps: lower the learning rate "
                f"({self.config.learning_rate:g}) or the lambdas of the enhancement"
            )
        validation = measure(self.rows.held_out.label, self._scores(self.rows.held_out))
        assert validation.auc is not None
        assert validation.logloss is not None
        record = EpochRecord(
            epoch=number,
            step=self.steps,
            train_loss=means[0],
            train_clicks_loss=means[1],
            train_representation_loss=means[2] if _has_representation_loss(self.model) else None,
            validation_auc=validation.auc,
            validation_logloss=validation.logloss,
            seconds=self._seconds()[0],
        )
        self.history.append(record)
        self.batches_done = 0
        self.sums = torch.zeros_like(self.sums)
        if self.best is None or self._rise(record, self.best) > _SMALLEST_RISE:
            self.best, self.best_metrics = record, validation
            self.best_weights = {name: value.clone() for name, value in self.step.weights().items()}
            if self._moments is not None:
                self._moments.tensors = {name: value.cpu().clone() for name, value in self.step.moments().items()}

    def take_up(self) -> None:
        """Goes on from the newest checkpoint that all processes have, if there is one."""
        if self.checkpoints is None:
            return
        step = self.processes.agree_on(self.checkpoints.steps())
        if self.processes.count > 1:
            self.checkpoints.discard_after(-1 if step is None else step)
        found = self.checkpoints.latest(self._fingerprint())
        if found is None:
            return
        facts = found.facts
        self.step.load_weights(_named(found.state, "weights."))
        self.step.restore(_named(found.state, "optimizer."))
        self.sums = found.state["sums"].to(self.device)
        torch.set_rng_state(found.state["generator"])
        if "generator.device" in found.state:
            torch.cuda.set_rng_state(found.state["generator.device"], self.device)
        self.steps, self.batches_done = facts["steps"], facts["batches_done"]
        self.history = [EpochRecord(**record) for record in facts["history"]]
        if found.best is not None:
            self.best = EpochRecord(**facts["best"]["record"])
            self.best_metrics = Metrics(**facts["best"]["metrics"])
            self.best_weights = {name: value.to(self.device) for name, value in found.best.items()}
        self._earlier_s = (facts["seconds"][0], facts["seconds"][1])

    def result(self) -> TrainResult:
        """How it went, after the best weights have been put back."""
        assert self.best is not None
        assert self.best_metrics is not None
        self.step.load_weights(self.best_weights)
        self.step.finish()
        self.model.to("cpu")
        self._calibrate()
        wall, cpu = self._seconds()
        return TrainResult(
            history=tuple(self.history),
            best_epoch=self.best.epoch,
            best_step=self.best.step,
            steps=self.steps,
            validation=self.best_metrics,
            seconds=wall,
            cpu_seconds=cpu,
        )

    def _rise(self, record: EpochRecord, best: EpochRecord) -> float:
        """How much better an epoch is than the best so far."""
        by_logloss = self.config.stop_on == "logloss" or (self.config.stop_on == "auto" and self.few)
        if by_logloss:
            return best.validation_logloss - record.validation_logloss
        return record.validation_auc - best.validation_auc

    def _calibrate(self) -> None:
        """Fits what follows the logits to the validation rows, if anything does."""
        asked = self.config.calibration
        if asked == "off":
            return
        held, before = self.rows.held_out, self.rows.label
        logits = predict_logits(self.model, held.ids, held.version)
        if asked == "chosen":
            kind = chosen_kind(held.label, logits, before=before)
        elif asked == "auto":
            kind = "platt" if self.few else chosen_kind(held.label, logits, before=before, among=("off", "platt"))
        else:
            kind = asked
        if kind == "off":
            return
        calibrate(self.model, kind, held.label, logits, before=before)
        self.best_metrics = measure(held.label, predict(self.model, held.ids, held.version))

    def _save_if_due(self) -> None:
        stop = self.stop.asked if self.processes.count == 1 else self.processes.stop_asked
        if self.checkpoints is None:
            if stop:
                raise StepError(
                    f"training was asked to stop after {self.steps} steps: it had no folder for checkpoints"
                )
            return
        if stop or self.checkpoints.due(self.steps):
            folder = self.checkpoints.save(self.steps, self._checkpoint())
            if stop:
                raise StepError(
                    f"training was asked to stop after {self.steps} steps: its checkpoint is {folder}, run the same "
                    "command again to go on"
                )

    def _checkpoint(self) -> Checkpoint:
        state = {f"weights.{name}": value for name, value in self.step.weights().items()}
        state |= {f"optimizer.{name}": value for name, value in self.step.state().items()}
        state |= {"sums": self.sums, "generator": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["generator.device"] = torch.cuda.get_rng_state(self.device)
        best = None
        if self.best is not None and self.best_metrics is not None:
            best = {"record": asdict(self.best), "metrics": asdict(self.best_metrics)}
        facts = {
            "fingerprint": self._fingerprint(),
            "steps": self.steps,
            "batches_done": self.batches_done,
            "history": [asdict(record) for record in self.history],
            "best": best,
            "seconds": self._seconds(),
        }
        return Checkpoint(state, self.best_weights or None, facts)

    def _fingerprint(self) -> str:
        """What may not change between a checkpoint and the run that takes it up."""
        layout = self.model.layout
        return content_hash(
            {
                "model": self.model.config.model_dump(mode="json"),
                "training": self.config.model_dump(mode="json", exclude={"max_epochs", "patience", "device"}),
                "layout": [layout.names, layout.vocab_sizes, layout.slots],
                "rows": self.rows.fingerprint,
                "cold_share": 0 if self.cold is None else self.cold.share,
                "processes": [self.processes.rank, self.processes.count],
            }
        )

    def _scores(self, held: HeldOut) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Probabilities (N,) of the validation rows; each process scores its part of every piece."""
        self.model.eval()
        pieces = []
        rows = _SCORING_ROWS * self.processes.count
        with torch.no_grad():
            for start in range(0, len(held.label), rows):
                piece = slice(start, start + rows)
                whole = Batch(*(torch.from_numpy(column[piece]).to(self.device) for column in held))
                part = self.processes.share_of(whole)
                pieces.append(self.processes.gather(torch.sigmoid(self.step.scores(part.ids, part.version))).cpu())
        return torch.cat(pieces).numpy()

    def _seconds(self) -> tuple[float, float]:
        """Wall and CPU seconds of the run, those before the checkpoint included."""
        wall, cpu = self._earlier_s
        return wall + time.perf_counter() - self._wall, cpu + time.process_time() - self._cpu


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _has_representation_loss(model: CTRModel) -> bool:
    return model.enhancement is not None and model.enhancement.config.fre


def _has_few_clicks(label: NDArray[np.float32], fewest: int) -> bool:
    """Whether rows hold fewer clicks, or fewer non-clicks, than these."""
    clicks = int(np.count_nonzero(label))
    return min(clicks, len(label) - clicks) < fewest


def _finite(number: float) -> bool:
    return number == number and abs(number) != float("inf")
