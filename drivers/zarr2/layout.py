"""Where the elements of a zarr v2 array are."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.separated_keys import SeparatedKeys
from asynctensor.drivers.zarr2.codecs import build_compressor
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata
from asynctensor.errors import Unimplemented


def array_layout(metadata: Zarr2Metadata) -> ArrayLayout:
    """The layout; see `ArrayFormat.layout`.

    Raises:
        Unimplemented: The fill value of strings or raw data is not one byte throughout.
    """
    data_type = metadata.data_type
    hidden = data_type.hidden_shape
    steps = []
    if metadata.compressor is not None:
        steps.append(build_compressor(metadata.compressor, data_type.itemsize))
    codec = PackedCodec(
        (*metadata.chunk_shape, *hidden),
        data_type.element.numpy_dtype,
        order=inner_order(metadata),
        swapped=data_type.swapped,
        steps=steps,
    )
    return ArrayLayout(
        shape=(*metadata.shape, *hidden),
        dtype=codec.dtype,
        fill_value=element_fill_value(metadata),
        chunk_shape=codec.shape,
        keys=SeparatedKeys(metadata.rank, metadata.separator, hidden=len(hidden)),
        codec=codec,
        resizable=(*(True for _ in metadata.shape), *(False for _ in hidden)),
    )


def inner_order(metadata: Zarr2Metadata) -> tuple[int, ...]:
    """Order of the array's dimensions inside a chunk, slowest first."""
    rank = metadata.rank
    return (*metadata.inner_order, *range(rank, rank + len(metadata.data_type.hidden_shape)))


def element_fill_value(metadata: Zarr2Metadata) -> Array:
    """The fill value of one element of the array, 0-dimensional.

    Raises:
        Unimplemented: As for `array_layout`.
    """
    fill = metadata.fill_value
    data_type = metadata.data_type
    if data_type.inner is None:
        return fill
    data = fill.tobytes()
    if len(set(data)) > 1:
        raise Unimplemented(
            'member "fill_value": strings are read as characters and raw data as bytes, which must '
            f"all have one fill value; got {data!r}"
        )
    return np.frombuffer(data[:1], data_type.element.numpy_dtype).reshape(())
