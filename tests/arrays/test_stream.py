"""`stream`: every block once, no more read than is wanted, and nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import DataLoss, InvalidArgument, PermissionDenied


def stored(shape, chunk, where: str = "memory://") -> at.TensorStore:
    layout = at.ChunkLayout(chunk_shape=chunk)
    spec = {"driver": "zarr3", "kvstore": where}
    made = at.open(spec, create=True, dtype="int32", shape=shape, chunk_layout=layout).result()
    made.write(np.arange(np.prod(shape), dtype="int32").reshape(shape)).result()
    return made


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=3), st.integers(0, 3))
def test_every_element_once_in_order(dims, ahead) -> None:
    shape, chunk = [n for n, _ in dims], [n for _, n in dims]
    store = stored(shape, chunk)
    expected = store.read().result()

    async def main() -> None:
        found = np.full(shape, -1, "int32")
        regions = []
        async for region, block in store.stream(ahead=ahead):
            assert (found[region] == -1).all()
            found[region] = block
            regions.append(region)
        assert (found == expected).all()
        assert regions == sorted(regions, key=lambda each: [part.start for part in each])

    asyncio.run(main())


async def test_views_and_their_regions() -> None:
    store = stored([40, 30], [7, 30])[3:33, ::2].translate_to[100, 0]
    found = np.zeros(store.shape, "int32")
    async for region, block in store.stream():
        assert (await store[region].read() == block).all()
        found[region[0].start - 100 : region[0].stop - 100, region[1]] = block
    assert (found == await store.read()).all()


async def test_who_is_slow_keeps_the_rest_from_being_read() -> None:
    edge = 1024
    store = stored([20 * edge, 4 * edge], [edge, edge])
    opened = await at.open(store.spec(), context=store.context)
    async with aclosing(opened.stream(ahead=1)) as blocks:
        region, _ = await anext(blocks)
        assert [part.stop for part in region] == [edge, 2 * edge]
        for _ in range(20):
            await asyncio.sleep(0)
        assert opened.statistics().chunks_decoded <= 4
    assert opened.statistics().chunks_decoded <= 4


async def test_damaged_blocks_come_in_their_place(tmp_path) -> None:
    edge = 2048
    store = stored([3 * edge, edge], [edge, edge], f"file://{tmp_path}/")
    (tmp_path / "c/1/0").write_bytes(b"?")
    blocks = store.stream(ahead=3)
    await anext(blocks)
    with pytest.raises(DataLoss, match="c/1/0"):
        await anext(blocks)


async def test_bad_input() -> None:
    store = stored([3], [3])
    for wrong in (-1, 1.5, "2"):
        with pytest.raises(InvalidArgument, match="ahead"):
            store.stream(ahead=wrong)
    spec = {"driver": "zarr3", "kvstore": "memory://w/"}
    blind = await at.open(spec, create=True, dtype="int8", shape=[1], write=True, read=False)
    with pytest.raises(PermissionDenied):
        blind.stream()
