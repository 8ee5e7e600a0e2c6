"""What `Store` gives to code that uses zarr-python: transactions, history, whatever store."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype

import asynctensor as at
from asynctensor.errors import Aborted, IncompatibleType, InvalidArgument
from asynctensor.extending import (
    Capabilities,
    KeyRange,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    TimestampedStorageGeneration,
    register_kvstore,
)
from asynctensor.integrations.zarr import Store
from asynctensor.storage.kvstore import DEFAULT_READ
from asynctensor.testing.registrations import registrations_undone

PROTOTYPE = default_buffer_prototype()


def text(value: Any) -> str | None:
    return None if value is None else value.to_bytes().decode()


async def get(store: Store, key: str, part: Any = None) -> str | None:
    return text(await store.get(key, PROTOTYPE, part))


# -- what is given --------------------------------------------------------------------------------


async def test_all_that_names_a_kvstore(tmp_path: Path) -> None:
    url = (tmp_path / "a").as_uri()
    opened = await at.KvStore.open(url + "/")
    await opened.write("k", b"1")
    repo = await at.Repository.open(tmp_path / "lab", create=True)
    for given in (
        tmp_path / "a", str(tmp_path / "a"), url, url + "/",
        {"driver": "file", "path": f"{tmp_path}/a"}, opened, at.KvStore.Spec(url),
    ):  # fmt: skip
        store = Store(given)
        assert await get(store, "k") == "1"
        assert str(store) == url
        assert store == Store(opened)
    without_slash = Store(await at.KvStore.open(url))
    assert (await get(without_slash, "k"), str(without_slash)) == ("1", url)
    assert await get(Store(repo), "k") is None
    for wrong in (
        5,
        "",
        "nowhere://a",
        "nowhere:a",
        "a|zip",
        {"driver": "file", "pat": "/a"},
        None,
    ):
        with pytest.raises(InvalidArgument):
            Store(wrong)


async def test_equal_if_all_is_equal(tmp_path: Path) -> None:
    store, txn = Store(tmp_path), at.Transaction()
    others = [Store(tmp_path / "a"), store.with_read_only(True), store.with_transaction(txn), 5]
    assert [store == other for other in others] == [False] * 4
    assert store.with_transaction(txn) == Store(tmp_path, transaction=txn)
    assert store.with_transaction(txn).with_transaction(None) == store
    txn.abort()


def test_read_only_is_pickled(tmp_path: Path) -> None:
    copied = pickle.loads(pickle.dumps(Store(tmp_path, read_only=True)))
    assert copied.read_only
    assert repr(copied) == f"Store({tmp_path.as_uri()!r}, read_only=True)"


# -- parts of values ------------------------------------------------------------------------------


PARTS = {
    RangeByteRequest(1, 3): "12", RangeByteRequest(2, 9): "234", RangeByteRequest(7, 9): "",
    RangeByteRequest(3, 3): "", RangeByteRequest(9, 2): "", OffsetByteRequest(2): "234",
    OffsetByteRequest(5): "", OffsetByteRequest(9): "", SuffixByteRequest(2): "34",
    SuffixByteRequest(9): "01234", SuffixByteRequest(0): "",
}  # fmt: skip


@pytest.mark.parametrize("suffix_ranges", [True, False])
async def test_parts_are_cut_as_slices_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix_ranges: bool
) -> None:
    store = Store(tmp_path)
    can = Capabilities(suffix_ranges=suffix_ranges)
    monkeypatch.setattr(store.kvstore.store, "capabilities", can)
    await store.set("k", cpu.Buffer.from_bytes(b"01234"))
    asked = [("k", part) for part in PARTS] + [("none", part) for part in PARTS]
    found = await store.get_partial_values(PROTOTYPE, iter(asked))
    assert [text(each) for each in found] == [*PARTS.values(), *[None] * len(PARTS)]


async def test_wrong_arguments(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(IncompatibleType, match="Unexpected byte_range, got"):
        await store.get("k", PROTOTYPE, slice(1, 2))  # type: ignore[arg-type]
    with pytest.raises(IncompatibleType, match="must be a Buffer of zarr-python, but is a bytes"):
        await store.set("k", b"1")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument):
        await store.get("../k", PROTOTYPE)


# -- copies, cancellation, concurrency ------------------------------------------------------------


class Recorder(KeyValueStore):
    """A store that shows what it is given, and answers when it is told to."""

    driver = "recorder"
    capabilities = Capabilities(suffix_ranges=True)
    given: Any = None
    cancelled = 0
    asked: asyncio.Queue[str]
    answer: asyncio.Event

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        cls = type(self)
        cls.asked.put_nowait(key)
        try:
            await cls.answer.wait()
        except asyncio.CancelledError:
            cls.cancelled += 1
            raise
        return ReadResult("value", key.encode(), TimestampedStorageGeneration.now(b"1"))

    async def write(self, key: str, value: Any, if_equal: bytes = b"") -> Any:
        type(self).given = value
        return TimestampedStorageGeneration.now(b"1")

    async def delete_range(self, key_range: KeyRange) -> None: ...

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        for i in range(1000):
            yield ListEntry(f"k{i}")

    def spec_json(self, path: str) -> Any:
        return {"driver": self.driver, "path": path}

    def url(self, path: str) -> str:
        return f"recorder://{path}"


@pytest.fixture
async def recorder() -> AsyncIterator[type[Recorder]]:
    class Fresh(Recorder):
        asked: asyncio.Queue[str] = asyncio.Queue()
        answer = asyncio.Event()

    with registrations_undone():
        register_kvstore("recorder", scheme="recorder")(Fresh)
        yield Fresh


async def test_nothing_is_copied_on_the_way(recorder: type[Recorder]) -> None:
    store = Store("recorder://")
    array = np.arange(1000, dtype=np.uint8)
    await store.set("k", cpu.Buffer.from_array_like(array))
    assert np.shares_memory(np.frombuffer(recorder.given, np.uint8), array)
    recorder.answer.set()
    found = await store.get("k", PROTOTYPE)
    assert found is not None
    assert isinstance(found.as_numpy_array().base, bytes | memoryview)


async def test_a_cancelled_read_is_given_up(recorder: type[Recorder]) -> None:
    task = asyncio.ensure_future(Store("recorder://").get("k", PROTOTYPE))
    await recorder.asked.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorder.cancelled == 1


async def test_many_are_read_side_by_side(recorder: type[Recorder]) -> None:
    store = Store("recorder://")

    async def answered() -> None:
        for _ in range(40):
            await recorder.asked.get()
        recorder.answer.set()

    asked = [(f"k{i}", PROTOTYPE, None) for i in range(20)]
    parts, many, _ = await asyncio.gather(
        store.get_partial_values(PROTOTYPE, [(key, None) for key, _, _ in asked]),
        _collected(store._get_many(asked)),
        answered(),
    )
    assert [text(each) for each in parts] == [text(each) for _, each in many]


async def _collected(items: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in items]


async def test_sizes_that_the_store_does_not_tell(recorder: type[Recorder]) -> None:
    recorder.answer.set()
    assert await Store("recorder://").getsize("k7") == 2


async def test_a_listing_that_is_given_up(recorder: type[Recorder]) -> None:
    store = Store("recorder://")
    assert not await store.is_empty("")
    assert len(await _collected(store.list_prefix("k"))) == 1000


# -- transactions and history ---------------------------------------------------------------------


async def test_a_hierarchy_in_one_commit(tmp_path: Path) -> None:
    repo = await at.Repository.open(tmp_path, create=True)
    store = Store(repo)

    def work(txn: at.Transaction) -> None:
        group = zarr.open_group(store.with_transaction(txn), mode="w")
        group.attrs["unit"] = "nm"
        for name in "ab":
            array = group.create_array(name, shape=(20, 20), chunks=(10, 10), dtype="i4")
            array[...] = np.arange(400).reshape(20, 20)

    async with repo.transaction(message="made by zarr-python") as txn:
        await asyncio.to_thread(work, txn)
        assert await store.is_empty("")
    commit = await anext(aiter(repo.log()))
    assert commit.message == "made by zarr-python"
    array = await at.open({"driver": "zarr3", "kvstore": repo.kvstore("b")})
    assert (await array.read()).tolist() == np.arange(400).reshape(20, 20).tolist()
    group = await asyncio.to_thread(zarr.open_group, store, mode="r")
    assert await asyncio.to_thread(lambda: group.attrs["unit"]) == "nm"


async def test_older_states_can_only_be_read(tmp_path: Path) -> None:
    repo = await at.Repository.open(tmp_path, create=True)
    store = Store(repo)
    await asyncio.to_thread(lambda: zarr.save_array(store, np.arange(5)))
    await repo.create_tag("first")
    await asyncio.to_thread(lambda: zarr.open_array(store).__setitem__(..., 9))
    old = Store(repo.kvstore(tag="first"))
    assert old.read_only
    assert not old.supports_writes
    values = await asyncio.to_thread(lambda: zarr.open_array(old, mode="r")[...])
    assert values.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="read-only"):
        await old.set("k", cpu.Buffer.from_bytes(b"1"))
    copied = pickle.loads(pickle.dumps(old))
    assert (await asyncio.to_thread(lambda: zarr.open_array(copied, mode="r")[0])) == 0


async def test_conflicts_are_found(tmp_path: Path) -> None:
    repo = await at.Repository.open(tmp_path, create=True)
    store = Store(repo)
    await asyncio.to_thread(lambda: zarr.save_array(store, np.arange(5)))

    def one_more(txn: at.Transaction) -> None:
        array = zarr.open_array(store.with_transaction(txn), mode="r+")
        array[0] += 1

    late = repo.transaction(message="late")
    await asyncio.to_thread(one_more, late)
    async with repo.transaction(message="early") as early:
        await asyncio.to_thread(one_more, early)
    with pytest.raises(Aborted) as caught:
        await late.commit_async()
    assert caught.value.conflicts[0].message == "early"


async def test_created_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    values = [cpu.Buffer.from_bytes(b"%d" % i) for i in range(8)]
    await asyncio.gather(*(store.set_if_not_exists("k", value) for value in values))
    first = await get(store, "k")
    await store.set_if_not_exists("k", cpu.Buffer.from_bytes(b"late"))
    assert await get(store, "k") == first


async def test_created_once_where_no_condition_is_checked(recorder: type[Recorder]) -> None:
    recorder.answer.set()
    await Store("recorder://").set_if_not_exists("k", cpu.Buffer.from_bytes(b"late"))
    assert recorder.given is None
