"""From what a list of codecs says to the codec that does it."""

from __future__ import annotations

import sys
from math import prod

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.compression.blosc import SHUFFLES, BloscCodec
from asynctensor.chunked.compression.codec import BytesCodec
from asynctensor.chunked.compression.crc32c import Crc32cCodec
from asynctensor.chunked.compression.deflate import GzipCodec
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.compression.zstd import ZstdCodec
from asynctensor.chunked.format import ShardLayout
from asynctensor.drivers.zarr3.codecs import (
    Blosc,
    Bytes,
    Chain,
    Crc32c,
    Gzip,
    Sharding,
    Transpose,
    Zstd,
    axes_of,
)
from asynctensor.drivers.zarr3.data_types import DataType
from asynctensor.drivers.zarr3.sharding import ShardedCodec, ZarrShardLayout
from asynctensor.errors import InvalidArgument
from asynctensor.storage.kvstore import Buffer

_INDEX_TYPE = np.dtype(np.uint64)
#: What TensorStore writes, and the specification recommends.
_INDEX_CODECS = Chain((), Bytes("little"), (Crc32c(),))


def resolve(
    chain: Chain,
    itemsize: int,
    has_byte_order: bool,
    shape: tuple[int, ...],
    *,
    where: str = "codecs",
    stored: bool,
) -> Chain:
    """The chain with nothing left open, checked against the chunk that it encodes.

    Args:
        chain: What is said.
        itemsize: Bytes of one element.
        has_byte_order: Whether elements have one.
        shape: Shape of the chunk.
        where: Path of the list, for errors.
        stored: Whether it is from a stored document, which must say all that decoding needs.

    Raises:
        InvalidArgument: It does not fit the chunk, or leaves out what it must say.
    """
    transposes = []
    for transpose in chain.transposes:
        order = axes_of(transpose, len(shape), where)
        transposes.append(Transpose(order))
        shape = tuple(shape[axis] for axis in order)
    serializer = chain.serializer
    if serializer is None:
        if stored:
            raise InvalidArgument(f'member "{where}": expected a codec from array to bytes')
        serializer = Bytes()
    if isinstance(serializer, Bytes):
        if not has_byte_order:
            serializer = Bytes()
        elif serializer.endian is None:
            if stored:
                raise InvalidArgument(
                    f'member "{where}": the codec "bytes" must say "endian" for this data type'
                )
            serializer = Bytes("little")
    else:
        serializer = _resolve_sharding(
            serializer, itemsize, has_byte_order, shape, where=where, stored=stored
        )
    steps = tuple(_resolve_step(step, itemsize) for step in chain.steps)
    return Chain(tuple(transposes), serializer, steps)


def _resolve_step(
    step: Gzip | Blosc | Zstd | Crc32c, itemsize: int
) -> Gzip | Blosc | Zstd | Crc32c:
    # The defaults are TensorStore's.
    match step:
        case Gzip(level=None):
            return Gzip(6)
        case Zstd():
            return Zstd(3 if step.level is None else step.level, bool(step.checksum))
        case Blosc():
            shuffle = step.shuffle or ("bitshuffle" if itemsize == 1 else "shuffle")
            typesize = step.typesize
            if typesize is None and shuffle != "noshuffle":
                typesize = itemsize
            return Blosc(
                step.cname or "lz4",
                5 if step.clevel is None else step.clevel,
                shuffle,
                typesize,
                step.blocksize or 0,
            )
    return step


