"""Transactions of several processes: tokens, parts, receipts, and one commit."""

from __future__ import annotations

import asyncio
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)

SHAPE, CHUNK = [16, 8], [4, 4]


@pytest.fixture
async def repo(tmp_path: Path) -> at.Repository:
    return await at.Repository.open(f"file://{tmp_path}/lab/", create=True)


async def created(repo: at.Repository, txn: at.Transaction | None = None) -> at.TensorStore:
    return await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("image/")},
        create=True,
        transaction=txn,
        dtype="uint16",
        shape=SHAPE,
        chunk_layout=at.ChunkLayout(chunk_shape=CHUNK),
    )


async def opened(token: at.SharedTransaction, part: at.Transaction) -> at.TensorStore:
    spec = {"driver": "zarr3", "kvstore": {**token.store, "path": "image/"}}
    return await at.open(spec, transaction=part)


async def worked(
    token: at.SharedTransaction, rows: slice, value: int, worker: str | None = None, **attempt: int
) -> at.Receipt:
    """What one worker does."""
    async with await at.Transaction.join(token) as part:
        image = await opened(token, part)
        await image[rows].write(value)
        return await part.finish(worker=worker, **attempt)


async def seen(repo: at.Repository) -> list[int]:
    await repo.refresh()
    image = await at.open({"driver": "zarr3", "kvstore": repo.kvstore("image/")})
    return (await image.read())[:, 0].tolist()


async def messages(repo: at.Repository) -> list[str | None]:
    await repo.refresh()
    return [each.message async for each in repo.log()]


def names(repo: Path, kind: str) -> list[Path]:
    return sorted(each for each in (repo / "lab" / kind).rglob("*") if each.is_file())


