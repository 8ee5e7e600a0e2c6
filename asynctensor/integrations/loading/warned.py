"""`warn_of`: the warning that a batch decodes many times what it returns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from asynctensor.integrations.loading.amplification import AmplificationWarning, amplification
from asynctensor.integrations.loading.places import Int64Array
from asynctensor.tensorstore import TensorStore

#: A batch that decodes so many times what it returns is warned of, if that is so many bytes.
_TOO_MUCH, _TOO_MANY_BYTES = 8.0, 2**22
#: Calls between the caller of `Samples.read` and the warning: it is shown where that was called.
_CALLS = 5


def warn_of(
    name: str,
    array: TensorStore,
    dims: Sequence[int],
    shape: Sequence[int],
    corners: Int64Array,
    size: Sequence[int],
) -> None:
    """Warns (`AmplificationWarning`) if samples decode many times what they return.

    Args:
        name: Of the array; empty: it has none.
        array: What they are cut out of.
        dims: The dimensions along which they are.
        shape: Of a sample.
        corners: See `amplification`.
        size: Elements of a sample along `dims`.
    """
    layout = array.chunk_layout
    chunk, grid = layout.read_chunk.shape, layout.grid_origin
    edges = [edge for edge in chunk or () if edge]
    starts = [at for at in grid or () if at is not None]
    domain = array.domain
    if not len(edges) == len(starts) == domain.rank:
        return
    offset = [low - at for low, at in zip(domain.origin, starts, strict=True)]
    times = amplification(corners, dims, size, domain.shape, edges, offset)
    nbytes = len(corners) * math.prod(shape) * array.dtype.numpy_dtype.itemsize
    if times >= _TOO_MUCH and times * nbytes >= _TOO_MANY_BYTES:
        warnings.warn(
            f"a batch of {len(corners)} samples decodes {times:.0f} times what it returns "
            f"of {'array ' + repr(name) if name else 'the array'}: its chunks are "
            f"{tuple(edges)}, a sample {tuple(shape)}; visit samples in the order of "
            "chunks (shuffle by blocks), make batches larger, or store the array in "
            "chunks more like a sample",
            AmplificationWarning,
            stacklevel=_CALLS,
        )
