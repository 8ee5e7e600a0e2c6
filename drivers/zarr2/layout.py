"""Where the elements of a zarr v2 array are, and how chunks are encoded."""

from __future__ import annotations

from asynctensor.chunked.codec import ArrayCodec
from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.separated_keys import SeparatedKeys
from asynctensor.drivers.zarr2.codec_chain import build_codec
from asynctensor.drivers.zarr2.metadata import Zarr2Metadata

#: Bytes by which stored chunks of objects are judged: they may have four times as many.
_VARIABLE_BYTES = 2**29


def array_layout(metadata: Zarr2Metadata) -> ArrayLayout:
    """The layout; see `ArrayFormat.layout`."""
    data_type = metadata.data_type
    hidden = data_type.hidden_shape
    codec: ArrayCodec
    codec, largest = build_codec(metadata)
    return ArrayLayout(
        shape=(*metadata.shape, *hidden),
        dtype=codec.dtype,
        fill_value=metadata.fill_value,
        chunk_shape=codec.shape,
        keys=SeparatedKeys(metadata.rank, metadata.separator, hidden=len(hidden)),
        codec=codec,
        resizable=(*(True for _ in metadata.shape), *(False for _ in hidden)),
        largest_form=_VARIABLE_BYTES if data_type.is_variable else largest,
    )
