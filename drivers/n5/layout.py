"""Where the elements of an N5 dataset are."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.separated_keys import SeparatedKeys
from asynctensor.drivers.n5.block import BlockCodec
from asynctensor.drivers.n5.metadata import N5Metadata


def array_layout(metadata: N5Metadata) -> ArrayLayout:
    """The layout; see `ArrayFormat.layout`.

    Raises:
        Unimplemented: The compression needs a library that is not installed.
    """
    element = metadata.data_type.numpy_dtype
    block_shape = metadata.block_shape
    rank = len(block_shape)
    steps = metadata.compression.build(element.itemsize, block_shape[0] if rank else 1)
    codec = BlockCodec(block_shape, element, steps)
    return ArrayLayout(
        shape=metadata.shape,
        dtype=element,
        fill_value=np.zeros((), element),
        chunk_shape=block_shape,
        keys=SeparatedKeys(rank, "/"),
        codec=codec,
        resizable=(True,) * rank,
    )
