"""Large memory is used again once nobody refers to it, and never before."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.chunked.scratch import new_output
from asynctensor.runtime import reused_memory
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.process import PROCESS
from asynctensor.runtime.reused_memory import Purpose

SIZE = 1 << 20
#: Elsewhere all is left to malloc.
REUSES = sys.platform == "linux"


@pytest.fixture
def purpose() -> Iterator[Purpose]:
    made = Purpose("memory of a test", SIZE // 2, 4 * SIZE, is_offered=True, is_huge=True)
    yield made
    PROCESS.shared.pop(made.name, None)


async def running() -> None:
    """Has the I/O loop started: without it nothing is kept."""


def place(memory: np.ndarray) -> int:
    found: int = memory.__array_interface__["data"][0]
    return found


def lent(size: int, purpose: Purpose) -> np.ndarray:
    memory = reused_memory.reused_memory(size, purpose)
    assert memory is not None
    return memory


if REUSES:

    async def test_what_nobody_refers_to_is_used_again(purpose) -> None:
        await start(running)
        first = lent(SIZE, purpose)
        first[:] = 7
        at = place(first)
        del first
        second = lent(SIZE - 100, purpose)
        assert (place(second), len(second)) == (at, SIZE - 100)

    @pytest.mark.parametrize(
        "kept",
        [
            lambda m: m,
            lambda m: m[10:20],
            lambda m: m.view(np.uint16).reshape(2, -1)[1, ::2],
            memoryview,
            lambda m: np.frombuffer(m.data[5:9], np.uint8),
            lambda m: m.base,
        ],
    )
    async def test_what_somebody_refers_to_is_not(purpose, kept) -> None:
        await start(running)
        first = lent(SIZE, purpose)
        first[:] = 7
        at, left = place(first), kept(first)
        del first
        second = lent(SIZE, purpose)
        assert place(second) != at
        second[:] = 9
        assert np.isin(np.asarray(left), (7, 0x0707)).all()

    async def test_other_sizes_are_not_served_by_it(purpose) -> None:
        await start(running)
        at = place(lent(SIZE, purpose))
        assert place(lent(2 * SIZE, purpose)) != at
        assert reused_memory.reused_memory(SIZE // 2 - 1, purpose) is None

    async def test_no_more_is_kept_than_allowed_and_not_for_ever(purpose, monkeypatch) -> None:
        monkeypatch.setattr(reused_memory, "KEPT", 0.01)
        await start(running)
        memories = [lent(SIZE, purpose) for _ in range(10)]
        kept = PROCESS.shared[purpose.name]
        memories.clear()
        assert len(kept.blocks) <= 4

        async def swept() -> None:
            while kept.blocks:  # noqa: ASYNC110 -- a timer of this loop empties it
                await asyncio.sleep(0)

        await start(swept)

    async def test_an_output_that_is_read_again_has_the_same_place() -> None:
        await start(running)
        layout = ts.ChunkLayout(chunk_shape=[1 << 20])
        spec = {"driver": "zarr3", "kvstore": "memory://"}
        array = await ts.open(
            spec, create=True, dtype="uint8", shape=[8 << 20], chunk_layout=layout
        )
        places = set()
        for _ in range(12):
            places.add(place(await array.read()))
        assert len(places) <= 3


def test_an_output_is_aligned_and_writable() -> None:
    for order in "CF":
        memory = new_output((1024, 3000), np.dtype("int16"), order)
        assert memory.flags[f"{order}_CONTIGUOUS"]
        assert memory.flags.writeable
        assert place(memory) % 64 == 0
