"""Collaborative tuning: texts of items that one person liked in close succession are drawn together.

Contrastive, with the other items of the batch as negatives. The data is the likes of training rows; what a title says
about who likes a film is learned once, and holds for films that nobody has seen yet.

A batch is made of windows: some successive likes of one user each. All pairs of a window are positives, so that each
encoded text serves as anchor, as positive and as negative.

Legend: M likes, W windows, S likes of a window, U distinct items of a batch, L semantic dim.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llactr.errors import DataError
from llactr.semantics.tuning.config import ColikeConfig
from llactr.semantics.tuning.loop import Progress, TuningProgress, TuningRun, tune

if TYPE_CHECKING:
    from llactr.semantics.encoders.torch_encoder import TorchEncoder

__all__ = ["ColikeResult", "colike_loss", "colike_windows", "tune_colike"]

_RESULT = "colike.json"


@dataclass(frozen=True)
class ColikeResult:
    """What a tuning measured.

    Attributes:
        windows: W, the windows there were to draw from.
        items: distinct items among them.
        loss_before, loss_after: the loss of windows that were not tuned on.
        run: losses and times.
    """

    model: str
    windows: int
    items: int
    loss_before: float
    loss_after: float
    run: TuningRun

    def to_json(self) -> dict[str, Any]:
        """Everything as a JSON-like object."""
        return asdict(self)

    def save(self, folder: Path) -> None:
        """Writes `colike.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _RESULT).write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


def colike_windows(users: NDArray[np.int64], items: NDArray[np.int64], *, window: int) -> NDArray[np.int64]:
    """(W, S) windows of S = `window` + 1 successive likes of one user, one starting at each like but a user's last.

    Args:
        users: (M,) the user of each like, in the order of time.
        items: (M,) the item of each like.
        window: how many further likes belong to a like; users with fewer have no window.
    """
    order = np.argsort(users, kind="stable")
    user, item = users[order], items[order]
    if len(item) <= window:
        return np.empty((0, window + 1), np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(item, window + 1)
    whole = user[: len(windows)] == user[window:]
    return np.ascontiguousarray(windows[whole], dtype=np.int64)


def colike_loss(vectors: Tensor, windows: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE over all items of the batch, the mean over an anchor's positives taken outside the logarithm.

    An item's own column is left out, wherever it occurs; an item that is in no window with another is no anchor.

    Args:
        vectors: (U, L) unit vectors of the distinct items of the batch.
        windows: (B, S) positions among the U.
        temperature: tau, above 0.

    Returns:
        a scalar.
    """
    count = len(vectors)
    own = torch.eye(count, dtype=torch.bool, device=vectors.device)
    member = torch.zeros(count, len(windows), device=vectors.device)
    member[windows.T.reshape(-1), torch.arange(len(windows), device=vectors.device).repeat(windows.shape[1])] = 1
    positive = ((member @ member.T) * ~own).clamp(max=1)  # (U, U)
    logits = (vectors @ vectors.T / temperature).masked_fill(own, -1e9)  # (U, U)
    share = positive / positive.sum(dim=1, keepdim=True).clamp(min=1)
    anchors = positive.any(dim=1).sum()
    return -(logits.log_softmax(dim=1) * share).sum() / anchors.clamp(min=1)


def tune_colike(
    encoder: TorchEncoder,
    texts: Sequence[str],
    windows: NDArray[np.int64],
    config: ColikeConfig | None = None,
    *,
    progress: Progress | None = None,
) -> ColikeResult:
    """Tunes a fresh adapter on an encoder, in place; `encoder.save_adapter(folder)` keeps it.

    Cost: steps x (at most batch_size x S) texts, forward and backward; about 60 CPU-seconds with MiniLM.

    Args:
        encoder: without an adapter.
        texts: text of each item, by its number.
        windows: (W, S) item numbers; see `colike_windows`.
        config: the settings.
        progress: called before, after every step, and after.

    Raises:
        DataError: there are fewer windows than two batches need.
        StepError: tuning diverged.
    """
    config = config or ColikeConfig()
    if len(windows) < 2 * config.batch_size:
        raise DataError(
            f"the training rows hold {len(windows)} windows of {config.window + 1} successive likes, collaborative "
            f"tuning needs at least {2 * config.batch_size}: use the objective 'fields', or the published model"
        )
    rng = np.random.default_rng(config.seed)
    shuffled = windows[rng.permutation(len(windows))]
    held, rest = shuffled[: config.batch_size], shuffled[config.batch_size :]
    drawn = rest[rng.integers(len(rest), size=config.steps * config.batch_size)]  # (steps B, S)

    def report(phase: Literal["before", "after"], step: int) -> float:
        if progress:
            progress(TuningProgress(phase, step, config.steps))
        with torch.inference_mode():
            return _batch_loss(encoder, texts, held, config.temperature).item()

    before = report("before", 0)
    run = tune(
        encoder,
        example_count=len(drawn),
        loss=lambda rows: _batch_loss(encoder, texts, drawn[rows], config.temperature),
        validate=None,
        config=config,
        progress=progress,
    )
    return ColikeResult(
        model=encoder.name,
        windows=len(windows),
        items=len(np.unique(windows)),
        loss_before=before,
        loss_after=report("after", config.steps),
        run=run,
    )


def _batch_loss(encoder: TorchEncoder, texts: Sequence[str], windows: NDArray[np.int64], temperature: float) -> Tensor:
    items, places = np.unique(windows, return_inverse=True)
    vectors = encoder.embed([texts[item] for item in items])  # (U, L)
    return colike_loss(
        vectors, torch.from_numpy(places.reshape(windows.shape)).to(vectors.device), temperature=temperature
    )
