"""Points of the scale curves about history: how long it is, how many events are kept, what a state takes.

Events are made up, as in `benchmarks.history`: eight windows, five numbers of taste; users and items are drawn evenly
here, so that a user's number of past events is what the curve says. Nothing of a store is in it: a push goes from both
states' bytes to bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.history import ITEMS, definition_of

__all__ = ["attended", "kept_bytes", "kept_pass", "kept_push", "past_bytes", "past_pass", "past_push", "rows_pass"]

_DAY_US = 86_400_000_000
_ROWS, _PUSHED, _FULL = 40_000, 2_000, 400


@contextlib.contextmanager
def rows_pass(rows: int) -> Iterator[Any]:
    """History of so many events, 20 a user, 50 kept: a row with its 13 numbers."""
    yield _passed(kept=50, rows=rows, a_user=20)


@contextlib.contextmanager
def kept_pass(kept: int) -> Iterator[Any]:
    """History of 40,000 events, 400 a user, so many of them kept."""
    yield _passed(kept=kept, rows=_ROWS, a_user=_FULL)


@contextlib.contextmanager
def past_pass(past: int) -> Iterator[Any]:
    """History of 40,000 events, so many a user, 50 kept."""
    yield _passed(kept=50, rows=_ROWS, a_user=past)


@contextlib.contextmanager
def kept_push(kept: int) -> Iterator[Any]:
    """Pushes of 2,000 events onto users of 400, so many of them kept."""
    yield _pushed(kept=kept, past=_FULL)


@contextlib.contextmanager
def past_push(past: int) -> Iterator[Any]:
    """Pushes of 2,000 events onto users of so many, 50 kept."""
    yield _pushed(kept=50, past=past)


@contextlib.contextmanager
def kept_bytes(kept: int) -> Iterator[Any]:
    """Bytes of a user's state online, as many events as are kept."""
    yield lambda: len(_state(_definition(kept), kept).to_bytes())


@contextlib.contextmanager
def past_bytes(past: int) -> Iterator[Any]:
    """Bytes of a user's state online after so many events, 50 kept."""
    yield lambda: len(_state(_definition(50), past).to_bytes())


@contextlib.contextmanager
def attended(last: int) -> Iterator[Any]:
    """Four steps of DeepFM over 4096 rows of 10 fields, with attention over the last so many events."""
    import torch

    from llactr.ctr import CTRModel, ModelConfig, TrainConfig
    from llactr.ctr.history import with_history
    from llactr.ctr.history_arms import history_input
    from llactr.ctr.training.batches import Batch
    from llactr.ctr.training.parallel import Processes
    from llactr.ctr.training.step import TrainingStep
    from llactr.spec import HistorySpec
    from llactr.spec.history import SequenceField
    from llactr.transforms import FieldLayout

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    field = SequenceField(name="past", description="past", kind="sequence", last=last)
    layout = FieldLayout(tuple(f"field {k}" for k in range(10)), (1_000,) * 10, (1,) * 10)
    past = history_input(HistorySpec(last=last, fields=(field,)))
    model = CTRModel(ModelConfig(backbone="deepfm", history=past), layout)
    numbers = rng.standard_normal((4096, 3 * last)).astype(np.float32)
    assert model.history is not None
    model.history.fit(numbers)
    rows = with_history(rng.integers(3, 1_000, (4096, 10)).astype(np.int32), numbers)
    label = torch.from_numpy((rng.random(4096) < 0.2).astype(np.float32))
    batch = Batch(torch.from_numpy(rows), label, torch.zeros(4096, dtype=torch.int32))
    step = TrainingStep(model.train(), TrainConfig.of("deepfm"), Processes())
    yield lambda: [step(batch) for _ in range(4)]


def _definition(kept: int) -> Any:
    from llactr.history import HistoryDefinition

    whole = definition_of()
    return HistoryDefinition(whole.spec.model_copy(update={"last": kept}), 0.3, whole.vectors)


def _events(definition: Any, rows: int, *, users: int) -> Any:
    """Evenly drawn events of half a year, in the order of time."""
    from llactr.history import Events

    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, users, np.uint64)
    items = definition.vectors["text"].items[rng.integers(0, ITEMS, rows)]
    times = np.sort(rng.integers(1_700_000_000_000_000, 1_700_000_000_000_000 + 180 * _DAY_US, rows))
    outcome = (rng.random(rows) < 0.3).astype(np.float32)
    return Events(hashes[rng.integers(0, users, rows)], items, times, outcome)


def _passed(*, kept: int, rows: int, a_user: int) -> Any:
    from llactr.history import history_rows

    definition = _definition(kept)
    events = _events(definition, rows, users=max(rows // a_user, 1))
    return lambda: history_rows(definition, events)


def _state(definition: Any, past: int) -> Any:
    """A user's state after so many events, an hour apart; the last of them is still waiting to be known."""
    from llactr.history import KeyState

    state = KeyState.empty(definition, definition.user)
    rng = np.random.default_rng(2)
    items = definition.vectors["text"].items[rng.integers(0, ITEMS, past)].tolist()
    for number, item in enumerate(items):
        state = state.add(item, 1_700_000_000_000_000 + number * _DAY_US // 24, 0.7 if number % 3 == 0 else -0.3)
    return state


def _pushed(*, kept: int, past: int) -> Any:
    from llactr.history import Event, KeyState, push

    definition = _definition(kept)
    user = _state(definition, past)
    blob, item = user.to_bytes(), KeyState.empty(definition, definition.item).to_bytes()
    items = definition.vectors["text"].items[:_PUSHED].tolist()
    began = user.newest + _DAY_US

    def call() -> None:
        stored = blob  # one user's, which the pushes follow one another on
        for number, one in enumerate(items):
            states = (
                KeyState.from_bytes(definition, definition.user, stored),
                KeyState.from_bytes(definition, definition.item, item),
            )
            event = Event(1, one, began + number * 1_000_000, float(number % 3 == 0))
            pushed = push(definition, *states, event)
            stored, _ = pushed.user.to_bytes(), pushed.item.to_bytes()
            if number % 50 == 49:
                stored = blob  # back to the length that the curve says

    return call
