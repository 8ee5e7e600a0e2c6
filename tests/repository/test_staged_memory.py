"""What a transaction stages beyond its limit is not held in memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as at
from asynctensor.errors import Aborted, InvalidArgument, ResourceExhausted
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.open_over import open_over
from asynctensor.transaction.transaction import Transaction

LIMIT = 1 << 20
SIDE, CHUNK = 2048, 256


@pytest.fixture
async def repo(tmp_path: Path) -> at.Repository:
    return await at.Repository.open(f"file://{tmp_path}/lab/", create=True)


async def created(repo: at.Repository, txn: Any = None, name: str = "image/") -> at.TensorStore:
    return await at.open(
        {"driver": "zarr3", "kvstore": repo.kvstore(name)}, create=True, open=True,
        transaction=txn, dtype="uint8", shape=[SIDE, SIDE],
        chunk_layout=at.ChunkLayout(chunk_shape=[CHUNK, CHUNK]),
    )  # fmt: skip


def packs(folder: Path) -> list[Path]:
    return [each for each in (folder / "lab" / "data").rglob("*") if each.is_file()]


async def rows(image: at.TensorStore, data: np.ndarray, step: int = CHUNK) -> None:
    for start in range(0, SIDE, step):
        stop = min(start + step, SIDE)
        await image[start:stop].write(data[start:stop])


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)


@pytest.mark.parametrize("step", [CHUNK, 100])
async def test_it_is_in_the_store_before_the_commit_and_nobody_sees_it(
    repo, tmp_path, step
) -> None:
    data = noise(1)
    txn = repo.transaction(message="large", staged_bytes_limit=LIMIT)
    image = await created(repo, txn)
    await rows(image, data, step)
    assert sum(each.stat().st_size for each in packs(tmp_path)) > 2 * LIMIT
    assert await repo.kvstore().list() == []
    # What was staged is read as ever, and written over.
    assert np.array_equal(await image[200:300].read(), data[200:300])
    await image[10:600, 5].write(3)
    data[10:600, 5] = 3
    assert np.array_equal(await image.read(), data)
    await txn.commit_async()
    assert np.array_equal(await (await created(repo)).read(), data)
    assert (await repo.verify()).damaged == 0


async def test_its_memory_is_bounded(repo) -> None:
    data = noise(2)
    await rows(await created(repo, name="warm/"), data)
    tracemalloc.start()
    try:
        for limit, most in ((LIMIT, 3 * LIMIT), (1 << 30, None)):
            txn = repo.transaction(staged_bytes_limit=limit)
            image = await created(repo, txn)
            await asyncio.gather(
                *(image[k : k + 64].write(data[k : k + 64]) for k in range(0, SIDE, 64))
            )
            held = tracemalloc.get_traced_memory()[0]
            txn.abort()
            await asyncio.wait([asyncio.ensure_future(settled(txn))])
            if most is None:
                assert held > SIDE * SIDE
            else:
                assert held < most
            del txn, image
    finally:
        tracemalloc.stop()


async def settled(txn: Transaction) -> None:
    with pytest.raises(Aborted):
        await txn.future


async def test_it_is_deleted_when_the_transaction_is_aborted(repo, tmp_path) -> None:
    txn = repo.transaction(staged_bytes_limit=LIMIT)
    await rows(await created(repo, txn), noise(3))
    assert packs(tmp_path) != []
    txn.abort()
    await settled(txn)
    assert packs(tmp_path) == []


async def test_it_is_deleted_when_the_commit_fails(repo, tmp_path) -> None:
    await repo.kvstore().write("k", b"1")
    txn = repo.transaction(staged_bytes_limit=LIMIT)
    await repo.kvstore(transaction=txn).read("k")
    await rows(await created(repo, txn), noise(4))
    await repo.kvstore().write("k", b"2")
    with pytest.raises(Aborted, match="k"):
        await txn.commit_async()
    assert packs(tmp_path) == []


async def test_a_commit_that_is_tried_again_has_all_of_it(repo, tmp_path) -> None:
    """Both change parts of one chunk: the second works it out anew, under another id."""
    image, own = await created(repo), [await created(repo, name=f"{k}/") for k in range(2)]
    data = [noise(k) for k in range(2)]
    txns = [repo.transaction(message=f"{k}", staged_bytes_limit=LIMIT) for k in range(2)]
    for k, txn in enumerate(txns):
        await image.with_transaction(txn)[k, :5].write(k + 1)
        await rows(own[k].with_transaction(txn), data[k], 100)
    await asyncio.gather(*(txn.commit_async() for txn in txns))
    assert (await image[:2, :6].read()).tolist() == [[1] * 5 + [0], [2] * 5 + [0]]
    for k in range(2):
        assert np.array_equal(await own[k].read(), data[k])
    assert (await repo.verify()).damaged == 0
    # What the first try had stored is gone.
    assert sum(each.stat().st_size for each in packs(tmp_path)) < 2.1 * SIDE * SIDE


async def test_reads_meanwhile_see_what_was_staged(repo) -> None:
    data = noise(9)
    txn = repo.transaction(staged_bytes_limit=LIMIT)
    image = await created(repo, txn)
    await image[:256].write(data[:256])

    async def look() -> None:
        for _ in range(20):
            assert np.array_equal(await image[:256].read(), data[:256])

    await asyncio.gather(later(image, data), look())
    await txn.commit_async()


async def later(image: at.TensorStore, data: np.ndarray) -> None:
    for start in range(256, SIDE, 100):
        stop = min(start + 100, SIDE)
        await image[start:stop].write(data[start:stop])


async def test_an_abort_meanwhile_leaves_nothing(repo, tmp_path) -> None:
    data = noise(10)
    for turns in range(6):
        txn = repo.transaction(staged_bytes_limit=LIMIT)
        image = await created(repo, txn)
        parts = [slice(k, k + 256) for k in range(0, SIDE, 256)]
        writes = [asyncio.ensure_future(done(image[each].write(data[each]))) for each in parts]
        await asyncio.wait(writes[: turns + 1])
        txn.abort()
        await settled(txn)
        await asyncio.wait(writes)
        assert packs(tmp_path) == []


async def done(write: Any) -> None:
    with suppress(Exception):
        await write


async def test_whole_values_are_moved_too(repo, tmp_path) -> None:
    txn = repo.transaction(staged_bytes_limit=LIMIT)
    store = repo.kvstore(transaction=txn)
    values = {f"blob {i}": bytes([i]) * 300_000 for i in range(8)}
    for key, value in values.items():
        await store.write(key, value)
    await asyncio.sleep(0)
    for key, value in values.items():
        assert (await store.read(key)).value == value
    await store.write("blob 0", b"anew")
    await txn.commit_async()
    assert (await repo.kvstore().read("blob 0")).value == b"anew"
    assert (await repo.kvstore().read("blob 7")).value == values["blob 7"]


@pytest.mark.parametrize("atomic", [True, False])
async def test_where_no_store_takes_it_a_file_does(tmp_path, monkeypatch, atomic) -> None:
    """In memory, and in isolated mode."""
    data = noise(6)
    base = MemoryStore()
    layout = at.ChunkLayout(chunk_shape=[CHUNK, CHUNK])
    image = await open_over(base, dtype="uint8", shape=[SIDE, SIDE], chunk_layout=layout)
    txn = Transaction(atomic=atomic, staged_bytes_limit=LIMIT)
    await rows(image.with_transaction(txn), data, 100)
    assert np.array_equal(await image.with_transaction(txn)[:150].read(), data[:150])
    assert not (await image.read()).any()
    await txn.commit_async()
    assert np.array_equal(await image.read(), data)


async def test_a_full_temporary_folder_is_said(monkeypatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    image = await open_over(
        MemoryStore(), dtype="uint8", shape=[SIDE, SIDE],
        chunk_layout=at.ChunkLayout(chunk_shape=[CHUNK, CHUNK]),
    )  # fmt: skip
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    txn = Transaction(staged_bytes_limit=LIMIT)
    await rows(image.with_transaction(txn), noise(7))
    with pytest.raises(ResourceExhausted, match="TMPDIR"):
        await txn.commit_async()
    assert not (await image.read()).any()


@pytest.mark.parametrize("limit", [-1, 1.5, True, "1"])
def test_what_is_no_limit_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="staged_bytes_limit"):
        Transaction(staged_bytes_limit=limit)


async def test_parts_of_other_processes_move_theirs_too(repo, tmp_path) -> None:
    data = noise(8)
    image = await created(repo)
    txn = repo.transaction()
    await image.with_transaction(txn)[0, 0].read()
    token = txn.share()
    async with await at.Transaction.join(token) as part:
        part._memory.limit = LIMIT
        await rows(await created(repo, part), data, 100)
        assert packs(tmp_path) != []
        txn.add(await part.finish())
    await txn.commit_async()
    await repo.refresh()
    assert np.array_equal(await image.read(), data)
