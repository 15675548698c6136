from __future__ import annotations

import numpy as np

from llactr.semantics.encoders.batching import encode_distinct


def test_each_distinct_text_is_encoded_once_and_scattered_back():
    seen: list[list[str]] = []

    def embed(batch: list[str]) -> np.ndarray:
        seen.append(batch)
        return np.array([[len(text), ord(text[0])] for text in batch], dtype=np.float32)

    texts = ["bb", "a", "ccc", "a", "bb", "dddd", "a"]
    vectors = encode_distinct(embed, texts, dim=2, batch_size=2)
    assert seen == [["dddd", "ccc"], ["bb", "a"]]  # longest first, so memory peaks at the start
    assert vectors.tolist() == [[len(text), ord(text[0])] for text in texts]


def test_progress_counts_distinct_texts():
    calls: list[tuple[int, int]] = []
    encode_distinct(
        lambda batch: np.zeros((len(batch), 1), np.float32), list("abcab"), dim=1, batch_size=2,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls == [(2, 3), (3, 3)]


def test_no_texts_give_no_vectors():
    assert encode_distinct(lambda batch: np.zeros((0, 3), np.float32), [], dim=3, batch_size=4).shape == (0, 3)
