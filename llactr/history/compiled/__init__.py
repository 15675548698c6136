"""Compiled code of history: what is done for each event and for each candidate.

It works on records as bytes, (K, B) uint8 (`llactr.history.layout`), is compiled by Numba when it is first called, and
the machine code is kept beside its file. Without `fastmath` sums have one order, so that the pass over millions of
events and the push of one give the same bits. A function calls compiled functions of its own file only, because Numba's
cache does not see changes of another one; who changes `plan` clears the cache (`__pycache__`).
"""
