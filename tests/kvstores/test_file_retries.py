"""``file_io_retries``: what a disk failed to do is done again, where that does no harm."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

import asynctensor as at
from asynctensor.errors import PermissionDenied, Unavailable
from asynctensor.kvstores.file.options import FileOptions, LockingMode
from asynctensor.kvstores.file.store import FileStore
from asynctensor.runtime.event_loop import start
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.testing.faults import FaultyFileSystem
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite

TWICE = RetryPolicy(max_retries=2, initial_delay=0.0, max_delay=0.0)
MODES: tuple[LockingMode, ...] = ("os", "lockfile", "none", "non_atomic")


class TestContractWithRetries(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path), FileOptions(sync=False, retries=TWICE))


@pytest.fixture
def faulty() -> FaultyFileSystem:
    return FaultyFileSystem()


def retrying(tmp_path: Path, faulty: FaultyFileSystem, mode: LockingMode = "os") -> FileStore:
    return FileStore(str(tmp_path), FileOptions(locking=mode, retries=TWICE), file_system=faulty)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "fstat", "rename"])
async def test_writes_are_done_again(
    tmp_path: Path, faulty: FaultyFileSystem, mode: LockingMode, call: str
) -> None:
    store = retrying(tmp_path, faulty, mode)
    faulty.fail(call, errno.EIO, times=2)
    await start(store.write, "a/k", b"value")
    assert (await start(store.read, "a/k")).value == b"value"
    faulty.fail("unlink", errno.EIO)
    assert (await start(store.write, "a/k", None)).generation == NO_VALUE
    assert (await start(store.read, "a/k")).state == "missing"


@pytest.mark.parametrize("call", ["open_no_links", "fstat", "pread"])
async def test_reads_are_done_again(tmp_path: Path, faulty: FaultyFileSystem, call: str) -> None:
    store = retrying(tmp_path, faulty)
    await start(store.write, "k", b"value")
    faulty.fail(call, errno.EIO, times=2)
    assert (await start(store.read, "k")).value == b"value"


async def test_ranges_are_deleted_again(tmp_path: Path, faulty: FaultyFileSystem) -> None:
    store = retrying(tmp_path, faulty)
    for name in "abc":
        await start(store.write, name, b"")
    faulty.fail("unlink", errno.EIO)
    await start(store.delete_range, KeyRange("a", "c"))
    assert os.listdir(tmp_path) == ["c"]


async def listed(store: FileStore) -> list[str]:
    async def keys() -> list[str]:
        return [entry.key async for entry in store.list(KeyRange())]

    return await start(keys)


class Stale:
    """The entries of a directory, the handle of which becomes stale on the way."""

    def __init__(self, entries: Any, count: int, code: int) -> None:
        self._entries, self._left, self._code = entries, count, code
        self.close = entries.close

    def __iter__(self) -> Stale:
        return self

    def __next__(self) -> os.DirEntry[str]:
        self._left -= 1
        if self._left < 0:
            raise OSError(self._code, os.strerror(self._code))
        entry: os.DirEntry[str] = next(self._entries)
        return entry


def stale_on_the_way(faulty: FaultyFileSystem, times: int, count: int, code: int) -> None:
    """Has the next `times` directories that are read fail after `count` entries."""
    real, left = faulty.scandir, [None] * times

    def scandir(directory: int | str) -> Any:
        entries = real(directory)
        return Stale(entries, count, code) if left and left.pop() is None else entries

    faulty.scandir = scandir  # type: ignore[method-assign]


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_listings_go_on(
    tmp_path: Path, faulty: FaultyFileSystem, code: int, count: int
) -> None:
    store = retrying(tmp_path, faulty)
    keys = [f"{name}/{number}" for name in "ab" for number in range(4)]
    for key in [*keys, "c"]:
        await start(store.write, key, b"")
    stale_on_the_way(faulty, 2, count, code)
    assert sorted(await listed(store)) == [*keys, "c"]

    async def names() -> list[str]:
        return [entry.key async for entry in store.list_directory("a/")]

    stale_on_the_way(faulty, 2, count, code)
    assert sorted(await start(names)) == keys[:4]


async def test_what_is_stale_is_no_reason_to_leave_it_out(
    tmp_path: Path, faulty: FaultyFileSystem
) -> None:
    store = retrying(tmp_path, faulty)
    for key in ("a/b", "c"):
        await start(store.write, key, b"")
    faulty.fail("open", errno.ESTALE, when=lambda path, *_, **__: path == "a")
    assert sorted(await listed(store)) == ["a/b", "c"]


async def test_a_listing_ends_in_an_error_where_nothing_new_comes(
    tmp_path: Path, faulty: FaultyFileSystem
) -> None:
    store = retrying(tmp_path, faulty)
    await start(store.write, "k", b"")
    stale_on_the_way(faulty, 9, 0, errno.EIO)
    with pytest.raises(Unavailable, match=r"\(3 attempts\).*operation='list'"):
        await listed(store)
    plain = FileStore(str(tmp_path), file_system=faulty)
    with pytest.raises(Unavailable) as caught:
        await listed(plain)
    assert "attempts" not in str(caught.value)


async def test_an_end_is_made_of_it(tmp_path: Path, faulty: FaultyFileSystem) -> None:
    store = retrying(tmp_path, faulty)
    faulty.fail("write", errno.EIO, times=9)
    with pytest.raises(Unavailable, match=r"\(3 attempts\).*key='k', operation='write'") as caught:
        await start(store.write, "k", b"value")
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []


async def test_what_will_not_pass_is_done_once(tmp_path: Path, faulty: FaultyFileSystem) -> None:
    store = retrying(tmp_path, faulty)
    await start(store.write, "k", b"value")
    faulty.fail("open_no_links", errno.EACCES)
    with pytest.raises(PermissionDenied):
        await start(store.read, "k")
    plain = FileStore(str(tmp_path), file_system=faulty)
    faulty.fail("write", errno.EIO)
    with pytest.raises(Unavailable):
        await start(plain.write, "k", b"other")


async def test_conditional_writes_are_repeated_while_nothing_is_done(
    tmp_path: Path, faulty: FaultyFileSystem
) -> None:
    store = retrying(tmp_path, faulty)
    faulty.fail("write", errno.EIO, times=2)
    first = await start(store.write, "k", b"1", NO_VALUE)
    assert first.generation != UNKNOWN
    faulty.fail("rename", errno.EIO)
    second = await start(store.write, "k", b"2", first.generation)
    assert second.generation not in (UNKNOWN, first.generation)


async def test_a_conditional_write_that_may_be_done_is_an_error(
    tmp_path: Path, faulty: FaultyFileSystem
) -> None:
    # Done again, it would find its own value, and say that the condition does not hold.
    store = retrying(tmp_path, faulty)
    first = await start(store.write, "k", b"1")
    faulty.fail("rename", errno.EIO, after=True)
    with pytest.raises(Unavailable):
        await start(store.write, "k", b"2", first.generation)
    assert (await start(store.read, "k")).value == b"2"


async def test_arrays_over_such_a_store(tmp_path: Path) -> None:
    kvstore: Any = {"driver": "file", "path": f"{tmp_path}/", "file_io_retries": {"max_retries": 3}}
    spec = {"driver": "zarr3", "kvstore": kvstore}
    layout = at.ChunkLayout(chunk_shape=[2])
    array = await at.open(spec, create=True, dtype="int32", shape=[7], chunk_layout=layout)
    await array.write(range(7))
    assert (await array.read()).tolist() == list(range(7))
    assert array.spec(retain_context=True).to_json()["kvstore"]["file_io_retries"] == {
        "max_retries": 3
    }
