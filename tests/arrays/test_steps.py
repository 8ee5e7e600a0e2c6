"""Operations of several steps in a transaction: the commit waits for those nobody awaited."""

from __future__ import annotations

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import FailedPrecondition, InvalidArgument


async def created(context, path, shape=(8, 9)) -> ts.TensorStore:
    return await ts.open(
        {"driver": "zarr3", "kvstore": f"memory://{path}/"},
        create=True,
        dtype=ts.float64,
        shape=shape,
        chunk_layout=ts.ChunkLayout(chunk_shape=[3, 4]),
        context=context,
    )


async def test_a_copy_that_nobody_awaited_is_committed() -> None:
    context = ts.Context()
    source, target = await created(context, "a"), await created(context, "b")
    values = np.arange(72.0).reshape(8, 9)
    await source.write(values)
    txn = ts.Transaction()
    target.with_transaction(txn).write(source)
    await txn.commit_async()
    np.testing.assert_array_equal(await target.read(), values)


async def test_a_resize_that_nobody_awaited_is_committed() -> None:
    store = await created(ts.Context(), "a")
    txn = ts.Transaction()
    store.with_transaction(txn).resize(exclusive_max=[20, 9])
    await txn.commit_async()
    assert (await store.resolve()).shape == (20, 9)


async def test_a_cast_that_nobody_awaited_is_committed() -> None:
    store = await created(ts.Context(), "a", (100, 100))
    txn = ts.Transaction()
    view = ts.cast(store, ts.int8).with_transaction(txn)
    view.write(np.ones((100, 100), np.int8))
    await txn.commit_async()
    assert (await store.read() == 1).all()


async def test_what_is_staged_after_the_commit_was_asked_for_is_refused() -> None:
    context = ts.Context()
    source, target = await created(context, "a"), await created(context, "b")
    txn = ts.Transaction()
    staged = target.with_transaction(txn)
    staged.write(source)
    commit = txn.commit_async()
    with pytest.raises(FailedPrecondition, match="not open"):
        staged.write(source)
    with pytest.raises(FailedPrecondition, match="not open"):
        await staged[0].write(5.0)
    await commit
    assert not txn.aborted


async def test_an_error_of_what_nobody_awaited_fails_the_commit() -> None:
    context = ts.Context()
    target = await created(context, "b")
    texts = ts.array([[1, "x"]], dtype=ts.json).astype(ts.float64)
    txn = ts.Transaction()
    staged = target.with_transaction(txn)
    staged[0, 0].write(3.0)
    staged[2:3, 2:4].write(texts)
    with pytest.raises(InvalidArgument, match='"x"'):
        await txn.commit_async()
    assert txn.aborted
    assert (await target[0, 0].read()) == 0


async def test_an_abort_stops_what_was_begun() -> None:
    context = ts.Context()
    source, target = await created(context, "a"), await created(context, "b")
    txn = ts.Transaction()
    copied = target.with_transaction(txn).write(source)
    txn.abort()
    with pytest.raises(FailedPrecondition):
        await copied
    assert not (await target.read()).any()
