"""Where the elements of a zarr v3 array are."""

from __future__ import annotations

import numpy as np

from asynctensor.chunked.codec import Array
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.separated_keys import SeparatedKeys
from asynctensor.drivers.zarr3.codec_chain import build
from asynctensor.drivers.zarr3.metadata import Zarr3Metadata
from asynctensor.errors import Unimplemented


def array_layout(metadata: Zarr3Metadata) -> ArrayLayout:
    """The layout; see `ArrayFormat.layout`.

    Raises:
        Unimplemented: The fill value of raw bits is not the same byte throughout.
    """
    hidden = metadata.data_type.hidden_shape
    fill_value = element_fill_value(metadata)
    codec, shard = build(metadata.codecs, metadata.data_type, metadata.chunk_shape, fill_value)
    encoding = metadata.key_encoding
    return ArrayLayout(
        shape=(*metadata.shape, *hidden),
        dtype=metadata.data_type.element.numpy_dtype,
        fill_value=fill_value,
        chunk_shape=codec.shape,
        keys=SeparatedKeys(
            metadata.rank,
            encoding.separator,
            prefix="c" if encoding.name == "default" else "",
            hidden=len(hidden),
        ),
        codec=codec,
        shard=shard,
        resizable=(*(True for _ in metadata.shape), *(False for _ in hidden)),
    )


def element_fill_value(metadata: Zarr3Metadata) -> Array:
    """The fill value of one element of the array, 0-dimensional.

    Raises:
        Unimplemented: As for `array_layout`.
    """
    if metadata.data_type.inner is None:
        return metadata.fill_value
    if len(set(metadata.fill_bytes)) > 1:
        raise Unimplemented(
            'member "fill_value": raw bits are read as bytes, which must all have one fill value; '
            f"got {list(metadata.fill_bytes)}"
        )
    return np.frombuffer(metadata.fill_bytes[:1], "V1").reshape(())
