"""Arrays in transactions: read your writes, all or nothing, conflicts named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import Aborted, FailedPrecondition, NotFound, Unavailable, Unimplemented
from asynctensor.runtime.event_loop import start
from asynctensor.testing.faulty_store import FaultyStore

CONTEXT: dict[str, Any] = {"cache_pool": {"total_bytes_limit": 10**6}}


@pytest.fixture(params=["plain", "cached"])
def context(request: pytest.FixtureRequest) -> ts.Context:
    return ts.Context(CONTEXT if request.param == "cached" else {})


@pytest.fixture(params=["zarr3", "zarr", "shards"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


async def made(
    context: ts.Context, kind: str = "zarr3", path: str = "a/", **given: Any
) -> ts.TensorStore:
    """An array of 20 int32 in chunks (or shards) of 8."""
    inner = [2] if kind == "shards" else [8]
    return await ts.open(
        {"driver": "zarr" if kind == "zarr" else "zarr3", "kvstore": f"memory://{path}"},
        context=context, create=True, dtype="int32", shape=[20],
        chunk_layout=ts.ChunkLayout(write_chunk_shape=[8], read_chunk_shape=inner), **given,
    )  # fmt: skip


def numbers(low: int, high: int) -> np.ndarray:
    return np.arange(low, high, dtype="i4")


async def keys(store: ts.TensorStore) -> set[str]:
    return {key.decode() for key in await store.kvstore.list()}


async def test_reads_see_what_was_staged_and_others_do_not(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store[:10].write(numbers(0, 10))
    before = await store.read()
    async with ts.Transaction() as txn:
        staged = store.with_transaction(txn)
        assert staged.transaction is txn
        await staged[3:5].write(100)
        await staged[4:12].write(200)
        await staged[::-6].write(300)
        expected = before.copy()
        expected[3:5], expected[4:12], expected[::-6] = 100, 200, 300
        assert (await staged.read() == expected).all()
        assert (await staged[3:6].read() == expected[3:6]).all()
        assert (await store.read() == before).all()
        assert (await store.read() == before).all()
    assert txn.commit_started
    assert not txn.open
    assert (await store.read() == expected).all()


async def test_an_aborted_transaction_leaves_nothing(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(1)
    stored = await keys(store)

    async def fails() -> None:
        async with ts.Transaction() as txn:
            staged = store.with_transaction(txn)
            await staged.write(2)
            await staged.resize(exclusive_max=[100])
            await made(context, kind, "b/", transaction=txn)
            raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        await fails()
    assert (await store.read() == 1).all()
    assert (await store.resolve()).shape == (20,)
    assert await keys(store) == stored
    with pytest.raises(NotFound):
        await ts.open("memory://b/|zarr3:", context=context)


async def test_create_in_a_transaction(context: ts.Context, kind: str) -> None:
    await made(context, path="b/")
    async with ts.Transaction() as txn:
        store = await made(context, kind, transaction=txn)
        await store[5:9].write(3)
        again = await ts.open(store.spec(), context=context, transaction=txn, open=True)
        assert (await again[4:10].read()).tolist() == [0, 3, 3, 3, 3, 0]
        listed = await keys(again)
        assert len(listed) == 3
        outside = ts.open(store.spec(), context=context, open=True)
        with pytest.raises(NotFound):
            await outside
    store = await ts.open(store.spec(), context=context, open=True)
    assert (await store[4:10].read()).tolist() == [0, 3, 3, 3, 3, 0]
    assert await keys(store) == listed


async def test_creating_twice_is_a_conflict(context: ts.Context, kind: str) -> None:
    txn = ts.Transaction()
    store = await made(context, kind, transaction=txn)
    await store.write(1)
    await (await made(context, kind)).write(2)
    with pytest.raises(Aborted) as caught:
        await txn.commit_async()
    assert caught.value.key in ("a/zarr.json", "a/.zarray")
    assert txn.aborted
    store = await ts.open(store.spec(), context=context, open=True)
    assert (await store.read() == 2).all()


async def test_replace_in_a_transaction(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(7)
    async with ts.Transaction() as txn:
        new = await made(context, kind, delete_existing=True, transaction=txn)
        assert (await new.read() == 0).all()
        await new[2].write(5)
        assert (await store.read() == 7).all()
    replaced = await ts.open(store.spec(minimal_spec=True), context=context, open=True)
    assert (await replaced[:4].read()).tolist() == [0, 0, 5, 0]
    assert len(await keys(replaced)) == 2


async def test_delete_in_a_transaction(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(7)
    async with ts.Transaction() as txn:
        staged = store.with_transaction(txn)
        await staged.kvstore.delete_range(ts.KvStore.KeyRange())
        assert await keys(staged) == set()
        assert len(await keys(store)) == 4
        assert (await store.read() == 7).all()
    assert await keys(store) == set()


@pytest.mark.parametrize("size", [5, 8, 50])
async def test_resize_in_a_transaction(context: ts.Context, kind: str, size: int) -> None:
    store = await made(context, kind)
    await store.write(7)
    async with ts.Transaction() as txn:
        staged = await store.with_transaction(txn).resize(exclusive_max=[size])
        assert staged.shape == (size,)
        await staged[2].write(9)
        assert (await store.resolve()).shape == (20,)
        expected = np.full(size, 0)
        expected[: min(size, 20)] = 7
        expected[2] = 9
        assert (await staged.read()).tolist() == expected.tolist()
    resolved = await store.resolve()
    assert (await resolved.read()).tolist() == expected.tolist()
    assert len(await keys(store)) == 1 + min(3, -(-size // 8))


async def test_all_arrays_or_none(context: ts.Context) -> None:
    """Somebody who looks at several arrays at one instant never sees some of a transaction."""
    stores = [
        await made(context, kind, f"{kind}/") for kind in ("zarr3", "zarr", "shards", "zarr3b")
    ]
    for store in stores:
        await store.write(0)
    finished = False

    async def validated() -> None:
        """A snapshot that commits has seen one instant."""
        while not finished:
            txn = ts.Transaction()
            parts = [s.with_transaction(txn).read() for s in stores]
            try:
                found = np.concatenate(await asyncio.gather(*parts))
                await txn.commit_async()
            except Aborted:
                continue
            assert len(np.unique(found)) == 1, "part of a transaction was seen"

    async def change() -> None:
        nonlocal finished
        for number in range(1, 15):
            async with ts.Transaction() as txn:
                await asyncio.gather(*(s.with_transaction(txn).write(number) for s in stores))
        finished = True

    await asyncio.wait_for(asyncio.gather(change(), validated()), 60)
    for store in stores:
        assert (await store.read() == 14).all()


async def test_failed_commit_changes_no_array(context: ts.Context) -> None:
    one, two = await made(context, path="a/"), await made(context, "zarr", "b/")
    txn = ts.Transaction()
    staged = [s.with_transaction(txn) for s in (one, two)]
    await staged[0].write(1)
    assert (await staged[1][0].read()) == 0
    await staged[1].write(1)
    await two[0].write(5)
    with pytest.raises(Aborted) as caught:
        await txn.commit_async()
    assert caught.value.key == "b/0"
    assert "b/0" in str(caught.value)
    assert txn.aborted
    assert (await one.read() == 0).all()
    assert (await two[:3].read()).tolist() == [5, 0, 0]


async def test_what_was_read_must_not_change(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(1)
    txn = ts.Transaction()
    staged = store.with_transaction(txn)
    total = int((await staged[:8].read()).sum())
    await staged[10].write(total)
    await store[0].write(100)
    with pytest.raises(Aborted, match="a/"):
        await txn.commit_async()
    assert await store[10].read() == 1


async def test_parts_of_one_chunk_merge(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(1)
    transactions = [ts.Transaction() for _ in range(8)]
    for number, txn in enumerate(transactions):
        await store.with_transaction(txn)[number::8].write(10 + number)
    await asyncio.gather(*(txn.commit_async() for txn in transactions))
    assert (await store.read()).tolist() == [10 + i % 8 for i in range(20)]


async def test_transactions_and_plain_writes_merge(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    txn = ts.Transaction()
    await store.with_transaction(txn)[:4].write(1)
    await store[4:8].write(2)
    await txn.commit_async()
    assert (await store[:9].read()).tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 0]


async def test_no_update_is_lost_between_counting_transactions(context: ts.Context) -> None:
    store = await made(context)
    tries = 0

    async def count() -> None:
        nonlocal tries
        while True:
            tries += 1
            try:
                async with ts.Transaction() as txn:
                    cell = store[3].with_transaction(txn)
                    await cell.write(int(await cell.read()) + 1)
            except Aborted:
                continue
            return

    await asyncio.gather(*(count() for _ in range(20)))
    assert await store[3].read() == 20
    assert tries >= 20


async def test_two_stores_are_refused_when_staged(context: ts.Context) -> None:
    other = ts.Context()
    one, two = await made(context), await made(other, path="b/")
    txn = ts.Transaction()
    await one.with_transaction(txn).write(1)
    with pytest.raises(FailedPrecondition, match=r"span memory://.* and memory://"):
        await two.with_transaction(txn).write(1)
    await txn.commit_async()
    assert (await one.read() == 1).all()
    assert (await two.read() == 0).all()


async def test_file_is_refused_when_staged(tmp_path: Path, context: ts.Context) -> None:
    given: dict[str, Any] = {"create": True, "dtype": "int32", "shape": [20]}
    store = await ts.open(tmp_path / "a", **given)
    txn = ts.Transaction()
    staged = store.with_transaction(txn)
    with pytest.raises(Unimplemented, match=r"file://.*atomic=False"):
        await staged.write(1)
    with pytest.raises(Unimplemented, match=r"file://.*atomic=False"):
        await ts.open(tmp_path / "b", transaction=txn, **given)
    with pytest.raises(FailedPrecondition if txn.aborted else Unimplemented):
        await staged.resize(exclusive_max=[5])
    assert not (tmp_path / "b").exists()
    assert (await store.read() == 0).all()


async def test_isolated_transactions_work_everywhere(tmp_path: Path, kind: str) -> None:
    stores = [await made(ts.Context(), kind)]
    for name in ("x", "y"):
        spec = {**stores[0].spec().to_json(), "kvstore": f"file://{tmp_path}/{name}/"}
        del spec["transform"]
        stores.append(await ts.open(spec, create=True))
    async with ts.Transaction(atomic=False) as txn:
        for number, store in enumerate(stores):
            staged = store.with_transaction(txn)
            await staged[3:15].write(number + 1)
            assert (await staged[2:4].read()).tolist() == [0, number + 1]
            assert (await store.read() == 0).all()
            await staged.resize(exclusive_max=[14])
    for number, store in enumerate(stores):
        resolved = await store.resolve()
        assert resolved.shape == (14,)
        assert (await resolved.read()).tolist() == [0] * 3 + [number + 1] * 11


async def test_isolated_writes_to_parts_of_a_chunk_merge(tmp_path: Path) -> None:
    store = await ts.open(
        tmp_path / "a", create=True, dtype="int32", shape=[8],
        chunk_layout=ts.ChunkLayout(chunk_shape=[8]),
    )  # fmt: skip
    transactions = [ts.Transaction(atomic=False) for _ in range(4)]
    for number, txn in enumerate(transactions):
        await store.with_transaction(txn)[number::4].write(number + 1)
    await asyncio.gather(*(txn.commit_async() for txn in transactions))
    assert (await store.read()).tolist() == [1, 2, 3, 4] * 2


async def test_isolated_with_repeatable_read(context: ts.Context) -> None:
    store = await made(context)
    txn = ts.Transaction(atomic=False, repeatable_read=True)
    staged = store.with_transaction(txn)
    await staged.read()
    await staged[0].write(5)
    await store[1].write(6)
    with pytest.raises(Aborted):
        await txn.commit_async()
    assert (await store[:2].read()).tolist() == [0, 6]


async def test_a_closed_transaction_refuses_everything(context: ts.Context) -> None:
    store = await made(context)
    done, given_up = ts.Transaction(), ts.Transaction()
    bound = [store.with_transaction(txn) for txn in (done, given_up)]
    await bound[0].write(1)
    await done.commit_async()
    given_up.abort()
    for staged, word in zip(bound, ("committed", "aborted"), strict=True):
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda staged=staged: staged.write(2),
            lambda staged=staged: staged.read(),
            lambda staged=staged: staged.resize(exclusive_max=[5]),
            lambda staged=staged: staged.resolve(),
            lambda staged=staged: made(context, path="c/", transaction=staged.transaction),
        ]
        for call in calls:
            with pytest.raises(FailedPrecondition, match=f"Transaction not open .{word}"):
                await call()
    assert (await store.read() == 1).all()
    with pytest.raises(FailedPrecondition):
        done.abort()
    given_up.abort()


async def test_the_commit_waits_for_writes_that_are_being_staged(context: ts.Context) -> None:
    store = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://big/"}, context=context, create=True,
        dtype="int32", shape=[1000, 1000], chunk_layout=ts.ChunkLayout(chunk_shape=[100, 100]),
    )  # fmt: skip
    data = np.random.default_rng(0).integers(0, 100, (1000, 1000), dtype="i4")
    source = data.copy()
    async with ts.Transaction() as txn:
        staged = store.with_transaction(txn)
        written = staged.write(source)
        await written.copy
        source[...] = -1
        second = staged[500:, ::3].write(7)
    assert second.done()
    data[500:, ::3] = 7
    assert (await store.read() == data).all()


async def test_writes_are_staged_in_the_order_in_which_they_are_made(context: ts.Context) -> None:
    store = await ts.open(
        {"driver": "zarr3", "kvstore": "memory://big/"}, context=context, create=True,
        dtype="int32", shape=[300, 300], chunk_layout=ts.ChunkLayout(chunk_shape=[100, 100]),
    )  # fmt: skip
    async with ts.Transaction() as txn:
        staged = store.with_transaction(txn)
        staged.write(np.full((300, 300), 1, "i4"))
        staged[5].write(2)
        staged.oindex[[5, 7], :].write(3)
        staged[7, 7].write(4)
    data = await store.read()
    expected = np.ones((300, 300))
    expected[[5, 7]] = 3
    expected[7, 7] = 4
    assert (data == expected).all()


async def test_many_small_writes_to_one_chunk(context: ts.Context, kind: str) -> None:
    store = await made(context, kind)
    await store.write(-1)
    async with ts.Transaction() as txn:
        staged = store.with_transaction(txn)
        for number in range(200):
            await staged[number % 7].write(number)
        assert (await staged[:8].read()).tolist() == [196, 197, 198, 199, 193, 194, 195, -1]
    assert (await store[:8].read()).tolist() == [196, 197, 198, 199, 193, 194, 195, -1]


async def test_a_commit_is_seen_through(
    over: Callable[..., Awaitable[ts.TensorStore]], faulty: FaultyStore
) -> None:
    """Whoever gives up waiting for a commit does not undo half of it."""
    store = await over()
    await store.write(1)
    txn = ts.Transaction(atomic=False)
    await store.with_transaction(txn).write(2)
    gate = faulty.hold("write")
    waiting = asyncio.ensure_future(_committed(txn))
    await gate.reached()
    waiting.cancel()
    gate.open()
    await asyncio.wait([waiting])
    await txn.future
    assert not txn.aborted
    assert faulty.in_flight == []
    assert (await store.read() == 2).all()


async def _committed(txn: ts.Transaction) -> None:
    await txn.commit_async()


async def test_an_isolated_commit_that_fails_says_so(
    over: Callable[..., Awaitable[ts.TensorStore]], faulty: FaultyStore
) -> None:
    store = await over()
    await store.write(1)
    txn = ts.Transaction(atomic=False)
    await store.with_transaction(txn).write(2)
    faulty.fail("write", Unavailable("no"), when=lambda key: key.endswith("/3"))
    with pytest.raises(Unavailable):
        await txn.commit_async()
    assert txn.aborted
    assert faulty.in_flight == []
    for cell in (await store.read()).reshape(10, 4).tolist():
        assert cell in ([1] * 4, [2] * 4)


async def test_a_damaged_chunk_fails_the_commit(context: ts.Context) -> None:
    store = await made(context)
    other = await made(context, path="b/")
    txn = ts.Transaction()
    await other.with_transaction(txn).write(1)
    await store.with_transaction(txn)[0].write(1)
    await store.kvstore.write("c/0", b"not a chunk")
    with pytest.raises(ValueError, match="DATA_LOSS"):
        await txn.commit_async()
    assert txn.aborted
    assert (await other.read() == 0).all()


async def test_cancelled_staging(context: ts.Context) -> None:
    """A staged write that was cancelled before it was staged is not committed."""
    store = await made(context)
    txn = ts.Transaction()
    staged = store.with_transaction(txn)
    await staged[0].write(1)
    cancelled = staged.vindex[[2] * 5000].write(5)
    took = cancelled.cancel()
    await staged[1].write(3)
    await asyncio.wait([asyncio.ensure_future(_outcome(cancelled))])
    try:
        await txn.commit_async()
    except Aborted:
        assert took
        assert (await store.read() == 0).all()
    else:
        assert (await store[:2].read()).tolist() == [1, 3]


async def _outcome(future: Any) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await future


async def test_a_shape_that_changed_meanwhile_is_a_conflict(context: ts.Context) -> None:
    """A write rests on the shape it was staged for: chunks outside the array are not made."""
    store = await made(context)
    await store.write(1)
    txn = ts.Transaction()
    await store.with_transaction(txn)[16:].write(2)
    await store.resize(exclusive_max=[4])
    with pytest.raises(Aborted, match=r"zarr\.json"):
        await txn.commit_async()
    assert await keys(store) == {"zarr.json", "c/0"}


def test_without_a_loop(context: ts.Context) -> None:
    store = start(made, context).result()
    with ts.Transaction(message="why") as txn:
        staged = store.with_transaction(txn)
        staged[...] = 3
        assert staged[0].read().result() == 3
        assert txn.message == "why"
    assert (store.read().result() == 3).all()
    with pytest.raises(ZeroDivisionError), ts.Transaction() as txn:
        store.with_transaction(txn)[...] = 1 / 0
    assert txn.aborted
