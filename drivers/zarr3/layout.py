"""Where the elements of a zarr v3 array are."""

from __future__ import annotations

from asynctensor.chunked.format import ArrayLayout
from asynctensor.chunked.separated_keys import SeparatedKeys
from asynctensor.drivers.zarr3.codec_build import build, largest_form
from asynctensor.drivers.zarr3.metadata import Zarr3Metadata

#: Bytes by which stored chunks of strings are judged: they may have four times as many.
_VARIABLE_BYTES = 2**29


def array_layout(metadata: Zarr3Metadata) -> ArrayLayout:
    """The layout; see `ArrayFormat.layout`."""
    data_type = metadata.data_type
    hidden = data_type.hidden_shape
    codec, shard = build(metadata.codecs, data_type, metadata.chunk_shape, metadata.fill_value)
    encoding = metadata.key_encoding
    return ArrayLayout(
        shape=(*metadata.shape, *hidden),
        dtype=data_type.element.numpy_dtype,
        fill_value=metadata.fill_value,
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
        largest_form=(
            _VARIABLE_BYTES
            if data_type.is_variable
            else largest_form(metadata.codecs, data_type, metadata.chunk_shape)
        ),
    )
