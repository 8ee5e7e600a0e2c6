"""From a chain with nothing left open to the codec that does it."""

from __future__ import annotations

import sys
from math import prod

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.array_step import ArrayStep, ChainCodec, JoinStep
from asynctensor.chunked.compression.blosc import SHUFFLES, BloscCodec
from asynctensor.chunked.compression.codec import BytesCodec
from asynctensor.chunked.compression.crc32c import Crc32cCodec
from asynctensor.chunked.compression.deflate import GzipCodec
from asynctensor.chunked.compression.numcodecs_serializer import NumcodecsSerializer
from asynctensor.chunked.compression.numcodecs_steps import build_step
from asynctensor.chunked.compression.packbits import PackbitsCodec, bits_of
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.compression.user_array_codec import UserSerializer
from asynctensor.chunked.compression.user_codec import build_user_codec
from asynctensor.chunked.compression.vlen import VlenCodec
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.chunked.format import ShardLayout
from asynctensor.drivers.zarr3.codec_chain import INDEX_TYPE
from asynctensor.drivers.zarr3.codecs import (
    Blosc,
    Bytes,
    Chain,
    Crc32c,
    FromNumcodecs,
    FromUser,
    Gzip,
    Packbits,
    Sharding,
    Step,
    Transpose,
    VlenBytes,
    VlenUtf8,
    Zstd,
)
from asynctensor.drivers.zarr3.data_types import DataType
from asynctensor.drivers.zarr3.filters import build_filter_step
from asynctensor.drivers.zarr3.sharding import ShardedCodec, ZarrShardLayout

#: Per inner chunk, beside its bytes: what an encoder may add.
_SLACK = 4096


def build(
    chain: Chain, data_type: DataType, shape: tuple[int, ...], fill_value: Array
) -> tuple[ArrayCodec, ShardLayout | None]:
    """The codec of chunks of `shape` (without hidden dimensions), and how to read parts of them.

    Args:
        chain: From `resolve`.
        data_type: The data type.
        shape: Shape of a chunk in zarr's dimensions.
        fill_value: 0-dimensional, or a vector along the hidden dimension.

    Returns:
        The codec, and the layout of shards where they can be read in parts, else None.
    """
    if not chain.filters and not chain.steps and isinstance(chain.serializer, Sharding):
        return _build_sharding(chain.serializer, data_type, shape, fill_value)
    plain = isinstance(chain.serializer, Bytes)
    if plain and all(isinstance(each, Transpose) for each in chain.filters):
        whole = (*shape, *data_type.hidden_shape)
        return PackedCodec(
            whole,
            data_type.element.numpy_dtype,
            order=_composed(chain.transposes, len(whole)),
            swapped=data_type.has_byte_order and _is_swapped(chain),
            steps=[_build_step(step, data_type.itemsize) for step in chain.steps],
        ), None
    return _build_chain(chain, data_type, shape, fill_value), None


