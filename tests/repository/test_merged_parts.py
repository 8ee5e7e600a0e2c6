"""Several workers of one transaction write parts of one chunk, or shard: they are merged."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import AlreadyExists, FailedPrecondition
from asynctensor.kvstores.repo import overlaps


@pytest.fixture
async def repo(tmp_path: Path) -> at.Repository:
    return await at.Repository.open(f"file://{tmp_path}/lab/", create=True)


def spec(repo: at.Repository, driver: str = "zarr3") -> dict[str, Any]:
    return {"driver": driver, "kvstore": repo.kvstore("image/")}


async def created(repo: at.Repository, driver: str = "zarr3", **given: Any) -> at.TensorStore:
    options: dict[str, Any] = {
        "dtype": "uint16", "shape": [16, 8], "chunk_layout": at.ChunkLayout(chunk_shape=[4, 4]),
    }  # fmt: skip
    return await at.open(spec(repo, driver), create=True, **options | given)


async def worked(
    token: at.SharedTransaction, at_: Any, value: Any, worker: str, driver: str = "zarr3"
) -> at.Receipt:
    async with await at.Transaction.join(token) as part:
        image = await at.open(
            {"driver": driver, "kvstore": {**token.store, "path": "image/"}}, transaction=part
        )
        for each in at_ if isinstance(at_, list) else [at_]:
            await image[each].write(value)
        return await part.finish(worker=worker)


async def seen(repo: at.Repository, driver: str = "zarr3") -> np.ndarray:
    await repo.refresh()
    return await (await at.open(spec(repo, driver))).read()


SHARDED = at.ChunkLayout(write_chunk_shape=[8, 8], read_chunk_shape=[2, 4])


@pytest.mark.parametrize(
    ("driver", "given"),
    [("zarr3", {}), ("zarr3", {"chunk_layout": SHARDED}), ("zarr", {}), ("n5", {}),
     ("zarr3", {"dtype": "string"}), ("zarr3", {"dtype": "complex128", "fill_value": 1j})],
)  # fmt: skip
async def test_disjoint_parts_are_merged(repo, driver, given) -> None:
    image = await created(repo, driver, **given)
    kind = (lambda each: b"%d" % each) if given.get("dtype") == "string" else int
    await image[2].write(kind(7))
    expected = await seen(repo, driver)
    txn = repo.transaction(message="parts")
    token = txn.share()
    work = {"a": np.s_[0:6], "b": np.s_[6:7, :5], "c": np.s_[6:7, 5:], "d": np.s_[7:16:2]}
    for value, (worker, where) in enumerate(work.items(), 1):
        txn.add(await worked(token, where, kind(value), worker, driver))
        expected[where] = kind(value)
    await txn.commit_async()
    assert (await seen(repo, driver)).tolist() == expected.tolist()
    # Each key stands in the commit once, and all of it is readable for whoever comes anew.
    assert (await repo.verify()).damaged == 0
    (commit,) = [each async for each in repo.log(limit=1)]
    assert commit.changes.chunks == {next(iter(commit.changes.chunks)): len(await chunks(repo))}


async def chunks(repo: at.Repository) -> list[bytes]:
    return [key for key in await repo.kvstore("image/").list() if key[-1:].isdigit()]


async def test_what_both_wrote_alike_is_no_conflict(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    txn.add(await worked(token, np.s_[0:3], 5, "one"))
    txn.add(await worked(token, np.s_[2:4], 5, "two"))
    txn.add(await worked(token, np.s_[0:4, 0:4], 5, "whole"))
    await txn.commit_async()
    assert (await seen(repo))[:, 0].tolist() == [5] * 4 + [0] * 12


@pytest.mark.parametrize(
    ("one", "other", "box"),
    [
        (np.s_[4:7], np.s_[6:8, 1:], "[6:7, 1:4] of 'image/', in chunk [1, 0]"),
        (np.s_[4:7:2], np.s_[6:8, 1:3], "[6:7, 1:3] of 'image/', in chunk [1, 0]"),
        (np.s_[4:8, 4:8], np.s_[5, 5], "[5:6, 5:6] of 'image/', in chunk [1, 1]"),
    ],
)
async def test_what_they_wrote_differently_is_refused_by_name(repo, one, other, box) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    txn.add(await worked(token, one, 1, "one"))
    txn.add(await worked(token, other, 2, "other"))
    with pytest.raises(FailedPrecondition) as caught:
        await txn.commit_async()
    assert f"worker 'one' and worker 'other' both wrote elements {box}" in str(caught.value)
    assert not (await seen(repo)).any()
    # The rest of the work is not lost.
    anew = await at.Transaction.resume(token)
    anew.add(txn.receipts[0] if txn.receipts else (await anew.find_receipts())[0])
    await anew.commit_async()
    assert (await seen(repo)).any()


@pytest.mark.parametrize("at_once", [1, 5])
async def test_more_chunks_than_are_known_of_at_once_are_merged(repo, monkeypatch, at_once) -> None:
    monkeypatch.setattr(overlaps, "_AT_ONCE", at_once)
    await created(repo)
    other = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("other/")}, create=True,
        dtype="uint16", shape=[6], chunk_layout=at.ChunkLayout(chunk_shape=[2]),
    )  # fmt: skip
    txn = repo.transaction(message="parts")
    token = txn.share()
    for i in range(2):
        async with await at.Transaction.join(token) as part:
            image = await at.open(spec(repo), transaction=part)
            await image[i::2].write(i + 1)
            await other.with_transaction(part)[i::2].write(i + 3)
            txn.add(await part.finish(worker=f"{i}"))
    await txn.commit_async()
    assert (await seen(repo)).tolist() == [[1] * 8, [2] * 8] * 8
    assert (await other.read()).tolist() == [3, 4] * 3
    assert (await repo.verify()).damaged == 0
    (commit,) = [each async for each in repo.log(limit=1)]
    assert commit.changes.chunks == {"image/c/": 8, "other/c/": 3}
    # What is refused behind many that are merged is refused all the same.
    txn = repo.transaction(message="parts")
    token = txn.share()
    work = {"a": [np.s_[::2], np.s_[15]], "b": [np.s_[1:15:2], np.s_[15]]}
    for value, (worker, where) in enumerate(work.items(), 1):
        txn.add(await worked(token, where, value, worker))
    with pytest.raises(FailedPrecondition, match=r"both wrote elements \[15:16, 0:4\]"):
        await txn.commit_async()
    assert (await seen(repo)).tolist() == [[1] * 8, [2] * 8] * 8


@pytest.mark.parametrize("twice", [False, True])
async def test_what_was_moved_out_of_memory_and_written_again_is_a_part(repo, twice) -> None:
    """And not all of the chunk: what another one wrote beside it stays."""
    options = {"dtype": "uint8", "shape": [512, 512]}
    image = await created(repo, **options, chunk_layout=at.ChunkLayout(chunk_shape=[256, 256]))
    await image[300].write(7)
    expected = await seen(repo)
    txn = repo.transaction()
    token = txn.share()
    async with await at.Transaction.join(token, staged_bytes_limit=1 << 16) as part:
        mine = image.with_transaction(part)
        for turn in range(3 if twice else 2):
            for row in range(10 * turn, 512, 64):
                await mine[row : row + 15, 5:500].write(turn + 1)
                expected[row : row + 15, 5:500] = turn + 1
        txn.add(await part.finish(worker="rows"))
    async with await at.Transaction.join(token) as part:
        await image.with_transaction(part)[:, 500:].write(9)
        expected[:, 500:] = 9
        txn.add(await part.finish(worker="edge"))
    await txn.commit_async()
    assert np.array_equal(await seen(repo), expected)


async def test_what_whoever_commits_wrote_is_merged_too(repo) -> None:
    txn = repo.transaction()
    image = await at.open(
        spec(repo), create=True, transaction=txn, dtype="uint16", shape=[16, 8],
        chunk_layout=at.ChunkLayout(chunk_shape=[4, 4]),
    )  # fmt: skip
    token = txn.share()
    await image[0:2].write(1)
    txn.add(await worked(token, np.s_[2:5], 2, "it"))
    await txn.commit_async()
    assert (await seen(repo))[:, 0].tolist() == [1] * 2 + [2] * 3 + [0] * 11


async def test_the_same_receipts_are_the_same_commit(repo) -> None:
    await created(repo)
    txn = repo.transaction(message="once")
    token = txn.share()
    receipts = [await worked(token, np.s_[2 * i : 2 * i + 2], i + 1, f"{i}") for i in range(4)]
    txn.add_many(receipts)
    await txn.commit_async()
    again = await at.Transaction.resume(token)
    # Parts that were stored anew for the commit are nobody's work.
    found = await again.find_receipts()
    assert sorted(each.body for each in found) == sorted(each.body for each in receipts)
    again.add_many(found[::-1])
    await again.commit_async()
    assert again.commit_id == txn.commit_id
    less = await at.Transaction.resume(token)
    less.add_many(receipts[1:])
    with pytest.raises(AlreadyExists):
        await less.commit_async()
    assert [each.message async for each in repo.log()][:1] == ["once"]


async def test_commits_of_others_to_the_chunk_still_conflict(repo) -> None:
    await created(repo)
    txn = repo.transaction()
    token = txn.share()
    for i in range(2):
        txn.add(await worked(token, np.s_[i], i + 1, f"{i}"))
    async with repo.transaction() as other:
        await (await at.open(spec(repo), transaction=other))[3].write(9)
    with pytest.raises(at.errors.Aborted, match="image/c/0/0"):
        await txn.commit_async()
    assert (await seen(repo))[:, 0].tolist() == [0] * 3 + [9] + [0] * 12


async def test_a_merge_that_leaves_nothing_deletes_the_chunk(repo) -> None:
    await (await created(repo))[0:4].write(3)
    txn = repo.transaction()
    token = txn.share()
    for i in range(2):
        txn.add(await worked(token, np.s_[2 * i : 2 * i + 2], 0, f"{i}"))
    await txn.commit_async()
    assert await chunks(repo) == []


async def test_fields_of_the_same_records_are_not_merged(repo) -> None:
    metadata = {"dtype": [["a", "<i2"], ["b", "<i2"]], "shape": [4], "chunks": [4]}
    await at.open({**spec(repo, "zarr"), "metadata": metadata, "field": "a"}, create=True)
    txn = repo.transaction()
    token = txn.share()
    for field in "ab":
        async with await at.Transaction.join(token) as part:
            given = {"driver": "zarr", "kvstore": {**token.store, "path": "image/"}, "field": field}
            await (await at.open(given, transaction=part)).write(1)
            txn.add(await part.finish(worker=field))
    with pytest.raises(FailedPrecondition, match=r"both wrote elements \[0:4\] of"):
        await txn.commit_async()


@settings(max_examples=12, deadline=None)
@given(
    owners=st.lists(st.integers(0, 4), min_size=40, max_size=40),
    chunk=st.integers(1, 11),
    sharded=st.booleans(),
)
def test_any_disjoint_parts_are_merged(owners: list[int], chunk: int, sharded: bool) -> None:
    layout = at.ChunkLayout(chunk_shape=[chunk])
    if sharded:
        layout = at.ChunkLayout(write_chunk_shape=[2 * chunk], read_chunk_shape=[chunk])

    async def main() -> None:
        repo = await at.Repository.open("memory://lab/", create=True, context=at.Context())
        image = await created(repo, shape=[40], chunk_layout=layout)
        await image[::3].write(99)
        expected = await image.read()
        txn = repo.transaction()
        token = txn.share()
        context = repo._context
        for worker in range(1, 5):
            mine = np.flatnonzero(np.array(owners) == worker)
            if not len(mine):
                continue
            part = await at.Transaction.join(token, context=context)
            view = await at.open(spec(repo), transaction=part, context=context)
            await view[mine].write(worker)
            expected[mine] = worker
            txn.add(await part.finish(worker=f"{worker}"))
        await txn.commit_async()
        assert (await seen(repo)).tolist() == expected.tolist()

    asyncio.run(main())
