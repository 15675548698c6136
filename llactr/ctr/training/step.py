"""One training step: forward, backward, and both optimizers.

With `embedding_optimizer: dense` one Adam walks over all parameters, the tables' rows that the batch leaves out
included. With `lazy` the tables' rows are fetched, trained and put back for each batch
(`llactr.ctr.training.tables`), and Adam walks over the other parameters alone.

Letters: B rows of the batch, C id slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from llactr.ctr.config import TrainConfig
from llactr.ctr.model import CTRModel, Loss
from llactr.ctr.training.batches import Batch
from llactr.ctr.training.cold_start import ColdStart
from llactr.ctr.training.device import precision_of
from llactr.ctr.training.optimizer import LazyAdam
from llactr.ctr.training.parallel import Processes, ReplicatedTables, ShardedTables
from llactr.ctr.training.tables import LocalTables, Tables
from llactr.ctr.values.embedding import ValueEmbedding
from llactr.errors import InputError

__all__ = ["MOMENTS", "Moments", "TrainingStep"]

MOMENTS = ("first", "second", "steps")
_ADAM = ("exp_avg", "exp_avg_sq", "step")


@dataclass
class Moments:
    """What Adam remembers: given to a training it goes on from there, and afterwards it is that of the best epoch.

    Attributes:
        tensors: as `TrainingStep.moments` names them; empty for a training that begins anew.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)


