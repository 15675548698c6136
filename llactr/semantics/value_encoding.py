"""Encodes the texts of values, each distinct text once, only those that are new, in pieces that are kept as they come.

Legend: L semantic dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llactr.semantics.encoders.base import Encoder

__all__ = ["EncodedPiece", "Piece", "encode_pieces", "new_pieces"]

Piece = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""Distinct texts, each with the (field, value) pairs that it is the text of."""


@dataclass(frozen=True)
class EncodedPiece:
    """Vectors of some values: N pairs of field and value, N texts, (N, L) float32."""

    keys: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]
    vectors: NDArray[np.float32]


def new_pieces(
    texts: Mapping[str, Mapping[str, str]], known: Mapping[tuple[str, str], str], *, texts_per_piece: int = 1024
) -> list[Piece]:
    """What is left to encode, in pieces of distinct texts, the longest texts first.

    Args:
        texts: field -> value -> text.
        known: (field, value) -> the text that there is a vector of; a value whose text has changed is new.
        texts_per_piece: how much is lost at most when the process is killed.
    """
    keys_of: dict[str, list[tuple[str, str]]] = {}
    for field, some in texts.items():
        for value, text in some.items():
            if known.get((field, value)) != text:
                keys_of.setdefault(text, []).append((field, value))
    ordered = sorted(keys_of, key=lambda text: (-len(text), text))
    return [
        tuple((text, tuple(keys_of[text])) for text in ordered[start : start + texts_per_piece])
        for start in range(0, len(ordered), texts_per_piece)
    ]


def encode_pieces(
    encoder: Encoder,
    pieces: Sequence[Piece],
    keep: Callable[[EncodedPiece], object],
    *,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Encodes pieces one after another and hands each to `keep` as soon as it is done; returns the number of texts.

    Args:
        encoder: what encodes.
        pieces: from `new_pieces`.
        keep: stores a piece; what it has stored is not encoded again by a later run.
        batch_size: texts a batch.
        progress: called with (distinct texts done, distinct texts in all).
    """
    total = sum(len(piece) for piece in pieces)
    done = 0
    for piece in pieces:
        distinct = [text for text, _ in piece]

        def shown(now: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + now, total)

        vectors = encoder.encode(distinct, batch_size=batch_size, progress=shown)
        rows = [row for row, (_, keys) in enumerate(piece) for _ in keys]
        keep(
            EncodedPiece(
                keys=tuple(key for _, keys in piece for key in keys),
                texts=tuple(distinct[row] for row in rows),
                vectors=vectors[rows],
            )
        )
        done += len(piece)
    return done