def largest_form(chain: Chain, data_type: DataType, shape: tuple[int, ...]) -> int:
    """Bytes of the largest form of a chunk between the filters of a chain."""
    largest = prod(shape) * data_type.itemsize
    for each in chain.filters:
        step, data_type = build_filter_step(each, data_type, shape)
        shape = step.encoded_shape
        largest = max(largest, prod(shape) * data_type.itemsize)
    if isinstance(chain.serializer, Sharding) and chain.serializer.codecs is not None:
        codec = chain.serializer
        inner = codec.chunk_shape or shape
        count = prod(n // m for n, m in zip(shape, inner, strict=True))
        assert codec.codecs is not None
        largest = max(largest, count * largest_form(codec.codecs, data_type, inner))
    return largest


def _is_swapped(chain: Chain) -> bool:
    return isinstance(chain.serializer, Bytes) and chain.serializer.endian != sys.byteorder


def _composed(transposes: tuple[Transpose, ...], rank: int) -> tuple[int, ...]:
    order = tuple(range(rank))
    for transpose in transposes:
        assert isinstance(transpose.order, tuple)
        # Hidden dimensions, if any, stay where they are.
        last = range(len(transpose.order), rank)
        order = tuple(order[axis] for axis in (*transpose.order, *last))
    return order


def _build_chain(
    chain: Chain, data_type: DataType, shape: tuple[int, ...], fill_value: Array
) -> ArrayCodec:
    arrays: list[ArrayStep] = []
    fill = fill_value
    if data_type.inner is not None:
        arrays.append(JoinStep((*shape, data_type.inner), data_type.element.numpy_dtype))
        fill = np.frombuffer(fill.tobytes(), data_type.whole_dtype).reshape(())
    for each in chain.filters:
        step, data_type = build_filter_step(each, data_type, shape)
        arrays.append(step)
        shape = step.encoded_shape
        if isinstance(chain.serializer, Sharding):
            # Only shards need to know it: what they do not store.
            fill = step.encode_fill(fill)
    itemsize = 1 if data_type.is_variable else data_type.itemsize
    steps = [_build_step(step, itemsize) for step in chain.steps]
    serializer = _build_serializer(chain, data_type, shape, fill)
    largest: int | None = 2 * prod(shape) * data_type.itemsize + _SLACK
    if isinstance(chain.serializer, Sharding):
        # Gaps are legal, so this is no bound of the format; four times all chunks is generous.
        inner = chain.serializer.chunk_shape or shape
        count = prod(n // m for n, m in zip(shape, inner, strict=True))
        form = largest_form(chain, data_type, shape) if not chain.filters else 0
        largest = 4 * (max(form, prod(shape) * data_type.itemsize) + (_SLACK + 16) * count)
    return ChainCodec(arrays, serializer, steps, None if data_type.is_variable else largest)


def _build_serializer(
    chain: Chain, data_type: DataType, shape: tuple[int, ...], fill: Array
) -> ArrayCodec:
    """What makes bytes of what the filters give, whole elements."""
    numpy_dtype = data_type.whole_dtype
    match chain.serializer:
        case VlenUtf8():
            return VlenCodec(shape, str)
        case VlenBytes():
            return VlenCodec(shape, bytes)
        case Packbits() as packbits:
            width = bits_of(numpy_dtype) or 8
            return PackbitsCodec(
                shape,
                numpy_dtype,
                first_bit=packbits.first_bit or 0,
                last_bit=width - 1 if packbits.last_bit is None else packbits.last_bit,
                padding_encoding=packbits.padding_encoding or "none",
            )
        case FromNumcodecs() as numcodec:
            return NumcodecsSerializer(numcodec.spec, shape, numpy_dtype)
        case FromUser() as user:
            return UserSerializer(user.codec, shape, numpy_dtype)
        case Sharding() as sharding if data_type.inner is None:
            return _build_sharding(sharding, data_type, shape, fill)[0]
        case Sharding() as sharding:
            vector = np.frombuffer(fill.tobytes(), data_type.element.numpy_dtype)
            sharded, _ = _build_sharding(sharding, data_type, shape, vector)
            return ChainCodec([_split(shape, data_type)], sharded, (), 2**62)
    swapped = data_type.has_byte_order and _is_swapped(chain)
    return PackedCodec(shape, numpy_dtype, swapped=swapped)


def _split(shape: tuple[int, ...], data_type: DataType) -> ArrayStep:
    assert data_type.inner is not None
    return SplitStep(JoinStep((*shape, data_type.inner), data_type.element.numpy_dtype))


class SplitStep(ArrayStep):
    """The inverse of a `JoinStep`."""

    def __init__(self, join: JoinStep) -> None:
        self.shape, self.dtype = join.encoded_shape, join.encoded_dtype
        self.encoded_shape, self.encoded_dtype = join.shape, join.dtype
        self._join = join

    def encode(self, chunk: Array) -> Array:
        return self._join.decode(chunk)

    def decode(self, chunk: Array) -> Array:
        return self._join.encode(chunk)


def _build_step(step: Step, itemsize: int) -> BytesCodec:
    match step:
        case Gzip():
            return GzipCodec(level=6 if step.level is None else step.level)
        case Zstd():
            return ZstdCodec(level=step.level or 0, checksum=bool(step.checksum))
        case Blosc():
            return BloscCodec(
                cname=step.cname or "lz4",
                clevel=5 if step.clevel is None else step.clevel,
                shuffle=SHUFFLES.index(step.shuffle or "noshuffle"),
                typesize=step.typesize or itemsize,
                blocksize=step.blocksize or 0,
            )
        case Crc32c():
            return Crc32cCodec()
        case FromNumcodecs():
            return build_step(step.spec, itemsize)
        case FromUser():
            return build_user_codec(step.codec)


def _build_sharding(
    codec: Sharding, data_type: DataType, shape: tuple[int, ...], fill_value: Array
) -> tuple[ShardedCodec, ZarrShardLayout]:
    assert codec.chunk_shape is not None
    assert codec.codecs is not None
    assert codec.index_codecs is not None
    inner, nested = build(codec.codecs, data_type, codec.chunk_shape, fill_value)
    shape = (*shape, *data_type.hidden_shape)
    grid = tuple(n // m for n, m in zip(shape, inner.shape, strict=True))
    index_shape = (*(n // m for n, m in zip(shape, codec.chunk_shape, strict=False)), 2)
    index_codec = PackedCodec(
        index_shape,
        INDEX_TYPE.whole_dtype,
        order=_composed(codec.index_codecs.transposes, len(index_shape)),
        swapped=_is_swapped(codec.index_codecs),
        steps=[_build_step(step, INDEX_TYPE.itemsize) for step in codec.index_codecs.steps],
    )
    at_end = codec.index_location != "start"
    layout = ZarrShardLayout(inner, grid, index_codec, index_at_end=at_end)
    whole = ShardedCodec(shape, data_type.element.numpy_dtype, fill_value, layout)
    if nested is not None:
        finer = tuple(n * m for n, m in zip(grid, nested.grid, strict=True))
        layout = ZarrShardLayout(
            nested.inner, finer, index_codec, index_at_end=at_end, nested=nested
        )
    return whole, layout
