"""A whole shard is forgotten by the cache when its chunk is deleted by a resize."""

from __future__ import annotations

import asynctensor as ts


async def test_what_a_resize_deletes_is_not_read_from_the_cache() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**7}})
    store = await ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "memory"}, "recheck_cached_data": False},
        context=context,
        create=True,
        dtype="uint8",
        shape=[64],
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[16], read_chunk_shape=[4]),
    )
    await store.write(9)
    assert (await store.read() == 9).all()
    smaller = await store.resize(exclusive_max=[16])
    larger = await smaller.resize(exclusive_max=[64])
    found = await larger.read()
    assert (found[:16] == 9).all()
    assert (found[16:] == 0).all()
