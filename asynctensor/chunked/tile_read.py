"""Reading whole chunks in tiles, on a worker thread.

Nothing here reports an error: a chunk that is not there plainly, or does not decode, is left over,
and whoever serves chunks one by one finds out what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from asynctensor.chunked.array import ChunkedArray, ChunkStatistics
from asynctensor.chunked.codec import Array, ArrayCodec
from asynctensor.chunked.plan import TileTask
from asynctensor.chunked.rows import copy_rows
from asynctensor.chunked.tiles import Tile
from asynctensor.chunked.values import HeldValue
from asynctensor.storage.kvstore import UNREAD, BlockingFace, Buffer, Unread

#: An encoded chunk may be so much longer than the chunk, and still be read in a tile.
_OVERHEAD = 4096
#: Encoded bytes read before they are decoded: what stays in a core's own cache beside the chunks.
_AT_ONCE = 512 * 1024


def read_tile(
    array: ChunkedArray, face: BlockingFace, task: TileTask, done: ChunkStatistics
) -> list[int]:
    """Reads a tile whose chunks are values of their own.

    Returns:
        Numbers of the chunks that are left over.
    """
    codec, tile = array.layout.codec, task.tile
    keys = [array.key(index) for index in tile.indices()]
    region, chunks, straight = _place(array, codec, task.request.data, tile)
    size = array.chunk_bytes + (0 if codec.is_identity else _OVERHEAD)
    step = tile.count if codec.is_identity else max(1, _AT_ONCE // size)
    left: list[int] = []
    with closing(face.group(keys)) as group:
        for start in range(0, tile.count, step):
            part = chunks[start : start + step]
            # Raw chunks are read to where they would be decoded to.
            place = part.reshape(-1).view(np.uint8).data if codec.is_identity else None
            buffer = array.scratch.encoded(len(part) * size) if place is None else place
            values = group.read(start, start + len(part), buffer, size)
            sizes = [len(v) for v in values if v is not None and v is not UNREAD]
            done.store_reads += len(sizes)
            done.bytes_read += sum(sizes)
            left += [start + k for k in _decode(array, codec, values, part, place, done)]
    if not straight:
        copy_rows(region, chunks.reshape(region.shape))
    return left


def decode_held(
    array: ChunkedArray, held: Sequence[HeldValue], task: TileTask, done: ChunkStatistics
) -> list[int]:
    """Decodes a tile whose chunks are values that were fetched already.

    Returns:
        Numbers of the chunks that are left over.
    """
    codec = array.layout.codec
    most = array.chunk_bytes + _OVERHEAD
    values: list[Buffer | None | Unread] = []
    for value in held:
        if value.missing:
            values.append(None)
        else:
            values.append(UNREAD if value.size > most else value.whole())
    region, chunks, straight = _place(array, codec, task.request.data, task.tile)
    left = _decode(array, codec, values, chunks, None, done)
    if not straight:
        copy_rows(region, chunks.reshape(region.shape))
    return left


def decode_tile(
    array: ChunkedArray,
    codec: ArrayCodec,
    values: Sequence[Buffer | None],
    data: Array,
    tile: Tile,
    done: ChunkStatistics,
) -> list[int]:
    """Decodes the chunks of a tile and copies them into a view's data.

    Args:
        array: The array.
        codec: Codec of a chunk.
        values: The chunks, encoded; None: fill values.
        data: The view's data.
        tile: Which chunks of the view they are.
        done: Counts what was done.

    Returns:
        Numbers of the chunks that are left over.
    """
    region, chunks, straight = _place(array, codec, data, tile)
    left = _decode(array, codec, values, chunks, None, done)
    if not straight:
        copy_rows(region, chunks.reshape(region.shape))
    return left


def _decode(
    array: ChunkedArray,
    codec: ArrayCodec,
    values: Sequence[Buffer | None | Unread],
    chunks: Array,
    place: memoryview | None,
    done: ChunkStatistics,
) -> list[int]:
    """Decodes values into `chunks`, where those that were read to `place` are already."""
    encoded = [v for v in values if v is not None and v is not UNREAD]
    if place is None and len(encoded) == len(values):
        left = codec.decode_each(encoded, chunks, array.scratch.lead)
        done.chunks_decoded += len(values) - len(left)
        return left
    left = []
    for k, value in enumerate(values):
        if value is UNREAD or (value is None and not array.options.fill_missing_data_reads):
            left.append(k)
        elif value is None:
            chunks[k] = array.layout.fill_value
        elif place is None or not _is_in(place, value, array.chunk_bytes):
            left += [k for _ in codec.decode_each([value], chunks[k : k + 1])]
    done.chunks_decoded += len(values) - len(left) - sum([value is None for value in values])
    return left


def _place(
    array: ChunkedArray, codec: ArrayCodec, data: Array, tile: Tile
) -> tuple[Array, Array, bool]:
    """Where a tile's chunks belong, where to decode them to, and whether that is the same."""
    region = tile.region(data)
    shape = (tile.count, *codec.shape)
    if region.flags.c_contiguous:
        return region, region.reshape(shape), True
    return region, array.scratch.decoded(shape, codec.dtype), False


def _is_in(buffer: memoryview, value: Buffer, size: int) -> bool:
    """Whether a value, all of it, was read to its place in `buffer`."""
    return isinstance(value, memoryview) and len(value) == size and value.obj is buffer.obj
