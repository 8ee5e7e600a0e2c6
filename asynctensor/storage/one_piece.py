"""Values one behind the other, as one: without a copy where they lie so in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asynctensor.storage.address import address_of
from asynctensor.storage.kvstore import Buffer


def in_one_piece(values: Sequence[Buffer]) -> Buffer:
    """All of `values`, joined.

    Parts of one array that follow each other, as the raw chunks of one write do, are given as a
    view of that array. What they refer to must not be written again.
    """
    first = values[0]
    if len(values) == 1:
        return first
    if isinstance(first, memoryview) and isinstance(first.obj, np.ndarray):
        found = _neighbours(values, first.obj)
        if found is not None:
            return found
    return b"".join(values)


def _neighbours(values: Sequence[Buffer], owner: NDArray[Any]) -> memoryview | None:
    """The part of the memory below `owner` that `values` are, one after the other."""
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not owner.flags.c_contiguous or not all(map(len, values)):
        return None
    begin = stop = address_of(values[0])
    for value in values:
        if address_of(value) != stop:
            return None
        stop += len(value)
    memory = owner.reshape(-1).view(np.uint8)
    start = begin - address_of(memory.data)
    if start < 0 or start + stop - begin > len(memory):
        return None
    return memory[start : start + stop - begin].data
