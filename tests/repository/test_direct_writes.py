"""Writes of arrays of a repository without a transaction: each is one commit."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import DataLoss, FailedPrecondition
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.repo.opening import place_of
from asynctensor.kvstores.repo.source import source_of
from asynctensor.kvstores.repo.state import RepositoryState
from asynctensor.kvstores.repo.store import RepositoryStore
from asynctensor.runtime.event_loop import start
from asynctensor.testing.kvstore_calls import write
from asynctensor.testing.open_over import open_over


@pytest.fixture
async def repo(tmp_path: Path) -> at.Repository:
    return await at.Repository.open(f"file://{tmp_path}/lab/", create=True)


async def created(repo: at.Repository, **given) -> at.TensorStore:
    return await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("image/")},
        create=True, dtype="uint16", shape=[64, 64],
        chunk_layout=at.ChunkLayout(chunk_shape=[16, 16]), **given,
    )  # fmt: skip


async def commits(repo: at.Repository) -> list[str]:
    await repo.refresh()
    return [each.id async for each in repo.log()]


async def test_a_write_of_many_chunks_is_one_commit(repo) -> None:
    image = await created(repo)
    before = len(await commits(repo))
    data = np.random.default_rng(1).integers(0, 1 << 16, (64, 64), np.uint16)
    await image.write(data)
    log = await commits(repo)
    assert len(log) == before + 1
    assert np.array_equal(await image.read(), data)
    # Of a whole and of parts, through views.
    await image[3:40:2, [1, 20, 63]].write(5)
    data[3:40:2, [1, 20, 63]] = 5
    assert len(await commits(repo)) == before + 2
    assert np.array_equal(await image.read(), data)
    spec = {"driver": "zarr3", "kvstore": repo.kvstore("image/", snapshot=log[0])}
    assert not np.array_equal(await (await at.open(spec)).read(), data)


async def test_overlapping_writes_lose_nothing_and_share_commits(repo) -> None:
    image = await created(repo)
    before = len(await commits(repo))
    await asyncio.gather(*(image[row].write(row + 1) for row in range(64)))
    assert np.array_equal(await image.read(), np.repeat(np.arange(1, 65), 64).reshape(64, 64))
    # Those that waited for the same chunks went together.
    assert len(await commits(repo)) - before <= 2 * 64 // 16


async def test_what_shares_no_chunk_is_a_commit_of_its_own(repo) -> None:
    image = await created(repo)
    before = len(await commits(repo))
    await asyncio.gather(*(image[16 * k : 16 * k + 16].write(k) for k in range(4)))
    assert len(await commits(repo)) == before + 4


async def test_of_writes_that_overlap_the_later_stays(repo) -> None:
    image = await created(repo)
    await asyncio.gather(*(image[k : k + 33].write(k + 1) for k in (0, 31, 10)))
    expected = np.zeros(64, int)
    for k in (0, 31, 10):
        expected[k : k + 33] = k + 1
    assert (await image.read())[:, 5].tolist() == expected.tolist()


async def test_writers_of_two_processes_lose_nothing() -> None:
    base = MemoryStore()
    states = [RepositoryState(place_of(base, "")) for _ in range(2)]
    await start(states[0].create)
    images = [await over(each) for each in states]
    await asyncio.gather(*(images[i % 2][i].write(i + 1) for i in range(16)))
    # Whoever commits once more has seen everything.
    await write(stored(states[0]), "last", b"")
    assert np.array_equal((await images[0].read())[:, 0], np.arange(1, 17))


def stored(state: RepositoryState) -> RepositoryStore:
    return RepositoryStore(state, source_of(state, {}))


async def over(state: RepositoryState) -> at.TensorStore:
    return await open_over(
        stored(state), "image/", dtype="uint16", shape=[16, 16],
        chunk_layout=at.ChunkLayout(chunk_shape=[8, 8]),
    )  # fmt: skip


async def test_a_damaged_chunk_fails_the_writes_that_need_it_and_no_other(repo) -> None:
    image = await created(repo)
    await repo.kvstore().write("image/c/0/0", b"nothing that can be decoded")
    results = await asyncio.gather(
        image[:, 3].write(1), image[40].write(2), image[8, 8].write(4), image[9, 16:].write(5),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(each) for each in results] == [DataLoss, type(None), DataLoss, type(None)]
    assert "image/c/0/0" in str(results[0])
    assert (await image[40].read()).tolist() == [2] * 64
    assert (await image[9, 16:].read()).tolist() == [5] * 48
    assert (await image[16:40].read()).max() == 0
    await repo.kvstore().write("image/c/3/3", b"neither")
    before = await commits(repo)
    with pytest.raises(DataLoss):
        await image[60:, 40:].write(1)
    # All or nothing: the other chunk of the write is as it was.
    assert (await image[60, 40].read()) == 0
    assert await commits(repo) == before


async def test_a_write_that_is_given_up_is_there_whole_or_not_at_all(repo, tmp_path) -> None:
    image = await created(repo)
    for turns in range(12):
        before = set(await commits(repo))
        writing = image[1:].write(turns + 1)
        other = image[0].write(turns + 1)
        for _ in range(turns):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([asyncio.ensure_future(settled(each)) for each in (writing, other)])
        values = await image.read()
        assert (values[0] == turns + 1).all()
        assert len(np.unique(values[1:])) == 1
        assert len(set(await commits(repo)) - before) in (1, 2)


async def settled(future) -> None:
    with suppress(asyncio.CancelledError):
        await future


async def test_progress_is_told_chunk_by_chunk(repo) -> None:
    image = await created(repo)
    told: list[int] = []
    await image.write(7, progress=lambda each: told.append(each.done))
    assert told == list(range(1, 17))


async def test_nothing_of_a_failed_write_is_left_in_the_store(repo, tmp_path) -> None:
    image = await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore("large/")},
        create=True, dtype="uint8", shape=[4, 1 << 20],
        chunk_layout=at.ChunkLayout(chunk_shape=[2, 1 << 20]),
    )  # fmt: skip
    await repo.kvstore().write("large/c/1/0", b"nothing that can be decoded")
    with pytest.raises(DataLoss):
        await image[:3].write(1)
    assert [each for each in (tmp_path / "lab/data").rglob("*") if each.is_file()] == []


async def test_an_array_becomes_smaller_in_one_commit(repo) -> None:
    image = await created(repo)
    await image.write(7)
    before = await commits(repo)
    told: list[int] = []
    smaller = await image.resize(
        exclusive_max=[32, 16], progress=lambda each: told.append(each.done)
    )
    log = await commits(repo)
    assert log[1:] == before
    assert (smaller.shape, told) == ((32, 16), list(range(1, 15)))
    assert [key for key in await repo.kvstore("image/").list() if key.startswith(b"c/")] == [
        b"c/0/0", b"c/1/0",
    ]  # fmt: skip
    old = {"driver": "zarr3", "kvstore": repo.kvstore("image/", snapshot=before[0])}
    assert (await (await at.open(old)).read() == 7).all()
    for grown in ([64, 64], [64, 64]):
        larger = await smaller.resize(exclusive_max=grown)
    # What has that shape already is not committed.
    assert len(await commits(repo)) == len(log) + 1
    assert np.count_nonzero(await larger.read()) == 32 * 16
    frozen = await at.open({"driver": "zarr3", "kvstore": repo.kvstore("image/", snapshot=log[0])})
    with pytest.raises(FailedPrecondition, match="never changes"):
        await frozen.resize(exclusive_max=[4, 4])


async def test_chunks_that_went_with_a_resize_are_not_shown_from_memory(repo) -> None:
    context = at.Context({"cache_pool": {"total_bytes_limit": 1 << 20}})
    image = await created(repo, context=context, recheck_cached_data=False)
    await image.write(7)
    assert (await image.read() == 7).all()
    smaller = await image.resize(exclusive_max=[16, 64])
    larger = await smaller.resize(exclusive_max=[64, 64])
    assert np.count_nonzero(await larger.read()) == 16 * 64


async def test_chunks_that_went_in_a_transaction_are_not_shown_from_memory(repo) -> None:
    context = at.Context({"cache_pool": {"total_bytes_limit": 1 << 20}})
    image = await created(repo, context=context, recheck_cached_data=False)
    await image.write(7)
    assert (await image.read() == 7).all()
    async with repo.transaction() as txn:
        await image.with_transaction(txn).resize(exclusive_max=[16, 64])
        # Nobody outside knows of it yet.
        assert (await image.read() == 7).all()
    async with repo.transaction() as txn:
        smaller = await image.with_transaction(txn).resolve()
        await smaller.resize(exclusive_max=[64, 64])
    larger = await image.resolve()
    assert np.count_nonzero(await larger.read()) == 16 * 64
    txn = repo.transaction()
    await image.with_transaction(txn).resize(exclusive_max=[8, 64])
    txn.abort()
    assert np.count_nonzero(await larger.read()) == 16 * 64


async def test_whoever_writes_all_the_time_does_not_keep_an_array_from_becoming_smaller(
    repo,
) -> None:
    image = await created(repo)
    await image.write(7)
    resizing = asyncio.ensure_future(image.resize(exclusive_max=[16, 64]))
    written = 0
    while not resizing.done():
        written += 1
        await image[:16, :16].write(written)
    assert (await resizing).shape == (16, 64)
    assert (await image[:16, :16].read() == written).all()
    assert len(await repo.kvstore("image/c/").list()) == 4