async def test_parts_become_one_commit_with_the_array_that_was_created(repo, tmp_path) -> None:
    txn = repo.transaction(message="bulk", author="ada", metadata={"run": 7})
    await created(repo, txn)
    token = txn.share()
    assert txn.share() is token
    assert len(pickle.dumps(token)) < 1000
    receipts = await asyncio.gather(
        *(worked(token, slice(4 * i, 4 * i + 4), i + 1, f"task {i}") for i in range(4))
    )
    assert all(len(pickle.dumps(each)) < 600 for each in receipts)
    assert await messages(repo) == []
    assert txn.add_many(receipts) == 4
    assert [each.count for each in txn.receipts] == [2] * 4
    await txn.commit_async()
    assert await seen(repo) == [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    (commit,) = [each async for each in repo.log()]
    assert (commit.id, commit.message, commit.author) == (txn.commit_id, "bulk", "ada")
    assert commit.metadata == {"run": 7}
    # Somebody who reads the repository anew finds the same.
    again = await at.Repository.open(f"file://{tmp_path}/lab/", context=at.Context())
    assert await seen(again) == await seen(repo)


async def test_a_part_reads_the_shared_state_and_what_it_wrote_itself(repo) -> None:
    await (await created(repo)).write(7)
    txn = repo.transaction(isolation="snapshot")
    await at.open(spec(repo), transaction=txn)
    token = txn.share()
    async with repo.transaction() as other:
        await (await at.open(spec(repo), transaction=other))[4:8].write(9)
    part = await at.Transaction.join(token)
    image = await opened(token, part)
    await image[0:2].write(1)
    assert (await image.read())[:, 0].tolist() == [1] * 2 + [7] * 14
    txn.add(await part.finish())
    await txn.commit_async()
    assert await seen(repo) == [1] * 2 + [7] * 2 + [9] * 4 + [7] * 8


def spec(repo: at.Repository) -> dict:
    return {"driver": "zarr3", "kvstore": repo.kvstore("image/")}


async def test_a_task_that_was_done_twice_counts_once(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    first = await worked(token, slice(0, 4), 1, "task", attempt=1)
    second = await worked(token, slice(0, 4), 2, "task", attempt=2)
    assert txn.add(second)
    assert not txn.add(first)
    assert not txn.add(second)
    assert [each.attempt for each in txn.receipts] == [2]
    await txn.commit_async()
    assert await seen(repo) == [2] * 4 + [0] * 12


async def test_two_writers_of_one_chunk_are_told_and_nothing_is_committed(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    one = await worked(token, slice(0, 8), 1, "one")
    other = await worked(token, slice(4, 12), 2, "other")
    txn.add_many([one, other])
    told = r"worker 'one' and worker 'other' both wrote 2 keys from 'image/c/1/0' to 'image/c/1/1'"
    with pytest.raises(FailedPrecondition, match=told):
        await txn.commit_async()
    assert await seen(repo) == [0] * 16
    # The rest of the work is not lost.
    anew = await at.Transaction.resume(token)
    anew.add_many([one, await worked(token, slice(8, 12), 2, "other")])
    await anew.commit_async()
    assert await seen(repo) == [1] * 8 + [2] * 4 + [0] * 4


async def test_what_the_coordinator_wrote_itself_counts_as_a_writer(repo) -> None:
    txn = repo.transaction()
    image = await created(repo, txn)
    token = txn.share()
    await image[0:4].write(1)
    txn.add(await worked(token, slice(4, 8), 2))
    await txn.commit_async()
    assert await seen(repo) == [1] * 4 + [2] * 4 + [0] * 8
    txn = repo.transaction()
    image = await at.open(spec(repo), transaction=txn)
    txn.add(await worked(txn.share(), slice(4, 8), 3, "it"))
    await image[4:8].write(4)
    with pytest.raises(FailedPrecondition, match="worker 'it' and whoever commits both wrote"):
        await txn.commit_async()


async def test_workers_may_write_the_same_small_document(repo) -> None:
    txn = repo.transaction()
    token = txn.share()
    for task in range(2):
        part = await at.Transaction.join(token)
        store = repo.kvstore(transaction=part)
        await store.write("same", b"value")
        await store.write(f"own {task}", b"value")
        txn.add(await part.finish())
    await txn.commit_async()
    assert sorted(await repo.kvstore().list()) == [b"own 0", b"own 1", b"same"]
    txn = repo.transaction()
    token = txn.share()
    for task in range(2):
        part = await at.Transaction.join(token)
        await repo.kvstore(transaction=part).write("same", b"%d" % task)
        txn.add(await part.finish(worker=f"{task}"))
    with pytest.raises(FailedPrecondition, match="worker '0' and worker '1' both wrote 'same'"):
        await txn.commit_async()


async def test_whoever_resumes_it_commits_under_the_callers_key(repo) -> None:
    await created(repo)
    ids = []
    for value in (1, 2):
        token = repo.transaction(message="night", caller_key="night 7").share()
        anew = await at.Transaction.resume(pickle.loads(pickle.dumps(token)))
        anew.add(await worked(token, slice(0, 4), value))
        await anew.commit_async()
        ids.append(anew.commit_id)
    assert ids[0] == ids[1]
    assert await seen(repo) == [1] * 4 + [0] * 12


async def test_what_a_worker_changed_in_part_must_be_as_it_was(repo) -> None:
    await created(repo)
    txn = repo.transaction(isolation="blind")
    token = txn.share()
    receipt = await worked(token, slice(0, 2), 1)
    async with repo.transaction(message="between") as other:
        await (await at.open(spec(repo), transaction=other))[2:4].write(5)
    txn.add(receipt)
    with pytest.raises(Aborted, match=r"changed meanwhile: chunks .* of 'image/' in commit"):
        await txn.commit_async()
    assert await seen(repo) == [0] * 2 + [5] * 2 + [0] * 12
    # Its abort stands in the log: no other process can go on with it.
    with pytest.raises(Aborted, match="its abort stands in the log"):
        await at.Transaction.resume(token)


@pytest.mark.parametrize("isolation", ["serializable", "blind"])
async def test_what_a_worker_read_is_validated_as_the_isolation_says(repo, isolation) -> None:
    await created(repo)
    txn = repo.transaction(isolation=isolation)
    token = txn.share()
    part = await at.Transaction.join(token)
    image = await opened(token, part)
    value = (await image[4:8].read()).sum()
    await image[8:12].write(value + 1)
    txn.add(await part.finish())
    async with repo.transaction() as other:
        await (await at.open(spec(repo), transaction=other))[4:8].write(5)
    if isolation == "blind":
        await txn.commit_async()
        assert await seen(repo) == [0] * 4 + [5] * 4 + [1] * 4 + [0] * 4
    else:
        with pytest.raises(Aborted, match="image/c/1/0"):
            await txn.commit_async()


async def test_disjoint_commits_meanwhile_do_not_disturb(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    receipt = await worked(token, slice(0, 2), 1)
    for _ in range(3):
        async with repo.transaction() as other:
            await (await at.open(spec(repo), transaction=other))[8:12].write(5)
    txn.add(receipt)
    await txn.commit_async()
    assert await seen(repo) == [1] * 2 + [0] * 6 + [5] * 4 + [0] * 4


async def test_commits_of_others_conflict_with_parts(repo) -> None:
    await created(repo)
    reader = repo.transaction()
    late = await at.open(spec(repo), transaction=reader)
    disjoint = repo.transaction()
    beside = await at.open(spec(repo), transaction=disjoint)
    assert (await late[0, 0].read()) == (await beside[12, 0].read()) == 0
    txn = repo.transaction()
    txn.add(await worked(txn.share(), slice(0, 8), 1))
    await txn.commit_async()
    await late[15].write(1)
    with pytest.raises(Aborted, match="image/c/0/0"):
        await reader.commit_async()
    await beside[12].write(2)
    await disjoint.commit_async()
    assert await seen(repo) == [1] * 8 + [0] * 4 + [2] + [0] * 3


async def test_who_commits_again_with_the_same_receipts_finds_the_same_commit(repo) -> None:
    txn = repo.transaction(message="once")
    await created(repo, txn)
    token = pickle.loads(pickle.dumps(txn.share()))
    receipts = [await worked(token, slice(4 * i, 4 * i + 4), i, f"{i}") for i in range(3)]
    txn.add_many(receipts)
    await txn.commit_async()
    again = await at.Transaction.resume(token)
    assert (again.message, again.isolation) == ("once", "serializable")
    again.add_many(pickle.loads(pickle.dumps(receipts[::-1])))
    await again.commit_async()
    assert again.commit_id == txn.commit_id
    assert await messages(repo) == ["once"]
    other = await at.Transaction.resume(token)
    other.add_many(receipts[:2])
    with pytest.raises(AlreadyExists, match="other contents"):
        await other.commit_async()
    with pytest.raises(FailedPrecondition, match="was committed"):
        await at.Transaction.join(token)


async def test_a_coordinator_that_is_gone_is_followed_by_another(repo) -> None:
    txn = repo.transaction(message="resumed")
    await created(repo, txn)
    token = txn.share()
    await worked(token, slice(0, 4), 1, "a")
    await worked(token, slice(0, 4), 1, "a", attempt=1)
    del txn
    anew = await at.Transaction.resume(token)
    found = await anew.find_receipts()
    assert sorted((each.worker, each.attempt) for each in found) == [("a", 0), ("a", 1)]
    assert anew.add_many(found) == 1
    anew.add(await worked(token, slice(4, 8), 2, "b"))
    await anew.commit_async()
    assert await seen(repo) == [1] * 4 + [2] * 4 + [0] * 8
    assert await messages(repo) == ["resumed"]


async def test_nothing_is_seen_of_what_was_not_added(repo, tmp_path) -> None:
    await created(repo)
    txn = repo.transaction(message="less")
    token = txn.share()
    await worked(token, slice(0, 4), 1)
    txn.add(await worked(token, slice(4, 8), 2))
    await txn.commit_async()
    assert await seen(repo) == [0] * 4 + [2] * 4 + [0] * 8
    assert len(names(tmp_path, "part")) == 2


async def test_an_abort_stands_in_the_log_and_the_lease_is_released(repo, tmp_path) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    assert [each.name for each in names(tmp_path, "lease")] == ["0"]
    receipt = await worked(token, slice(0, 4), 1)
    records = len(names(tmp_path, "log"))
    txn.abort()
    with pytest.raises(Aborted):
        await txn.future
    assert len(names(tmp_path, "log")) == records + 1
    assert [each.name for each in names(tmp_path, "lease")] == ["0", "1"]
    for again in (at.Transaction.join, at.Transaction.resume):
        with pytest.raises(Aborted, match="its abort stands in the log"):
            await again(token)
    txn.abort()
    with pytest.raises(FailedPrecondition):
        txn.add(receipt)


async def test_a_second_coordinator_cannot_commit_what_the_first_aborted(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    other = await at.Transaction.resume(txn.share())
    other.add(await worked(txn.share(), slice(0, 4), 1))
    with pytest.raises(ValueError, match="mine"):
        async with txn:
            raise ValueError("mine")
    assert txn.aborted
    with pytest.raises(Aborted, match="its abort stands in the log"):
        await other.commit_async()
    assert await seen(repo) == [0] * 16


async def test_what_was_committed_cannot_be_aborted(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    other = await at.Transaction.resume(txn.share())
    await other.commit_async()
    txn.abort()
    with pytest.raises(FailedPrecondition, match="was committed before it was aborted"):
        await txn.future


async def test_a_part_is_no_transaction_of_its_own(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    part = await at.Transaction.join(token)
    for call in (part.commit_async, part.commit_sync):
        with pytest.raises(FailedPrecondition, match="finish"):
            call()
    with pytest.raises(FailedPrecondition, match="does not gather parts"):
        part.add(await worked(token, slice(0, 4), 1))
    with pytest.raises(FailedPrecondition, match="only a part"):
        txn.finish()
    with pytest.raises(FailedPrecondition, match="does not gather parts"):
        repo.transaction().find_receipts()
    with pytest.raises(FailedPrecondition, match="was not finished"):
        async with part:
            await (await opened(token, part))[0:4].write(1)
    assert part.aborted
    with pytest.raises(FailedPrecondition, match="not open"):
        part.finish()
    done = await at.Transaction.join(token)
    first = await done.finish()
    assert await done.finish() is first
    with pytest.raises(FailedPrecondition, match="not open"):
        await at.open(spec(repo), transaction=done)


async def test_a_part_deletes_no_ranges(repo) -> None:
    await created(repo)
    part = await at.Transaction.join(repo.transaction().share())
    await repo.kvstore("image/", transaction=part).delete_range(at.KvStore.KeyRange())
    with pytest.raises(FailedPrecondition, match="cannot delete ranges"):
        await part.finish()
    assert part.aborted


async def test_what_was_deleted_before_sharing_is_deleted_for_workers(repo) -> None:
    await (await created(repo)).write(7)
    txn = repo.transaction()
    await at.open(
        spec(repo),
        create=True,
        delete_existing=True,
        transaction=txn,
        dtype="uint16",
        shape=SHAPE,
        chunk_layout=at.ChunkLayout(chunk_shape=CHUNK),
        fill_value=3,
    )
    token = txn.share()
    txn.add(await worked(token, slice(0, 2), 1))
    await txn.commit_async()
    assert await seen(repo) == [1] * 2 + [3] * 14


async def test_wrong_tokens_and_receipts_are_refused(repo, tmp_path) -> None:
    await created(repo)
    txn, other = repo.transaction(), repo.transaction()
    receipt = await worked(txn.share(), slice(0, 4), 1)
    with pytest.raises(FailedPrecondition, match="does not gather parts"):
        other.add(receipt)
    other.share()
    with pytest.raises(InvalidArgument, match="is of transaction"):
        other.add(receipt)
    with pytest.raises(InvalidArgument, match="is no token"):
        await at.Transaction.join("token")
    with pytest.raises(FailedPrecondition, match="nothing was opened"):
        at.Transaction().share()
    with pytest.raises(Unimplemented, match="not atomic"):
        at.Transaction(atomic=False).share()
    plain = at.Transaction()
    await at.KvStore.open("memory://", transaction=plain)
    elsewhere = await at.Repository.open(f"file://{tmp_path}/other/", create=True)
    changed = {name: getattr(txn.share(), name) for name in at.SharedTransaction.__slots__}
    changed["store"] = elsewhere.kvstore().spec().to_json()
    with pytest.raises((FailedPrecondition, NotFound)):
        await at.Transaction.join(at.SharedTransaction(**changed))


async def test_only_repositories_share(tmp_path) -> None:
    txn = at.Transaction()
    store = await at.KvStore.open("memory://", transaction=txn)
    await store.write("a", b"1")
    with pytest.raises(Unimplemented, match="only transactions of a repository"):
        txn.share()
    with pytest.raises(Unimplemented, match=r"share\(\) gives a token"):
        pickle.dumps(txn)


async def test_too_much_for_a_token_is_refused(repo) -> None:
    txn = repo.transaction()
    await repo.kvstore(transaction=txn).write("large", bytes(300_000))
    with pytest.raises(FailedPrecondition, match="share it first"):
        txn.share()
    assert txn.open


async def test_threads_join_as_processes_do(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    receipts: list[at.Receipt] = []

    def work(task: int) -> None:
        with at.Transaction.join(token).result() as part:
            image = at.open(
                {"driver": "zarr3", "kvstore": {**token.store, "path": "image/"}}, transaction=part
            ).result()
            image[4 * task : 4 * task + 4].write(task + 1).result()
            receipts.append(part.finish(worker=f"{task}").result())

    threads = [threading.Thread(target=work, args=(task,), daemon=True) for task in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    txn.add_many(receipts)
    txn.commit_sync()
    assert await seen(repo) == np.repeat([1, 2, 3, 4], 4).tolist()
