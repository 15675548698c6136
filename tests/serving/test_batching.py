from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from llactr.serving.batching import MicroBatcher
from llactr.serving.metrics import Metrics


def sums(ids: NDArray[np.int32]) -> NDArray[np.float32]:
    return ids.sum(1).astype(np.float32)


class Model:
    def __init__(self) -> None:
        self.passes: list[int] = []

    def __call__(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        self.passes.append(len(ids))
        if (ids < 0).any():
            raise RuntimeError("broken")
        return sums(ids)


def ids(rows: int, value: int) -> NDArray[np.int32]:
    return np.full((rows, 3), value, np.int32)


def test_what_is_ready_together_is_scored_together() -> None:
    model = Model()

    async def work() -> list[NDArray[np.float32]]:
        batcher = MicroBatcher(model, together=True, metrics=Metrics())
        return await asyncio.gather(*(batcher.score(ids(n, n)) for n in (1, 2, 3)))

    found = asyncio.run(work())
    assert model.passes == [6]
    assert [scores.tolist() for scores in found] == [[3.0], [6.0, 6.0], [9.0, 9.0, 9.0]]


def test_a_pass_is_bounded_unless_one_request_is_larger() -> None:
    model = Model()

    async def work() -> list[NDArray[np.float32]]:
        batcher = MicroBatcher(model, together=True, metrics=Metrics())
        return await asyncio.gather(*(batcher.score(ids(n, 1)) for n in (1500, 1000, 5000, 10)))

    found = asyncio.run(work())
    assert model.passes == [1500, 1000, 5000, 10]
    assert [len(scores) for scores in found] == [1500, 1000, 5000, 10]


def test_switched_off_each_request_is_a_pass() -> None:
    model = Model()

    async def work() -> None:
        batcher = MicroBatcher(model, together=False, metrics=Metrics())
        await asyncio.gather(*(batcher.score(ids(2, 1)) for _ in range(3)))

    asyncio.run(work())
    assert model.passes == [2, 2, 2]


def test_a_failing_pass_fails_its_requests_and_no_other() -> None:
    """Requests of one pass share its end; those of the passes before and after it are answered."""
    model = Model()

    async def work() -> list[NDArray[np.float32] | BaseException]:
        batcher = MicroBatcher(model, together=True, metrics=Metrics())
        requests = [ids(2000, 1), ids(1000, -1), ids(1000, 3), ids(500, 2), ids(7, 4)]
        asked = asyncio.gather(*(batcher.score(one) for one in requests), return_exceptions=True)
        return await asyncio.wait_for(asked, 30)

    before, broken, beside, after, last = asyncio.run(work())
    assert model.passes == [2000, 2000, 507]
    for failed in (broken, beside):  # the two of the second pass
        assert isinstance(failed, RuntimeError)
        assert str(failed) == "broken"
    for answered, rows, score in ((before, 2000, 3.0), (after, 500, 6.0), (last, 7, 12.0)):
        assert isinstance(answered, np.ndarray)
        assert answered.tolist() == [score] * rows


def test_after_a_failing_pass_the_next_request_is_scored() -> None:
    async def work() -> None:
        batcher = MicroBatcher(Model(), together=True, metrics=Metrics())
        with pytest.raises(RuntimeError, match="broken"):
            await batcher.score(ids(1, -1))
        assert (await batcher.score(ids(1, 2))).tolist() == [6.0]

    asyncio.run(work())


def test_a_request_that_gave_up_is_left_out() -> None:
    model = Model()

    async def work() -> list[NDArray[np.float32] | BaseException]:
        batcher = MicroBatcher(model, together=True, metrics=Metrics())
        gone = asyncio.ensure_future(batcher.score(ids(7, 1)))
        stays = asyncio.ensure_future(batcher.score(ids(2, 1)))
        await asyncio.sleep(0)  # both wait; the pass begins in the next turn of the loop
        assert model.passes == []
        gone.cancel()
        return await asyncio.wait_for(asyncio.gather(gone, stays, return_exceptions=True), 30)

    gone, stays = asyncio.run(work())
    assert isinstance(gone, asyncio.CancelledError)
    assert isinstance(stays, np.ndarray)
    assert stays.tolist() == [3.0, 3.0]
    assert model.passes == [2], "the rows of the one that gave up are not scored"


def test_when_all_gave_up_there_is_no_pass() -> None:
    model = Model()

    async def work() -> None:
        batcher = MicroBatcher(model, together=True, metrics=Metrics())
        gone = asyncio.ensure_future(batcher.score(ids(7, 1)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert (await batcher.score(ids(1, 2))).tolist() == [6.0]

    asyncio.run(work())
    assert model.passes == [1]
