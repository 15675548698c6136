"""What people liked in close succession, as collaborative tuning reads it from a dataset's events."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from llactr.columns import LABEL
from llactr.errors import InputError
from llactr.semantics.tuning.colike import colike_windows
from llactr.semantics.tuning.config import ColikeConfig
from llactr.spec import DatasetSpec

__all__ = ["can_tune", "item_text_field", "likes", "too_few_windows"]


def can_tune(spec: DatasetSpec) -> bool:
    """Whether there are users, and items with texts that they can like in succession."""
    return "user" in spec.entities and bool(_item_text_fields(spec))


def item_text_field(spec: DatasetSpec) -> str:
    """The field that reads the item's join key and has a text.

    Raises:
        InputError: there is none, or the spec has no users: nothing can be liked in succession.
    """
    if not can_tune(spec):
        raise InputError(
            f"collaborative tuning of {spec.name!r} needs users, and a value_text for the field that reads the item's "
            "join key: give them in the spec, or encode values without tuning"
        )
    return _item_text_fields(spec)[0]


def _item_text_fields(spec: DatasetSpec) -> list[str]:
    item = spec.entities.get("item")
    return [field.name for field in spec.text_fields if item and field.column == item.join_key]


def too_few_windows(windows: NDArray[np.int64], config: ColikeConfig) -> str:
    """Why windows (W, S) of likes are too few to tune on; empty where they are enough: two batches of them."""
    if len(windows) >= 2 * config.batch_size:
        return ""
    return (
        f"the training rows hold {len(windows)} windows of {config.window + 1} successive likes, collaborative tuning "
        f"needs at least {2 * config.batch_size}"
    )


def likes(
    spec: DatasetSpec, events: pa.Table, texts: dict[str, str], *, window: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Windows of successive likes (W, window + 1) as item numbers, and each number's text; other items are left out."""
    clicked = events.filter(pa.array(events[LABEL].to_numpy() > 0))
    number = {key: place for place, key in enumerate(texts)}
    items = np.array([number.get(key, -1) for key in clicked[spec.entities["item"].join_key].to_pylist()], np.int64)
    users = clicked[spec.entities["user"].join_key].combine_chunks().dictionary_encode()
    codes = users.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    known = items >= 0
    return colike_windows(codes[known], items[known], window=window), list(texts.values())
