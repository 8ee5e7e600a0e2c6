"""Appends: everybody's data stay, one after the other, whatever the chunks are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as at
from asynctensor.errors import Aborted, FailedPrecondition, InvalidArgument


@pytest.fixture
async def repo() -> at.Repository:
    return await at.Repository.open("memory://lab/", create=True, context=at.Context())


async def made(repo: at.Repository, shape: list[int], chunks: list[int], **given: Any) -> Any:
    spec = {"driver": given.pop("driver", "zarr3"), "kvstore": repo.kvstore("a/")}
    layout = at.ChunkLayout(write_chunk_shape=chunks, read_chunk_shape=given.pop("inner", chunks))
    return await at.open(
        spec, create=True, dtype="int32", shape=shape, chunk_layout=layout, **given
    )


def block(number: int, count: int, width: int = 3) -> np.ndarray:
    return np.full((count, width), number, "i4")


@pytest.mark.parametrize("driver", ["zarr3", "zarr2", "n5", "shards"])
@pytest.mark.parametrize(("first", "counts"), [(4, (4, 8)), (5, (3, 6)), (0, (1, 1)), (8, (3, 9))])
async def test_two_appends_both_land(
    repo: at.Repository, driver: str, first: int, counts: tuple[int, int]
) -> None:
    inner = {"driver": "zarr3", "inner": [2, 2]} if driver == "shards" else {"driver": driver}
    store = await made(repo, [0, 3], [4, 2], **inner)
    store = await store.append(block(1, first)) if first else store
    transactions = [repo.transaction() for _ in counts]
    for number, (txn, count) in enumerate(zip(transactions, counts, strict=True)):
        staged = store.with_transaction(txn)
        grown = await staged.append(block(number + 2, count - 1) if count > 1 else block(9, 0))
        grown = await grown.append(block(number + 2, 1))
        assert grown.shape == (first + count, 3)
        if first % 4 == 0:
            # Elsewhere, it would be read with what others may change.
            assert (await grown[first : first + count].read() == number + 2).all()
        await grown[first, 0].write(-1)
    for txn in transactions:
        await txn.commit_async()
    data = await (await store.resolve()).read()
    parts = [block(1, first), *(block(n + 2, count) for n, count in enumerate(counts))]
    for part in parts[1:]:
        part[0, 0] = -1
    assert data.tolist() == np.concatenate(parts).tolist()


async def test_many_tasks_append(repo: at.Repository) -> None:
    store = await made(repo, [0, 3], [4, 3])

    async def work(number: int) -> None:
        for _ in range(3):
            await store.append(block(number, number % 3 + 1))

    await asyncio.gather(*map(work, range(8)))
    data = await (await store.resolve()).read()
    expected = [n for n in range(8) for _ in range(3 * (n % 3 + 1))]
    assert sorted(data[:, 0].tolist()) == expected
    assert (data == data[:, :1]).all()
    # What one call appended lies together.
    runs = [k for k in range(1, len(data)) if data[k, 0] != data[k - 1, 0]]
    assert len(runs) < 24


async def test_along_another_axis_beside_other_changes(repo: at.Repository) -> None:
    store = await made(repo, [4, 3], [4, 2])
    one, two, three = (store.with_transaction(repo.transaction()) for _ in range(3))
    await one.append(np.full((4, 2), 1, "i4"), axis=-1)
    await two.append(np.full((4, 2), 2, "i4"), 1)
    await two[0, 0].write(7)
    await three.resize(exclusive_max=[6, 3])
    await (await at.open_attributes(three)).set("x", 1)
    for each in (one, three, two):
        await each.transaction.commit_async()
    data = await (await store.resolve()).read()
    assert data.shape == (6, 7)
    assert data[:4, 3:].tolist() == [[1, 1, 2, 2]] * 4
    assert data[0, 0] == 7
    assert data.sum() == 4 * 6 + 7


async def test_beside_a_resize_of_the_same_dimension(repo: at.Repository) -> None:
    store = await made(repo, [4, 3], [4, 3])
    one, two = (store.with_transaction(repo.transaction()) for _ in range(2))
    await one.resize(exclusive_max=[9, 3])
    await two.append(block(2, 2))
    await one.transaction.commit_async()
    await two.transaction.commit_async()
    store = await store.resolve()
    assert store.shape == (11, 3)
    assert (await store[9:].read() == 2).all()
    one, two = (store.with_transaction(repo.transaction()) for _ in range(2))
    await one.append(block(3, 2))
    await two.append(block(4, 2))
    await two.resize(exclusive_max=[30, 3])
    await one.transaction.commit_async()
    with pytest.raises(Aborted, match=r"shape\[0\]"):
        await two.transaction.commit_async()


async def test_whole_chunks_at_the_edge_do_not_wipe_out_what_was_appended(
    repo: at.Repository,
) -> None:
    store = await made(repo, [6, 3], [4, 3])
    one, two = (store.with_transaction(repo.transaction()) for _ in range(2))
    await one[0:6].write(1)
    await two.append(block(2, 2))
    await two.transaction.commit_async()
    await one.transaction.commit_async()
    data = await (await store.resolve()).read()
    assert data[:, 0].tolist() == [1] * 6 + [2] * 2


async def test_without_transactions_and_on_files(tmp_path: Path) -> None:
    store = await at.open(
        {"driver": "zarr3", "kvstore": f"file://{tmp_path}/a/"},
        create=True, dtype="int32", shape=[0, 3], chunk_layout=at.ChunkLayout(chunk_shape=[4, 3]),
    )  # fmt: skip
    await asyncio.gather(*(store.append(block(n, 2)) for n in range(5)))
    store = await store.resolve()
    assert store.shape == (10, 3)
    data = await store.read()
    assert sorted(data[::2, 1].tolist()) == list(range(5))
    assert (data[::2] == data[1::2]).all()
    async with at.Transaction(atomic=False) as one:
        await store.with_transaction(one).append(block(7, 2))
        await store.append(block(8, 3))
    store = await store.resolve()
    assert (await store[10:, 0].read()).tolist() == [8] * 3 + [7] * 2


async def test_what_does_not_fit_is_refused(repo: at.Repository) -> None:
    store = await made(repo, [4, 3], [4, 3])
    for source, axis in ((block(1, 2, 4), 0), (block(1, 2), 1), (np.zeros(3, "i4"), 0)):
        with pytest.raises(InvalidArgument):
            await store.append(source, axis)
    with pytest.raises(InvalidArgument):
        await store.append(block(1, 2), 2)
    with pytest.raises(FailedPrecondition):
        await store[:2].append(block(1, 2))
    with pytest.raises(at.Error):
        await store.append(np.zeros((1, 3)))
    assert (await store.append(block(1, 0))).shape == (4, 3)
    assert (await store.resolve()).shape == (4, 3)


@settings(max_examples=20, deadline=None)
@given(
    size=st.integers(1, 5),
    first=st.integers(0, 7),
    plan=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=2), min_size=2, max_size=3),
    order=st.permutations(range(3)),
    edge=st.booleans(),
)
def test_any_appends_in_any_chunks(
    size: int, first: int, plan: list[list[int]], order: list[int], edge: bool
) -> None:
    async def run() -> None:
        repo = await at.Repository.open("memory://lab/", create=True, context=at.Context())
        store = await made(repo, [first, 2], [size, 2])
        staged = [store.with_transaction(repo.transaction()) for _ in plan]
        for number, (each, counts) in enumerate(zip(staged, plan, strict=True)):
            if edge and first and not number:
                await each.write(50)
            for k, count in enumerate(counts):
                await each.append(np.full((count, 2), 10 * number + k + 1, "i4"))
        expected = [50 if edge else 0] * first
        for number in [n for n in order if n < len(plan)]:
            await staged[number].transaction.commit_async()
            for k, count in enumerate(plan[number]):
                expected += [10 * number + k + 1] * count
        data = await (await store.resolve()).read()
        assert data[:, 0].tolist() == data[:, 1].tolist() == expected

    asyncio.run(run())