class TrainingStep:
    """Steps of one model.

    Args:
        model: on its device.
        config: learning rate, weight decay, which optimizer for the tables, precision.
        processes: those that train together; each gives its own part of every batch.
        cold: which rows are treated as cold starts.

    Raises:
        InputError: cold starts with value vectors are asked for of lazy tables, which do not hold their rows.
    """

    def __init__(
        self, model: CTRModel, config: TrainConfig, processes: Processes, cold: ColdStart | None = None
    ) -> None:
        self.model, self.config, self.processes, self.cold = model, config, processes, cold
        if isinstance(model.embedding, ValueEmbedding):
            if cold is not None and config.embedding_optimizer == "lazy":
                raise InputError("cold starts with value vectors need embedding_optimizer 'dense', found 'lazy'")
            model.embedding.has_stand_ins = cold is not None
        self.device = model.embedding.weight.device
        self._dense = list(model.parameters())
        self.tables: Tables | None = None
        if config.embedding_optimizer == "lazy":
            own = [model.embedding.weight] + ([] if model.embedding.linear is None else [model.embedding.linear])
            self._own = own
            self._dense = [p for p in self._dense if all(p is not table for table in own)]
            self.tables = _tables(own, config, processes)
        self._adam = torch.optim.Adam(
            _groups(model, self._dense, config.weight_decay), lr=config.learning_rate, fused=True
        ) if self._dense else None  # fmt: skip

    def __call__(self, batch: Batch) -> Tensor:
        """One step on this process's part of a batch.

        Returns:
            (3,) total, clicks and representation loss of the whole batch before the step.
        """
        share = self.processes.share_of(batch)
        if self.cold is not None:
            share = share._replace(ids=self.cold(share.ids, self.model.embedding))
        weight = len(share.label) / len(batch.label)  # the loss of a batch is the mean over its rows
        fetched: tuple[Tensor, list[Tensor]] | None = None
        with precision_of(self.device, self.config.precision):
            if self.tables is None:
                loss = self.model.loss(*self._arguments(share))
            else:
                rows, leaves, lookup = self.model.embedding.distinct_lookup(
                    self.model.ids(share.ids), self.tables.fetch, field_major=self.model.reads_field_major
                )
                fetched = rows, leaves
                loss = self.model.loss(*self._arguments(share), lookup=lookup)
        for parameter in self._dense:
            parameter.grad = None
        (loss.total if weight == 1 else loss.total * weight).backward()
        losses = self.processes.add_up([p for p in self._dense if p.grad is not None], _losses(loss) * weight)
        if self._adam is not None:
            self._adam.step()
        if self.tables is not None and fetched is not None:
            rows, leaves = fetched
            gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            self.tables.update(rows, gradients, current=[leaf.detach() for leaf in leaves])
        return losses

    def scores(self, ids: Tensor, version: Tensor) -> Tensor:
        """Logits (B,) of rows (B, C), from the tables wherever they are."""
        needed = version if self.model.version_count > 1 else None
        if not isinstance(self.tables, ShardedTables):
            return self.model(ids, needed)
        _, _, lookup = self.model.embedding.distinct_lookup(
            self.model.ids(ids), self.tables.fetch, field_major=self.model.reads_field_major
        )
        return self.model(ids, needed, lookup=lookup)

    def weights(self) -> dict[str, Tensor]:
        """All weights that this process holds, by name; not copied."""
        named = dict(self.model.state_dict())
        if isinstance(self.tables, ShardedTables):
            named |= self.tables.shards()
        return named

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Takes over what `weights` gave."""
        own = self.weights()
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)

    def finish(self) -> None:
        """Puts the shards back together, so that the model is whole in each process."""
        if isinstance(self.tables, ShardedTables):
            for parameter, whole in zip(self._own, self.tables.collect(), strict=True):
                parameter.data = whole

    def state(self) -> dict[str, Tensor]:
        """Moments and counts of steps of both optimizers, by name; not copied."""
        named = {} if self.tables is None else {f"tables.{name}": value for name, value in self.tables.state().items()}
        if self._adam is not None:
            for at, parameter in enumerate(self._dense):
                for name, value in self._adam.state[parameter].items():
                    named[f"dense.{at}.{name}"] = value
        return named

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes over what `state` gave."""
        if self.tables is not None:
            of_tables = {name.removeprefix("tables."): v for name, v in state.items() if name.startswith("tables.")}
            self.tables.restore(of_tables)
        for name, value in state.items():
            if self._adam is not None and name.startswith("dense."):
                _, at, key = name.split(".")
                parameter = self._dense[int(at)]
                # Adam's count of steps stays where fused Adam keeps it: beside its parameter.
                self._adam.state[parameter][key] = value.to(parameter.device).clone()

    def moments(self) -> dict[str, Tensor]:
        """What Adam remembers, by parameter: NAME.first and NAME.second in its shape, NAME.steps; not copied.

        Parameters that no step has changed are left out. Of several processes that share tables, only the dense part.
        """
        named: dict[str, Tensor] = {}
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        if isinstance(self.tables, LocalTables):
            state = self.tables.state()
            for at, parameter in enumerate(self._own):
                parts = (state[f"first.{at}"], state[f"second.{at}"], state["steps"])
                named |= _moments_of(names[id(parameter)], parts)
        if self._adam is not None:
            for parameter in self._dense:
                if self._adam.state[parameter]:
                    parts = tuple(self._adam.state[parameter][key] for key in _ADAM)
                    named |= _moments_of(names[id(parameter)], parts)
        return named

    def take_moments(self, moments: Mapping[str, Tensor]) -> None:
        """Has Adam go on from what `moments` gave, here or of another optimizer; parameters it lacks begin anew."""
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        if isinstance(self.tables, LocalTables):
            state: dict[str, Tensor] = {}
            for at, parameter in enumerate(self._own):
                first, second, steps = (moments.get(f"{names[id(parameter)]}.{part}") for part in MOMENTS)
                if first is not None and second is not None and steps is not None:
                    state |= {f"first.{at}": first, f"second.{at}": second, "steps": steps}
            if len(state) == 2 * len(self._own) + 1:
                self.tables.restore(state)
        if self._adam is not None:
            for parameter in self._dense:
                parts = [moments.get(f"{names[id(parameter)]}.{part}") for part in MOMENTS]
                if all(part is not None for part in parts):
                    self._adam.state[parameter] = {
                        key: part.to(parameter.device).clone()
                        for key, part in zip(_ADAM, parts, strict=True)
                        if part is not None
                    }

    def _arguments(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        return batch.ids, batch.label, batch.version if self.model.version_count > 1 else None


def _groups(model: CTRModel, parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """Parameters by their weight decay: what projects value vectors has its own (see `ValuesConfig`)."""
    if not isinstance(model.embedding, ValueEmbedding):
        return [{"params": parameters, "weight_decay": decay}]
    own = {id(p) for p in [*model.embedding.projections, *model.embedding.linear_projections]}
    factor = model.embedding.values.config.decay_factor
    return [
        {"params": [p for p in parameters if id(p) not in own], "weight_decay": decay},
        {"params": [p for p in parameters if id(p) in own], "weight_decay": decay * factor},
    ]


def _moments_of(name: str, parts: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name}.{part}": value for part, value in zip(MOMENTS, parts, strict=True)}


def _tables(own: list[nn.Parameter], config: TrainConfig, processes: Processes) -> Tables:
    def optimizer(tables: list[Tensor]) -> LazyAdam:
        return LazyAdam(tables, learning_rate=config.learning_rate, weight_decay=config.weight_decay)

    whole = [parameter.detach() for parameter in own]
    if processes.count == 1:
        return LocalTables(optimizer(whole))
    if config.tables == "sharded":
        shards = ShardedTables(whole, optimizer, processes)
        for parameter in own:
            parameter.data = parameter.data[:0].clone()
        return shards
    return ReplicatedTables(optimizer(whole), processes)


def _losses(loss: Loss) -> Tensor:
    representation = loss.clicks.new_zeros(()) if loss.representation is None else loss.representation
    return torch.stack([loss.total, loss.clicks, representation]).detach().float()
