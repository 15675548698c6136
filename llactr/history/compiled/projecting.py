"""Raw vectors of items onto the directions that were fitted.

Legend: I items, L raw dim, r rank.
"""

from __future__ import annotations

from llactr.history.compiled.plan import Doubles, Floats, compiled

__all__ = ["project"]


@compiled
def project(raw: Floats, mean: Doubles, components: Doubles, out: Floats) -> None:
    """(I, r) of raw vectors (I, L), less their mean (L,), by components (r, L).

    Sums are in one order, however many items come together: an item that is placed alone, later and elsewhere, has the
    same bits.
    """
    for row in range(len(raw)):
        for i in range(len(components)):
            total = 0.0
            for j in range(len(mean)):
                total += components[i, j] * (raw[row, j] - mean[j])
            out[row, i] = total
