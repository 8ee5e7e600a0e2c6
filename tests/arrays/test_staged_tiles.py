"""What a transaction writes to many whole chunks is staged as one, and shows nowhere."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts

SHAPE, CHUNK = (23, 18), (4, 3)
LITTLE: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
BLOSC: dict[str, Any] = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2},
}
INDEX = [LITTLE, {"name": "crc32c"}]
CODECS: dict[str, list[dict[str, Any]]] = {
    "raw": [LITTLE],
    "big": [{"name": "bytes", "configuration": {"endian": "big"}}],
    "blosc": [LITTLE, BLOSC],
    "transposed": [{"name": "transpose", "configuration": {"order": [1, 0]}}, LITTLE],
    "sharded": [
        {
            "name": "sharding_indexed",
            "configuration": {
                "chunk_shape": [2, 3], "codecs": [LITTLE, BLOSC], "index_codecs": INDEX,
            },
        }
    ],
}  # fmt: skip


async def made(codecs: str, context: ts.Context, **options: Any) -> ts.TensorStore:
    return await ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "memory", "path": "a/"},
         "metadata": {
             "shape": list(SHAPE), "data_type": "uint16", "codecs": CODECS[codecs],
             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(CHUNK)}},
         }, **options},
        context=context,
        create=True,
    )  # fmt: skip


@st.composite
def boxes(draw: st.DrawFn) -> tuple[slice, ...]:
    found = []
    for size, edge in zip(SHAPE, CHUNK, strict=True):
        # Half of the bounds are those of chunks.
        bound = st.integers(0, size // edge).map(lambda k, e=edge: k * e) | st.integers(0, size)
        low, high = sorted((draw(bound), draw(bound)))
        found.append(slice(low, high))
    return tuple(found)


WRITES = st.lists(st.tuples(boxes(), st.sampled_from((0, 1, 1, 1)), st.booleans()), max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    codecs=st.sampled_from(sorted(CODECS)),
    before=WRITES,
    writes=WRITES,
    order=st.sampled_from("CF"),
    fill=st.booleans(),
)
def test_transactions_against_numpy(
    codecs: str, before: list[Any], writes: list[Any], order: Any, fill: bool
) -> None:
    async def run() -> None:
        context = ts.Context()
        store = await made(codecs, context, store_data_equal_to_fill_value=fill)
        expected = np.zeros(SHAPE, np.uint16)
        serial = 0

        def data(box: tuple[slice, ...], factor: int) -> np.ndarray:
            nonlocal serial
            serial += 1
            expected[box] = np.arange(expected[box].size).reshape(expected[box].shape) + serial
            expected[box] *= factor
            return expected[box].copy(order=order)

        for box, factor, _ in before:
            await store[box].write(data(box, factor))
        committed = expected.copy()
        async with ts.Transaction() as txn:
            staged = store.with_transaction(txn)
            for box, factor, look in writes:
                given = data(box, factor)
                await staged[box].write(given)
                given[...] = 77  # whose it is may write it again
                if look:
                    assert (await staged.read() == expected).all()
            assert (await store.read() == committed).all()
        assert (await store.read() == expected).all()
        fresh = await ts.open(store.spec(), context=context, recheck_cached_data=True)
        assert (await fresh.read() == expected).all()

    asyncio.run(run())


@pytest.mark.parametrize("codecs", ["raw", "blosc", "transposed"])
@pytest.mark.parametrize("rows", [[], [7], [0, 300, 899]])
async def test_many_chunks_in_a_repository(tmp_path: Any, codecs: str, rows: list[int]) -> None:
    repository = await ts.Repository.open(tmp_path, create=True)
    base = np.random.default_rng(1).integers(1, 2**16, (900, 2048), np.uint16)
    store = await ts.open(
        {"driver": "zarr3", "kvstore": repository.kvstore("a/"), "metadata": {
            "shape": [900, 2048], "data_type": "uint16", "codecs": CODECS[codecs],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 2048]}},
        }},
        create=True,
    )  # fmt: skip
    async with repository.transaction() as txn:
        staged = store.with_transaction(txn)
        data = base.copy()
        await staged.write(data)
        data[...] = 0
        # Chunks that are no longer what the others are.
        for row in rows:
            base[row, 100:200] = 5
            await staged[row, 100:200].write(5)
        for row in rows[:2]:
            base[row] = 0
            await staged[row].write(0)
    assert (await store.read() == base).all()
    assert (await repository.verify()).ok
