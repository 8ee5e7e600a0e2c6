"""What a stored value becomes by writing parts of its chunk: plain functions over bytes.

A *patch* is somebody's data for one chunk: the data of a whole view, and the view's cell there.
Patches are applied in order, so that of two the later one stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeAlias

import numpy as np

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.codec import Array, ArrayCodec, Encoding
from asynctensor.chunked.compression.packed import bytes_of
from asynctensor.chunked.fill import begin_with_fill, is_fill
from asynctensor.chunked.format import ShardLayout
from asynctensor.chunked.grid import Cell, Partition
from asynctensor.chunked.rows import copy_rows
from asynctensor.chunked.scratch import new_encoding
from asynctensor.chunked.shard_index import IndexPlace, find
from asynctensor.chunked.shard_read import inner_parts, parts_in
from asynctensor.chunked.tiles import Tile, ragged, tile_limit, tiles
from asynctensor.storage.kvstore import Buffer

#: Data of a view's shape, its chunks, and the one chunk that it is about.
Patch: TypeAlias = tuple[Array, Partition, Cell]


def covers(patches: Sequence[Patch]) -> bool:
    """Whether some patch replaces the whole chunk, so that its old content does not matter."""
    return any(partition.is_full(cell) for _, partition, cell in patches)


def apply(patches: Sequence[Patch], chunk: Array) -> None:
    """Applies patches to a decoded chunk."""
    for data, partition, cell in patches:
        partition.scatter(data, chunk, cell)


def updated_value(
    array: ChunkedArray,
    index: tuple[int, ...],
    patches: Sequence[Patch],
    current: Buffer | None,
    done: ChunkStatistics,
) -> Buffer | tuple[Buffer, ...] | None:
    """The value to store at `index` after `patches`.

    Args:
        array: The array; the calling thread's buffers are used.
        index: Grid position of the chunk.
        patches: What to write.
        current: What is stored now; None if nothing is, or if it does not matter.
        done: Counts what was done.

    Returns:
        The new value, perhaps in pieces, which may be views of a patch's data or of `current`;
        None if nothing is to be stored.

    Raises:
        DataLoss: `current` is damaged. Patches that cover the chunk do not look at it.
    """
    patches = _from_last_cover(patches)
    if array.layout.shard is not None:
        return _updated_shard(array, index, patches, current, done)
    return _updated_chunk(array, array.layout.codec, patches, current, done)


def chunk_of(array: ChunkedArray, current: Buffer | None) -> Array:
    """A fresh decoded chunk of what is stored (None: fill values)."""
    codec = array.layout.codec
    chunk: Array = np.empty(codec.shape, codec.dtype)
    if current is None:
        chunk[...] = array.layout.fill_value
    else:
        codec.decode(current, chunk)
    return chunk


def encode_chunk(array: ChunkedArray, chunk: Array, done: ChunkStatistics) -> Buffer | None:
    """The value to store for a whole decoded chunk; None if nothing is to be stored."""
    return _encoded(array, array.layout.codec, chunk, done, borrowed=False)


def _from_last_cover(patches: Sequence[Patch]) -> Sequence[Patch]:
    for i in range(len(patches) - 1, 0, -1):
        if patches[i][1].is_full(patches[i][2]):
            return patches[i:]
    return patches


def _updated_chunk(
    array: ChunkedArray,
    codec: ArrayCodec,
    patches: Sequence[Patch],
    current: Buffer | None,
    done: ChunkStatistics,
) -> Buffer | None:
    chunk = _direct(codec, patches)
    borrowed = False
    if chunk is None:
        # An encoding may be a view of the chunk: only memory of its own may be kept.
        borrowed = not codec.is_identity
        chunk = (
            array.scratch.decoded(codec.shape, codec.dtype)
            if borrowed
            else new_encoding(codec.shape, codec.dtype)
        )
        if not covers(patches[:1]):
            if current is None:
                chunk[...] = array.layout.fill_value
            else:
                codec.decode(current, chunk)
                done.chunks_decoded += 1
        apply(patches, chunk)
    return _encoded(array, codec, chunk, done, borrowed=borrowed)


def _encoded(
    array: ChunkedArray,
    codec: ArrayCodec,
    chunk: Array,
    done: ChunkStatistics,
    *,
    borrowed: bool,
) -> Buffer | None:
    """A chunk's encoding, None if it is not to be stored; a copy if its memory is `borrowed`."""
    if not array.options.store_data_equal_to_fill_value and is_fill(chunk, array.layout.fill_value):
        return None
    done.chunks_encoded += 1
    return codec.encode_apart(chunk) if borrowed else codec.encode(chunk)


def _direct(codec: ArrayCodec, patches: Sequence[Patch]) -> Array | None:
    """The part of the one patch's data that is the chunk as it stands."""
    if len(patches) != 1:
        return None
    data, partition, cell = patches[0]
    if not partition.keeps_order or not partition.is_whole(cell, codec.shape):
        return None
    part = partition.view_part(data, cell)
    if part is None or part.dtype != codec.dtype:
        return None
    # Codecs want one block of memory.
    return part if part.flags.c_contiguous else None


