"""A shrink that is still deleting takes nothing that was written after the array grew again."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition


async def made(folder, **options) -> ts.TensorStore:
    return await ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{folder}/"}},
        create=True,
        open=True,
        dtype="int32",
        **options,
    )


async def test_what_is_written_after_growing_again_stays(tmp_path) -> None:
    one = await made(tmp_path, shape=[200], chunk_layout=ts.ChunkLayout(chunk_shape=[1]))
    other = await made(tmp_path)
    for turn in range(1, 4):
        await one.write(turn)
        shrinking = asyncio.ensure_future(one.resize(exclusive_max=[10]))
        while (await other.resolve()).shape != (10,):
            pass
        larger = await (await other.resolve()).resize(exclusive_max=[200])
        await larger[10:].write(100 + turn)
        await shrinking
        assert (await (await other.resolve())[10:].read() == 100 + turn).all()


async def test_views_without_elements(tmp_path) -> None:
    none = np.zeros(0, bool)
    store = await made(tmp_path, shape=[0, 3])
    assert (await store.oindex[none].read()).shape == (0, 3)
    found = await store.vindex[np.zeros(0, int), np.zeros(0, int)].read()
    assert found.shape == (0,)
    await store.oindex[none].write(1)


@pytest.mark.parametrize("source", [4, 0])
async def test_a_pipe_in_the_place_of_a_chunk_is_refused(tmp_path, source: int) -> None:
    store = await made(tmp_path, shape=[10])
    os.mkdir(tmp_path / "c")
    os.mkfifo(tmp_path / "c" / "0")
    with pytest.raises(FailedPrecondition, match="pipe"):
        await store[0].write(source, timeout=60)
    with pytest.raises(FailedPrecondition, match="pipe"):
        await store.write(source + 1, timeout=60)
