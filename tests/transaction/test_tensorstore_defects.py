"""What TensorStore 0.1.86 gets wrong in transactions, and what happens here."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted, FailedPrecondition, Unimplemented


async def made(kvstore: Any, **given: Any) -> at.TensorStore:
    return await at.open(
        {"driver": given.pop("driver", "zarr3"), "kvstore": kvstore}, create=True, dtype="int32",
        shape=[20], chunk_layout=at.ChunkLayout(chunk_shape=[8]), **given,
    )  # fmt: skip


async def repository(path: Path) -> at.Repository:
    return await at.Repository.open(path, create=True, context=at.Context())


async def test_two_databases_are_refused_when_the_second_is_staged(tmp_path: Path) -> None:
    one, two = await repository(tmp_path / "one"), await repository(tmp_path / "two")
    stores = [await made(each.kvstore("a/")) for each in (one, two)]
    txn = one.transaction()
    await stores[0].with_transaction(txn).write(1)
    with pytest.raises(FailedPrecondition, match=r"span .*one.* and .*two"):
        await stores[1].with_transaction(txn).write(1)
    await txn.commit_async()
    assert (await stores[0].read() == 1).all()
    assert (await stores[1].read() == 0).all()


async def test_one_database_through_two_contexts_is_one_commit(tmp_path: Path) -> None:
    one, two = await repository(tmp_path), await repository(tmp_path)
    stores = [await made(each.kvstore(f"{n}/")) for n, each in enumerate((one, two))]
    before = [each.id async for each in one.log()]
    async with at.Transaction(message="both") as txn:
        for store in stores:
            await store.with_transaction(txn).write(1)
    await one.refresh()
    after = [each.id async for each in one.log()]
    assert after == [txn.commit_id, *before]
    assert all([(await store.read() == 1).all() for store in stores])


async def test_atomic_transactions_work_on_files(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    store = await made(repo.kvstore("a/"))
    async with at.Transaction(atomic=True) as txn:
        await store.with_transaction(txn)[3].write(1)
        await (await store.with_transaction(txn).resize(exclusive_max=[30]))[29].write(2)
        await repo.kvstore(transaction=txn).delete_range(at.KvStore.KeyRange("x", "y"))
    assert (await (await store.resolve()).read())[[3, 29]].tolist() == [1, 2]
    # Over plain files nothing is atomic, and that is said when something is staged.
    plain = await made(f"file://{tmp_path}/plain/")
    with pytest.raises(Unimplemented, match="atomic=False"):
        await plain.with_transaction(at.Transaction(atomic=True)).write(1)


@pytest.mark.parametrize("driver", ["zarr3", "zarr", "n5"])
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("place", ["memory", "repo"])
async def test_arrays_shrink_in_transactions(
    tmp_path: Path, driver: str, atomic: bool, place: str
) -> None:
    kvstore: Any = at.KvStore.open("memory://m/").result()
    if place == "repo":
        kvstore = (await repository(tmp_path)).kvstore("m/")
    store = await made(kvstore, driver=driver)
    await store.write(1)
    stored = len(await kvstore.list())
    async with at.Transaction(atomic=atomic) as txn:
        smaller = await store.with_transaction(txn).resize(exclusive_max=[8])
        assert (await smaller.read()).tolist() == [1] * 8
        assert len(await smaller.kvstore.list()) == stored - 2
        assert len(await kvstore.list()) == stored
        grown = await smaller.resize(exclusive_max=[12])
        assert (await grown.read()).tolist() == [1] * 8 + [0] * 4
    assert (await (await store.resolve()).read()).tolist() == [1] * 8 + [0] * 4
    assert len(await kvstore.list()) == stored - 2


async def test_no_update_is_lost_by_default(tmp_path: Path) -> None:
    store = await made((await repository(tmp_path)).kvstore("a/"))
    one, two = at.Transaction(), at.Transaction()
    for txn in (one, two):
        cell = store.with_transaction(txn)[0]
        await cell.write(int(await cell.read()) + 1)
    await one.commit_async()
    with pytest.raises(Aborted):
        await two.commit_async()
    assert int(await store[0].read()) == 1


async def test_reads_are_of_one_state(tmp_path: Path) -> None:
    store = await made((await repository(tmp_path)).kvstore("a/"))
    txn = at.Transaction()
    staged = store.with_transaction(txn)
    assert int(await staged[0].read()) == 0
    await store.write(77)
    assert (await staged.read()).tolist() == [0] * 20
    txn.abort()


async def test_listings_are_validated_and_sorted_as_elsewhere(tmp_path: Path) -> None:
    kvstore = (await repository(tmp_path)).kvstore()
    await kvstore.write("b", b"")
    txn = at.Transaction(repeatable_read=True)
    staged = kvstore.with_transaction(txn)
    assert await staged.list() == [b"b"]
    await staged.write("a", b"")
    assert sorted(await staged.list()) == [b"a", b"b"]
    await kvstore.write("c", b"")
    with pytest.raises(Aborted):
        await txn.commit_async()
    assert sorted(await kvstore.list()) == [b"b", b"c"]


@pytest.mark.parametrize("repeatable", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
def test_atomic_is_what_was_asked_for(atomic: bool, repeatable: bool) -> None:
    txn = at.Transaction(atomic=atomic, repeatable_read=repeatable)
    assert txn.atomic is atomic
    assert txn.repeatable_read is (repeatable or atomic)


async def test_a_condition_that_does_not_hold_is_told_at_once(tmp_path: Path) -> None:
    kvstore = (await repository(tmp_path)).kvstore()
    await kvstore.write("a", b"1")
    txn = at.Transaction()
    stamp = await kvstore.with_transaction(txn).write("a", b"2", if_equal=b"else")
    assert stamp.generation == b""
    await txn.commit_async()
    assert (await kvstore.read("a")).value == b"1"


async def test_many_small_writes_are_one_value_and_one_commit(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    store = await made(repo.kvstore("a/"))
    async with repo.transaction() as txn:
        staged = store.with_transaction(txn)
        await asyncio.gather(*(staged[n].write(n + 1) for n in range(8)))
    commit = await anext(aiter(repo.log()))
    assert commit.id == txn.commit_id
    assert sum(commit.changes.chunks.values()) == 1
    assert (await store[:8].read()).tolist() == list(range(1, 9))
    assert np.asarray(await store[8:].read()).sum() == 0


async def test_an_old_state_is_read_as_it_was(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    await repo.kvstore().write("x", b"old")
    (first,) = [each.id async for each in repo.log()]
    await repo.kvstore().write("x", b"new")
    async with repo.transaction() as txn:
        old = await repo.kvstore(snapshot=first).read("x")
        await repo.kvstore(transaction=txn).write("y", old.value)
    assert (await repo.kvstore().read("y")).value == b"old"


async def test_an_array_is_replaced_in_an_atomic_transaction_on_files(tmp_path: Path) -> None:
    kvstore = (await repository(tmp_path)).kvstore("a/")
    await (await made(kvstore)).write(5)
    async with at.Transaction(atomic=True, message="anew") as txn:
        anew = await made(kvstore, delete_existing=True, transaction=txn)
        await anew[3].write(9)
    found = await (await at.open({"driver": "zarr3", "kvstore": kvstore})).read()
    assert found.tolist() == [0] * 3 + [9] + [0] * 16


async def test_reading_again_what_has_changed_does_not_abort(tmp_path: Path) -> None:
    store = await made((await repository(tmp_path)).kvstore("a/"))
    txn = at.Transaction(repeatable_read=True)
    staged = store.with_transaction(txn)
    assert int(await staged[0].read()) == 0
    await store[0].write(1)
    assert int(await staged[0].read()) == 0
    assert txn.open
    await staged[19].write(2)
    with pytest.raises(Aborted, match="a/c/0"):
        await txn.commit_async()
    assert txn.aborted


async def test_each_failure_has_its_type(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    store = await made(repo.kvstore("a/"))
    txn = repo.transaction()
    txn.abort()
    with pytest.raises(FailedPrecondition, match="Transaction not open"):
        await store.with_transaction(txn)[0].write(1)
    with pytest.raises(Aborted) as aborted:
        await txn.future
    assert not isinstance(aborted.value, FailedPrecondition)
    done = repo.transaction(message="done")
    await done.commit_async()
    with pytest.raises(FailedPrecondition, match="commit"):
        await store.with_transaction(done)[0].write(1)


async def test_futures_of_commits_are_awaited_in_every_way(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    store = await made(repo.kvstore("a/"))
    txns = [repo.transaction(message=f"{k}") for k in range(4)]
    for k, txn in enumerate(txns):
        await store.with_transaction(txn)[k].write(k + 1)
    await asyncio.create_task(txns[0].commit_async())
    async with asyncio.TaskGroup() as group:
        group.create_task(txns[1].commit_async())
    await asyncio.wait_for(txns[2].commit_async(), 60)
    await asyncio.gather(txns[3].commit_async(), txns[3].commit_async(), txns[3].future)
    assert (await store[:4].read()).tolist() == [1, 2, 3, 4]
    assert [each.message async for each in repo.log(limit=4)] == ["3", "2", "1", "0"]


async def test_what_a_commit_is_for_is_kept_with_it(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    async with repo.transaction(message="why", author="who", metadata={"run": [1]}) as txn:
        await repo.kvstore(transaction=txn).write("k", b"v")
    (commit,) = [each async for each in repo.log()]
    assert (commit.message, commit.author, commit.metadata) == ("why", "who", {"run": [1]})
    assert commit.id == txn.commit_id


async def test_what_is_staged_is_not_all_held_in_memory(tmp_path: Path) -> None:
    repo = await repository(tmp_path)
    txn = repo.transaction(staged_bytes_limit=1 << 16)
    store = await made(repo.kvstore("a/"), transaction=txn)
    grown = await store.resize(exclusive_max=[1 << 16])
    await grown.write(1)
    # It is on its way to the disk before the commit, and not seen there.
    await grown[0].write(2)
    await txn.commit_async()
    found = await (await at.open({"driver": "zarr3", "kvstore": repo.kvstore("a/")})).read()
    assert (found[0], found[1:].min(), found[1:].max()) == (2, 1, 1)
