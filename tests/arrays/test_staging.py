"""Writes in a transaction: none is lost, whatever its shape, however many handles make them."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.drivers.zarr3.format import Zarr3Format
from asynctensor.drivers.zarr3.metadata import Zarr3Metadata

URL = "memory://a/|zarr3:"


async def made(context: ts.Context, size: int = 4000, **options) -> ts.TensorStore:
    return await ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "memory", "path": "a/"}, **options},
        context=context,
        create=True,
        open=True,
        dtype="int32",
        shape=[size],
        chunk_layout=ts.ChunkLayout(chunk_shape=[100]),
    )


async def test_a_write_through_many_points_is_part_of_the_commit() -> None:
    store = await made(ts.Context())
    points = np.arange(0, 4000, 2)
    async with ts.Transaction() as txn:
        # Not awaited: the commit waits for it.
        store.with_transaction(txn).vindex[points].write(np.int32(7))
    found = await store.read()
    assert (found[::2] == 7).all()
    assert (found[1::2] == 0).all()


async def test_later_writes_of_a_transaction_win_whatever_their_planning_takes() -> None:
    store = await made(ts.Context())
    for turn in range(20):
        async with ts.Transaction() as txn:
            staged = store.with_transaction(txn)
            staged.vindex[np.arange(4000)].write(np.int32(-1))
            staged[:10].write(np.int32(turn))
        assert (await store[:10].read() == turn).all()


async def test_a_thousand_handles_stage_into_one_chunk() -> None:
    store = await made(ts.Context())
    async with ts.Transaction() as txn:
        for k in range(1500):
            await store.with_transaction(txn)[k % 100].write(k)
    assert (await store[:100].read() == np.arange(1400, 1500)).all()


async def test_handles_in_a_transaction_know_what_the_array_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = await made(ts.Context())
    schema, asked = Zarr3Format.schema, []

    def counted(fmt: Zarr3Format, metadata: Zarr3Metadata) -> ts.Schema:
        asked.append(metadata)
        return schema(fmt, metadata)

    monkeypatch.setattr(Zarr3Format, "schema", counted)
    async with ts.Transaction() as txn:
        handles = [store.with_transaction(txn) for _ in range(3)]
        assert all(each.schema == store.schema for each in handles)
        assert asked == []
        await handles[0].resize(exclusive_max=[500])
        assert asked
        assert (await handles[0].resolve()).schema.domain.shape == (500,)
    assert (await store.resolve()).schema.domain.shape == (500,)


async def test_conditions_of_concurrent_writes_of_one_key_are_kept() -> None:
    store = await made(ts.Context(), 10)
    async with ts.Transaction() as txn:
        one, two = store.with_transaction(txn), store.with_transaction(txn)
        kvstore = one.kvstore
        assert kvstore is not None
        outcomes = await asyncio.gather(
            *(kvstore.write("extra", b"%d" % k, if_equal=b"\x02") for k in range(5))
        )
        assert sum(outcome.generation != b"" for outcome in outcomes) == 1
        await asyncio.gather(one[0].write(1), two[1].write(2))
    assert (await store[:2].read()).tolist() == [1, 2]


@pytest.mark.parametrize("recheck", [True, False, "open"])
async def test_the_cache_forgets_what_a_commit_has_written(recheck) -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**7}})
    store = await made(context, recheck_cached_data=recheck)
    await store.write(1)
    assert (await store.read() == 1).all()
    async with ts.Transaction() as txn:
        await store.with_transaction(txn)[50:150].write(2)
    assert (await store.read())[[0, 60, 140, 160]].tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize("recheck", [True, False, "open"])
async def test_handles_with_other_options_share_what_is_cached(recheck) -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**7}})
    store = await made(context, recheck_cached_data=recheck)
    await store.write(1)
    await store.read()
    other = await made(context, recheck_cached_data=recheck, store_data_equal_to_fill_value=True)
    await other.write(5)
    assert (await store.read() == 5).all()