def _updated_shard(
    array: ChunkedArray,
    index: tuple[int, ...],
    patches: Sequence[Patch],
    current: Buffer | None,
    done: ChunkStatistics,
) -> tuple[Buffer, ...] | None:
    shard = array.layout.shard
    assert shard is not None
    if covers(patches[:1]):
        current = None
    stored: list[Buffer | None] = [None] * math.prod(shard.grid)
    boxes, items = _split(array, patches)
    kept: dict[int, Buffer | None] = {}
    if current is not None:
        numbers = [tile.numbers(shard.grid) for tile in boxes]
        stored, kept = _stored_pieces(shard, current, chain(items, *numbers))
    pieces: list[Encoding | None] = [*stored]
    for tile in boxes:
        _encode_tile(array, patches[0][0], tile, pieces, done)
    for inner, parts in items.items():
        pieces[inner] = _updated_chunk(array, shard.inner, parts, stored[inner], done)
    if all(piece is None for piece in (*pieces, *kept.values())):
        return None
    return tuple(shard.encode(pieces, kept))


def _split(
    array: ChunkedArray, patches: Sequence[Patch]
) -> tuple[list[Tile], dict[int, list[Patch]]]:
    """The inner chunks that a single patch wholly replaces, in boxes; patches of all others."""
    shard = array.layout.shard
    assert shard is not None
    if len(patches) != 1:
        return [], inner_parts(shard, patches)
    data, partition, cell = patches[0]
    codec = shard.inner
    finer = partition.finer(cell, codec.shape)
    limit = tile_limit(math.prod(codec.shape) * codec.dtype.itemsize)
    return list(tiles(finer, limit)), parts_in(shard, data, finer, ragged(finer))


def _encode_tile(
    array: ChunkedArray,
    data: Array,
    tile: Tile,
    pieces: list[Encoding | None],
    done: ChunkStatistics,
) -> None:
    """Encodes inner chunks that are wholly replaced."""
    shard = array.layout.shard
    assert shard is not None
    codec = shard.inner
    chunks = array.scratch.decoded((tile.count, *codec.shape), codec.dtype)
    region = tile.region(data)
    copy_rows(chunks.reshape(region.shape), region)
    encoded = encode_chunks(array, codec, chunks, done, borrowed=True)
    for inner, encoding in zip(tile.numbers(shard.grid), encoded, strict=True):
        pieces[inner] = encoding


def encode_chunks(
    array: ChunkedArray, codec: ArrayCodec, chunks: Array, done: ChunkStatistics, *, borrowed: bool
) -> Sequence[Encoding | None]:
    """The encodings of whole chunks that lie one behind the other.

    Args:
        array: The array.
        codec: Codec of one of them.
        chunks: C-contiguous, one along the first axis.
        done: Counts what was done.
        borrowed: Whether their memory will be used for something else.

    Returns:
        For each its encoding, None if it is not to be stored; views of `chunks` perhaps, unless
        that is `borrowed`.
    """
    # One comparison for all: hardly any chunk begins with the fill value.
    if not any(begin_with_fill(chunks, array.layout.fill_value)):
        done.chunks_encoded += len(chunks)
        if codec.is_identity and not borrowed:
            size = chunks[0].nbytes
            flat = bytes_of(chunks)
            return [flat[start : start + size] for start in range(0, len(flat), size)]
        return codec.encode_each(chunks)
    return [_encoded(array, codec, chunk, done, borrowed=borrowed) for chunk in chunks]


def _stored_pieces(
    shard: ShardLayout, current: Buffer, changed: Iterable[int]
) -> tuple[list[Buffer | None], dict[int, Buffer | None]]:
    """What is in a stored shard.

    Args:
        shard: The layout.
        current: The shard.
        changed: The inner chunks that are going to be.

    Returns:
        The encoded inner chunks, None for the empty ones; and the shards within none of whose
        chunks are changed, by number, which are not looked into.
    """
    view = memoryview(current).cast("B")
    outer = IndexPlace(shard, 0, len(view), None)

    def decoded(place: IndexPlace) -> Array:
        start, stop = place.span
        return place.layout.decode_index(view[start:stop], place.size)

    wanted: Array = np.arange(math.prod(shard.grid))
    kept: dict[int, Buffer | None] = {}
    if shard.nested is not None:
        touched = np.unique(shard.split(np.fromiter(changed, np.int64))[0])
        for number, (offset, length) in enumerate(decoded(outer).tolist()):
            kept[number] = None if offset < 0 else view[offset : offset + length]
        for number in touched.tolist():
            del kept[number]
        wanted = wanted[np.isin(shard.split(wanted)[0], touched)]
    pieces: list[Buffer | None] = [None] * math.prod(shard.grid)
    for offset, length, inner in find(shard, len(view), wanted.tolist(), decoded).places:
        pieces[inner] = view[offset : offset + length]
    return pieces, kept
