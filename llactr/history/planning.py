"""A layout and the tables of items as compiled code reads them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from llactr.history.categories import ItemCategories
from llactr.history.compiled.plan import Plan
from llactr.history.index import ItemIndex
from llactr.history.layout import TILES, StateLayout

__all__ = ["plan_of"]


def plan_of(
    layout: StateLayout,
    index: ItemIndex,
    vectors: Mapping[str, NDArray[np.float32]],
    categories: Mapping[str, ItemCategories],
) -> Plan:
    """The plan of a definition's user or item.

    Args:
        layout: of the user, or the item.
        index: of I items.
        vectors: source -> (I + 1, r).
        categories: item field -> values of items.
    """
    size, start = len(index) + 1, 0
    tastes, tables = [], [np.zeros(0, np.float32)]
    for source, dim in sorted(layout.tastes.items()):
        tastes.append([dim, layout.offset(f"mean.{source}"), layout.offset(f"covariance.{source}"), start])
        tables.append(vectors[source].reshape(-1))
        start += size * (dim - 1)
    fields = list(dict.fromkeys(pair.category for pair in layout.pairs))
    starts, values = [np.zeros(0, np.int64)], [np.zeros(0, np.uint32)]
    for name in fields:
        of_items = categories[name]
        counts = np.zeros(size + 1, np.int64)  # the last place has no values
        counts[index.places(of_items.items) + 1] = np.diff(of_items.starts)
        starts.append(np.cumsum(counts) + sum(map(len, values)))
        values.append(of_items.values)
    parts = ("tile", "sums", "tiles", "items", "times", "residuals")
    return Plan(
        at=np.array([*map(layout.offset, parts), layout.last, TILES], np.int64),
        lives=np.array([w.span_us for w in layout.sums], np.float64),
        lengths=np.array([w.span_us // TILES for w in layout.tiled], np.int64),
        tastes=np.array(tastes, np.int64).reshape(-1, 4),
        pairs=np.array(
            [
                [
                    layout.offset(f"values.{at}"),
                    layout.offset(f"numbers.{at}"),
                    layout.pair_values,
                    fields.index(pair.category) * (size + 1),
                ]
                for at, pair in enumerate(layout.pairs)
            ],
            np.int64,
        ).reshape(-1, 4),
        pair_lives=np.array([pair.window.span_us for pair in layout.pairs], np.float64),
        items=index.items,
        buckets=index.buckets,
        shift=index.shift,
        table=np.concatenate(tables),
        starts=np.concatenate(starts),
        values=np.concatenate(values),
    )
