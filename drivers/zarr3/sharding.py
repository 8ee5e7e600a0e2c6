"""Shards: the codec ``sharding_indexed``.

A shard is its encoded inner chunks, in any order and with any gaps, and an index at its end or
start: an array of uint64 of shape ``grid + (2,)``, rows (offset, length) in C order of the grid,
both 2^64 - 1 where the inner chunk is empty; encoded by codecs of its own, which keep its size.
Source: ZEP 2, and zarr v3 "sharding_indexed codec (version 1.0)".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np

from asynctensor.chunked.codec import Array, ArrayCodec, Encoding
from asynctensor.chunked.compression.codec import allocate
from asynctensor.chunked.compression.packed import PackedCodec
from asynctensor.chunked.fill import is_fill
from asynctensor.chunked.format import ShardLayout
from asynctensor.errors import DataLoss
from asynctensor.storage.kvstore import Buffer

_EMPTY = 2**64 - 1
_ROW = 16


class ZarrShardLayout(ShardLayout):
    """The layout of one array's shards.

    Args:
        inner: Codec of one inner chunk.
        grid: Inner chunks along each dimension.
        nested: The layout of shards within; `inner` and `grid` are of their inner chunks.
        index_codec: Codec of the index, an array of rank ``rank of zarr + 1``; its size is fixed.
        index_at_end: Where the index is.
    """

    def __init__(
        self,
        inner: ArrayCodec,
        grid: tuple[int, ...],
        index_codec: PackedCodec,
        *,
        index_at_end: bool,
        nested: ShardLayout | None = None,
    ) -> None:
        self.inner = inner
        self.grid = grid
        self.nested = nested
        self.index_at_end = index_at_end
        self._index_codec = index_codec
        self.index_size = index_codec.encoded_size or 0

    def decode_index(self, data: Buffer, shard_size: int) -> Array:
        rows = self._index_codec.decode(data).reshape(-1, 2)
        offsets, lengths = rows[:, 0], rows[:, 1]
        empty = (offsets == _EMPTY) & (lengths == _EMPTY)
        size = np.uint64(shard_size)
        # In this order nothing overflows: the difference is taken only where offset <= size.
        inside = (offsets <= size) & (lengths <= size - np.minimum(offsets, size))
        wrong = ~(inside | empty)
        if wrong.any():
            raise self._out_of_bounds(rows, int(np.argmax(wrong)), shard_size)
        # Wraps both empty marks to -1.
        index = rows.astype(np.int64)
        index[empty, 1] = 0
        return index

    def _out_of_bounds(self, rows: Array, row: int, shard_size: int) -> DataLoss:
        grid = self.index_grid
        cell = tuple(int(i) for i in np.unravel_index(row, grid)) if grid else ()
        return DataLoss(
            f"the shard index says that inner chunk {cell} is {int(rows[row, 1])} bytes at "
            f"{int(rows[row, 0])}, but the shard has {shard_size} bytes"
        )

    def encode(
        self, inner: Sequence[Encoding | None], kept: Mapping[int, Buffer | None] | None = None
    ) -> list[Buffer]:
        if self.nested is not None:
            inner = self._joined(self.nested, inner, kept or {})
        rows = np.full((len(inner), 2), _EMPTY, np.uint64)
        pieces: list[Buffer] = []
        present: list[int] = []
        sizes: list[int] = []
        for i, encoding in enumerate(inner):
            if encoding is not None:
                present.append(i)
                parts = encoding if isinstance(encoding, tuple) else (encoding,)
                sizes.append(sum([len(part) for part in parts]))
                pieces += parts
        if present:
            lengths = np.array(sizes, np.uint64)
            start = 0 if self.index_at_end else self.index_size
            rows[present, 1] = lengths
            rows[present, 0] = np.cumsum(lengths) - lengths + np.uint64(start)
        index = self._index_codec.encode(rows.reshape(self._index_codec.shape))
        return [*pieces, index] if self.index_at_end else [index, *pieces]

    def _joined(
        self,
        nested: ShardLayout,
        inner: Sequence[Encoding | None],
        kept: Mapping[int, Buffer | None],
    ) -> list[Buffer | None]:
        """The shards within, for what is in them."""
        outer, within = self.split(np.arange(len(inner)))
        count = prod(self.index_grid)
        places = np.empty((count, prod(nested.grid)), np.int64)
        places[outer, within] = np.arange(len(inner))
        found: list[Buffer | None] = []
        for number in range(count):
            if number in kept:
                found.append(kept[number])
                continue
            pieces = [inner[place] for place in places[number].tolist()]
            empty = all(piece is None for piece in pieces)
            found.append(None if empty else b"".join(nested.encode(pieces)))
        return found


class ShardedCodec(ArrayCodec):
    """A shard decoded and encoded as a whole.

    Args:
        shape: Shape of the shard, a multiple of the inner chunks'.
        dtype: The native-endian data type.
        fill_value: What empty inner chunks hold; 0-dimensional, or a vector along the last axis.
        layout: Where the inner chunks are.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        fill_value: Array,
        layout: ShardLayout,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._fill_value = fill_value
        self._layout = layout

    def decode(self, data: Buffer, out: Array | None = None) -> Array:
        layout = self._layout
        view = memoryview(data)
        if len(view) < layout.index_size:
            raise DataLoss(
                f"the shard has {len(view)} bytes, its index alone takes {layout.index_size}"
            )
        at = len(view) - layout.index_size if layout.index_at_end else 0
        index = layout.decode_index(view[at : at + layout.index_size], len(view)).tolist()
        target = allocate(self.shape, self.dtype) if out is None else out
        for (offset, length), region in zip(index, self._regions(target), strict=True):
            if offset < 0:
                region[...] = self._fill_value
            elif region.flags.c_contiguous:
                layout.inner.decode(view[offset : offset + length], region)
            else:
                np.copyto(region, layout.inner.decode(view[offset : offset + length]))
        return target

    def encode(self, chunk: Array) -> Buffer:
        pieces = [
            None if is_fill(region, self._fill_value) else self._layout.inner.encode(region)
            for region in self._regions(chunk)
        ]
        return b"".join(self._layout.encode(pieces))

    def _regions(self, chunk: Array) -> Iterator[Array]:
        shape = self._layout.inner.shape
        for cell in np.ndindex(*self._layout.grid):
            yield chunk[
                tuple(slice(i * n, (i + 1) * n) for i, n in zip(cell, shape, strict=True)) or ...
            ]