def _resolve_sharding(
    codec: Sharding,
    itemsize: int,
    has_byte_order: bool,
    shape: tuple[int, ...],
    *,
    where: str,
    stored: bool,
) -> Sharding:
    if stored and (codec.chunk_shape is None or not codec.codecs or not codec.index_codecs):
        raise InvalidArgument(
            f'member "{where}": the codec "sharding_indexed" must say "chunk_shape", "codecs" and '
            '"index_codecs"'
        )
    inner = codec.chunk_shape if codec.chunk_shape is not None else shape
    if len(inner) != len(shape) or any(n % m for n, m in zip(shape, inner, strict=True)):
        raise InvalidArgument(
            f'member "{where}": the inner chunk shape {list(inner)} does not divide the shard '
            f"shape {list(shape)}"
        )
    grid = tuple(n // m for n, m in zip(shape, inner, strict=True))
    index_codecs = resolve(
        codec.index_codecs or _INDEX_CODECS,
        _INDEX_TYPE.itemsize,
        True,
        (*grid, 2),
        where=f"{where}.index_codecs",
        stored=stored,
    )
    plain = isinstance(index_codecs.serializer, Bytes)
    if not plain or not all(isinstance(step, Crc32c) for step in index_codecs.steps):
        raise InvalidArgument(
            f'member "{where}.index_codecs": expected only codecs that keep the size of the index'
        )
    codecs = resolve(
        codec.codecs or Chain(),
        itemsize,
        has_byte_order,
        inner,
        where=f"{where}.codecs",
        stored=stored,
    )
    return Sharding(inner, codecs, index_codecs, codec.index_location or "end")


def build(
    chain: Chain, data_type: DataType, shape: tuple[int, ...], fill_value: Array
) -> tuple[ArrayCodec, ShardLayout | None]:
    """The codec of chunks of `shape` (without hidden dimensions), and how to read parts of them.

    Args:
        chain: From `resolve`.
        data_type: The data type.
        shape: Shape of a chunk in zarr's dimensions.
        fill_value: 0-dimensional.

    Returns:
        The codec, and the layout of shards where they can be read in parts, else None.
    """
    shape = (*shape, *data_type.hidden_shape)
    order = _composed(chain.transposes, len(shape))
    steps = [_build_step(step, data_type.itemsize) for step in chain.steps]
    if not isinstance(chain.serializer, Sharding):
        swapped = data_type.has_byte_order and _is_swapped(chain)
        dtype = data_type.element.numpy_dtype
        return PackedCodec(shape, dtype, order=order, swapped=swapped, steps=steps), None
    stored_shape = tuple(shape[axis] for axis in order)
    sharded, layout, largest = _build_sharding(
        chain.serializer, data_type, stored_shape, fill_value
    )
    if not steps and order == tuple(range(len(shape))):
        return sharded, layout
    return WrappedCodec(sharded, order, steps, largest), None


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


def _build_step(step: Gzip | Blosc | Zstd | Crc32c, itemsize: int) -> BytesCodec:
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


def _build_sharding(
    codec: Sharding, data_type: DataType, shape: tuple[int, ...], fill_value: Array
) -> tuple[ShardedCodec, ZarrShardLayout, int]:
    assert codec.chunk_shape is not None
    assert codec.codecs is not None
    assert codec.index_codecs is not None
    inner, _ = build(codec.codecs, data_type, codec.chunk_shape, fill_value)
    grid = tuple(n // m for n, m in zip(shape, inner.shape, strict=True))
    index_shape = (*(n // m for n, m in zip(shape, codec.chunk_shape, strict=False)), 2)
    index_codec = PackedCodec(
        index_shape,
        _INDEX_TYPE,
        order=_composed(codec.index_codecs.transposes, len(index_shape)),
        swapped=_is_swapped(codec.index_codecs),
        steps=[_build_step(step, _INDEX_TYPE.itemsize) for step in codec.index_codecs.steps],
    )
    layout = ZarrShardLayout(inner, grid, index_codec, index_at_end=codec.index_location != "start")
    dtype = data_type.element.numpy_dtype
    # Gaps are legal, so this is no bound of the format; four times all chunks is generous.
    largest = 4 * (layout.index_size + prod(shape) * dtype.itemsize + 4096 * prod(grid))
    return ShardedCodec(shape, dtype, fill_value, layout), layout, largest


class WrappedCodec(ArrayCodec):
    """A shard inside other codecs, which make it readable only as a whole."""

    def __init__(
        self, inner: ArrayCodec, order: tuple[int, ...], steps: list[BytesCodec], largest: int
    ) -> None:
        self._inner = inner
        self._order = order
        self._inverse = np.argsort(order)
        self._steps = steps
        self._limits = [largest]
        for step in steps:
            self._limits.append(step.largest_encoding(self._limits[-1]))
        self.shape = tuple(inner.shape[axis] for axis in self._inverse)
        self.dtype = inner.dtype

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        for step, limit in zip(reversed(self._steps), reversed(self._limits[:-1]), strict=True):
            data = step.decode(data, limit)
        found = self._inner.decode(data).transpose(self._inverse)
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def encode(self, chunk: Array) -> Buffer:
        data = self._inner.encode(chunk.transpose(self._order))
        for step in self._steps:
            data = step.encode(data)
        return data
