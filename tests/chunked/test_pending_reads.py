"""What a read that waits consists of: the garbage collector looks at all of it, again and again."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

import asynctensor as ts

SPEC: dict[str, Any] = {
    "driver": "zarr3",
    "kvstore": {"driver": "memory"},
    "metadata": {
        "shape": [64, 64, 64],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [16, 16, 16]}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    },
}
READS = 200


async def test_a_pending_read_is_few_objects() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 1 << 20}})
    array = await ts.open(SPEC, create=True, context=context)
    boxes = [tuple(slice(i * k % 64, i * k % 64 + 8) for k in (8, 16, 24)) for i in range(READS)]
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        reads = [array[box].read() for box in boxes]
        # 42 where each read has all of its plan to itself.
        assert len(gc.get_objects()) - before < 20 * READS
    finally:
        gc.enable()
    for read in reads:
        assert not (await read).any()


async def test_reads_that_share_edges_give_each_its_own() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 1 << 20}})
    array = await ts.open(SPEC, create=True, context=context)
    data = np.arange(64**3, dtype=np.uint16).reshape(64, 64, 64)
    await array.write(data)
    corners = [(a, b, c) for a in (0, 5, 40) for b in (0, 5, 40) for c in (0, 5, 40)]
    boxes = [tuple(slice(i, i + 9) for i in corner) for corner in corners]
    reads = [array[box].read() for box in boxes]
    for box, read in zip(boxes, reads, strict=True):
        np.testing.assert_array_equal(await read, data[box])
    # The same boxes, from another origin.
    moved = array.translate_by[3, 3, 3]
    for box in boxes:
        there = tuple(slice(s.start + 3, s.stop + 3) for s in box)
        np.testing.assert_array_equal(await moved[there].read(), data[box])
