"""Other ways to tune an encoder on likes than `llactr finetune --objective colike`.

Letters: W windows, S likes of a window, U distinct items of a batch, L semantic dim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from llactr.semantics.tuning.likes import likes
from llactr.semantics import ColikeConfig
from llactr.semantics.encoders.torch_encoder import TorchEncoder
from llactr.semantics.tuning.loop import tune
from research.field_transfer import Log

__all__ = ["TUNINGS", "Tuning", "logq_loss", "tuned_vectors"]

_LIKES = 4  # of a window as it is drawn


@dataclasses.dataclass(frozen=True)
class Tuning:
    """The likes after a like from which three are drawn; steps; whether logits are corrected by log q."""

    reach: int = 3
    steps: int = 40
    logq: bool = False


TUNINGS = {
    "likes": Tuning(),
    "likes of 10": Tuning(reach=10),
    "likes of 30": Tuning(reach=30),
    "log-q": Tuning(logq=True),
    "90 steps": Tuning(steps=90),
}


def logq_loss(
    vectors: torch.Tensor, windows: NDArray[np.int64], log_q: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """The loss of `llactr.semantics.tuning.colike`, each column's logit less log q of its item (sampled softmax).

    Args:
        vectors: (U, L) unit vectors.
        windows: (B, S) positions among the U.
        log_q: (U,) logarithm of how often an item is drawn; zeros give the loss without correction.
    """
    count = len(vectors)
    places = torch.from_numpy(windows)
    own = torch.eye(count, dtype=torch.bool)
    member = torch.zeros(count, len(places))
    member[places.T.reshape(-1), torch.arange(len(places)).repeat(places.shape[1])] = 1
    positive = ((member @ member.T) * ~own).clamp(max=1)  # (U, U)
    logits = (vectors @ vectors.T / temperature - log_q).masked_fill(own, -1e9)
    share = positive / positive.sum(dim=1, keepdim=True).clamp(min=1)
    return -(logits.log_softmax(dim=1) * share).sum() / positive.any(dim=1).sum().clamp(min=1)


def tuned_vectors(
    encoder: TorchEncoder, texts: Mapping[str, str], log: Log, train_rows: NDArray[np.int64], tuning: Tuning
) -> NDArray[np.float32]:
    """(items, L) vectors of all items' texts, by the encoder tuned on the likes of the training rows.

    Args:
        encoder: without an adapter; gets one.
        texts: text by item.
        log: the rows.
        train_rows: those whose likes are read.
        tuning: how.
    """
    windows, words = likes(log.spec, log.table.take(pa.array(train_rows)), dict(texts), window=tuning.reach)
    rng = np.random.default_rng(0)
    if tuning.reach > _LIKES - 1:
        later = rng.permuted(windows[:, 1:], axis=1)[:, : _LIKES - 1]
        windows = np.concatenate([windows[:, :1], later], axis=1)
    drawn_often = np.bincount(windows.reshape(-1), minlength=len(words))
    log_q = torch.from_numpy(np.log(np.maximum(drawn_often, 1) / drawn_often.sum())).float() * tuning.logq
    config = ColikeConfig(steps=tuning.steps)
    drawn = windows[rng.integers(len(windows), size=config.steps * config.batch_size)]

    def loss(rows: NDArray[np.int64]) -> torch.Tensor:
        items, places = np.unique(drawn[rows], return_inverse=True)
        vectors = encoder.embed([words[item] for item in items])
        return logq_loss(
            vectors, places.reshape(drawn[rows].shape), log_q[torch.from_numpy(items)], temperature=config.temperature
        )

    tune(encoder, example_count=len(drawn), loss=loss, validate=None, config=config)
    return encoder.encode(words)
