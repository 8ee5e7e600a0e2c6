"""How much a batch decodes for what it returns. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from asynctensor.integrations.loading.places import Int64Array

#: More boxes of chunks than these are not told apart.
_MOST = 200_000


class AmplificationWarning(UserWarning):
    """Batches decode many times what they return: their samples lie across the chunks."""


def amplification(
    corners: Int64Array,
    dims: Sequence[int],
    size: Sequence[int],
    shape: Sequence[int],
    chunk: Sequence[int],
    offset: Sequence[int],
) -> float:
    """Elements decoded per element returned, where each chunk is decoded once.

    Args:
        corners: The lowest indices of the samples, shape ``(samples, len(dims))``, from 0.
        dims: The dimensions along which samples are cut out.
        size: Elements of a sample along them.
        shape: Of the array.
        chunk: Elements of a chunk along every dimension.
        offset: Where index 0 of the array lies in its chunk, along every dimension.

    Returns:
        1 where the samples are whole chunks; 0 where there are none, or too many to be counted.
    """
    touched: set[tuple[int, ...]] = set()
    ranges = []
    for axis, dim in enumerate(dims):
        first = corners[:, axis] + offset[dim]
        ranges.append((first // chunk[dim], (first + size[axis] - 1) // chunk[dim]))
    for sample in range(len(corners)):
        spans = [range(int(low[sample]), int(high[sample]) + 1) for low, high in ranges]
        if math.prod(map(len, spans)) + len(touched) > _MOST:
            return 0.0
        touched.update(itertools.product(*spans))
    returned = len(corners) * math.prod(size)
    if not returned:
        return 0.0
    decoded = len(touched) * math.prod(chunk[dim] for dim in dims)
    for dim, length in enumerate(shape):
        if dim not in dims and length:
            start = offset[dim] % chunk[dim]
            decoded *= -(-(start + length) // chunk[dim]) * chunk[dim]
            returned *= length
    return decoded / returned
