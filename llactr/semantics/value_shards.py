"""Encodes the pieces of values in several processes side by side, one GPU each where there are several."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any

from llactr.device import spread_device
from llactr.semantics.encoders.base import EncoderConfig, load_encoder
from llactr.semantics.value_encoding import EncodedPiece, Piece, encode_pieces

__all__ = ["encode_in_shards"]


def encode_in_shards(
    config: EncoderConfig, pieces: list[Piece], keep: Callable[[EncodedPiece], object], *, shards: int
) -> Iterator[int]:
    """How many texts all shards together have done so far, again and again until they are through.

    Args:
        config: the encoder, which each shard loads.
        pieces: from `llactr.semantics.new_pieces`.
        keep: stores a piece, in the process of the shard that it is sent to.
        shards: processes; at most as many as there are pieces.
    """
    shards = min(shards, len(pieces))
    threads = max(1, (os.cpu_count() or 1) // shards)
    context = get_context("spawn")
    done = context.Array("q", shards)
    with ProcessPoolExecutor(shards, mp_context=context, initializer=_begin, initargs=(os.getpid(), done)) as pool:
        left = {pool.submit(_shard, config, pieces[number::shards], keep, number, threads) for number in range(shards)}
        while left:
            ended, left = wait(left, timeout=0.5)
            for one in ended:
                one.result()
            yield sum(done[:])


_done: Any = None
"""In a shard's process: texts done, by shard; shared with the process that began it."""


def _shard(
    config: EncoderConfig, pieces: list[Piece], keep: Callable[[EncodedPiece], object], number: int, threads: int
) -> None:
    import torch

    torch.set_num_threads(threads)
    config = config.model_copy(update={"device": spread_device(config.device, number)})
    encoder = load_encoder(config)

    def shown(now: int, _: int) -> None:
        _done[number] = now

    encode_pieces(encoder, pieces, keep, progress=shown)


def _begin(parent: int, done: Any) -> None:
    """Takes the shared counts, and ends this process once its parent is gone: a pool's worker would wait for ever.

    The piece that is being encoded is lost then; what has been kept is whole.
    """
    global _done
    _done = done

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
