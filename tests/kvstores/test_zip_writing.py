"""Writing into zip files."""

from __future__ import annotations

import asyncio
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import DataLoss, InvalidArgument
from asynctensor.kvstores.file.options import FileOptions
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.storage.generation import NO_VALUE, UNKNOWN
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import KeyValueStore, Replacement
from asynctensor.testing.faulty_store import FaultyStore
from asynctensor.testing.kvstore_calls import entries, read, write
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite
from tests.kvstores.zip_files import METHODS, archive, entry

COMPRESSIONS = ["store", "deflate", "zstd", "xz"]


class TestOnMemory(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    def store(self) -> ZipStore:
        return ZipStore(MemoryStore(), "a.zip")


class TestOnFiles(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ZipStore:
        return ZipStore(FileStore(str(tmp_path), FileOptions(sync=False)), "a.zip")


def stores() -> list[ZipStore]:
    """On a local store, and on one that is not."""
    return [ZipStore(MemoryStore(), "z"), ZipStore(FaultyStore(MemoryStore()), "z")]


async def file_of(store: ZipStore) -> bytes:
    below = store.below
    return bytes((await read(below[0], below[1])).value)


KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
    lambda key: not key.endswith("/") and "\0" not in key and "\\" not in key
)


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            KEYS, st.one_of(st.none(), st.binary(max_size=300)), st.sampled_from(COMPRESSIONS)
        ),
        max_size=12,
    ),
    blocking=st.booleans(),
)
def test_what_others_read(steps: list[Any], blocking: bool) -> None:
    async def write_all() -> None:
        base, model = MemoryStore(), {}
        store = ZipStore(base, "z")
        for key, value, compression in steps:
            store = ZipStore(base, "z", compression=compression)
            if blocking:
                assert store.blocking is not None
                (stamp,) = store.blocking.replace([Replacement(key, value)])
                assert not isinstance(stamp, Exception)
            else:
                stamp = await write(store, key, value)
            assert (stamp.generation == NO_VALUE) == (value is None)
            model.pop(key, None)
            if value is not None:
                model[key] = value
        assert [(e.key, e.size) for e in await entries(store)] == sorted(
            ((k, len(v)) for k, v in model.items()), key=lambda each: each[0].encode()
        )
        for key, value in model.items():
            assert (await read(store, key)).value == value
        file = await file_of(store)
        if file:
            with zipfile.ZipFile(io.BytesIO(file)) as found:
                assert set(found.namelist()) == set(model)
                for info in found.infolist():
                    if info.compress_type in (0, 8):
                        assert found.read(info) == model[info.filename]

    asyncio.run(write_all())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_tensorstore_reads(compression: str, tmp_path: Path) -> None:
    spec = {"driver": "zip", "base": f"file://{tmp_path}/a.zip", "compression": compression}
    store = ts.KvStore.open(spec).result()
    values = {"a": b"", "b/c": b"hello" * 1000, "é": bytes(range(256)) * 50}
    for key, value in values.items():
        store[key] = value
    del store["a"]
    other = tensorstore.KvStore.open(f"file://{tmp_path}/a.zip|zip:").result()
    assert other.list().result() == [b"b/c", "é".encode()]
    assert all(other[key] == value for key, value in values.items() if key != "a")
    # And the other way round.
    other["new"] = b"1"
    assert store["new"] == b"1"
    store["newer"] = b"2"
    assert other["new"] == b"1"


@pytest.mark.parametrize("method", METHODS)
async def test_what_is_not_changed_stays_as_it_is(method: int) -> None:
    values = {"a": b"1" * 100, "b": b"2" * 5000, "c": b""}
    made = [entry(key, value, method, extra=b"\0" * 9) for key, value in values.items()]
    base = MemoryStore()
    await write(base, "z", archive(made[0], entry("folder/", b""), *made[1:], comment=b"?"))
    store = ZipStore(base, "z")
    await write(store, "b", b"new")
    for key, value in (values | {"b": b"new"}).items():
        assert (await read(store, key)).value == value


async def test_encrypted_entries_are_kept() -> None:
    base = MemoryStore()
    await write(base, "z", archive(entry("secret", b"hello", flags=1), entry("a", b"1")))
    store = ZipStore(base, "z")
    await write(store, "b", b"2")
    with zipfile.ZipFile(io.BytesIO(await file_of(store))) as found:
        assert found.getinfo("secret").flag_bits & 1
    assert (await read(store, "a")).value == b"1"


async def test_descriptors_are_kept() -> None:
    class Stream(io.RawIOBase):
        """Cannot seek: what is written to it has descriptors."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:  # type: ignore[call-overload]
        file.writestr("a", b"hello" * 10)
        file.writestr("b", b"more")
    base = MemoryStore()
    await write(base, "z", bytes(stream.data))
    store = ZipStore(base, "z")
    await write(store, "b", None)
    with zipfile.ZipFile(io.BytesIO(await file_of(store))) as found:
        assert found.testzip() is None
        assert found.read("a") == b"hello" * 10


async def test_writes_that_come_together_are_one_rewriting() -> None:
    for store in stores():
        base = store.below[0]
        count = 0
        plain = base.write

        async def counted(*args: Any, plain: Any = plain) -> Any:
            nonlocal count
            count += 1
            return await plain(*args)

        base.write = counted  # type: ignore[method-assign]

        async def all_at_once(store: KeyValueStore = store) -> None:
            await asyncio.gather(*(store.write(f"k{n}", b"%d" % n) for n in range(200)))

        await _on_io_loop(all_at_once)
        assert count <= 20
        assert len(await entries(store)) == 200
        before = count
        await _on_io_loop(lambda store=store: store.delete_range(KeyRange.prefix("k1")))
        assert count - before <= 2
        assert len(await entries(store)) == 200 - 111
        # What is not there is deleted without a rewriting.
        before = count
        assert (await write(store, "none", None)).generation == NO_VALUE
        assert count == before


async def _on_io_loop(work: Any) -> None:
    from asynctensor.runtime.event_loop import start

    await start(work)


async def test_two_writers_lose_nothing() -> None:
    base = MemoryStore()
    stores = [ZipStore(base, "z") for _ in range(3)]

    async def writes(number: int) -> None:
        for k in range(8):
            await write(stores[number], f"{number}/{k}", b"%d" % k)

    await asyncio.gather(*map(writes, range(3)))
    assert len(await entries(stores[0])) == 24


async def test_conditions_in_one_group() -> None:
    (store, _) = stores()
    face = store.blocking
    assert face is not None
    stamps = face.replace(
        [
            Replacement("a", b"1", NO_VALUE),
            Replacement("a", b"2", NO_VALUE),
            Replacement("b", b"3", b"other"),
            Replacement("c/", b"4"),
            Replacement("a", b"5"),
        ]
    )
    assert isinstance(stamps[3], InvalidArgument)
    assert [getattr(each, "generation", None) == UNKNOWN for each in stamps] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert (await read(store, "a")).value == b"5"
    assert [each.key for each in await entries(store)] == ["a"]


@pytest.mark.parametrize("key", ["", "a/", "k" * 70_000])
async def test_names_that_no_entry_has(key: str) -> None:
    for store in stores():
        with pytest.raises(InvalidArgument, match="name of at most"):
            await write(store, key, b"1")


async def test_a_damaged_file_is_not_written_over() -> None:
    for store in stores():
        below = store.below
        await write(below[0], below[1], b"this is no zip file")
        with pytest.raises(DataLoss):
            await write(store, "a", b"1")
        assert await file_of(store) == b"this is no zip file"


@pytest.mark.parametrize("url", ["memory://a.zip|zip:x/|zarr3:", "file"])
async def test_arrays(url: str, tmp_path: Path) -> None:
    if url == "file":
        url = f"file://{tmp_path}/a.zip|zip:x/|zarr3:"
    context = ts.Context()
    layout = ts.ChunkLayout(chunk_shape=[4, 5])
    array = await ts.open(
        url, context=context, create=True, dtype=ts.int32, shape=[12, 20], chunk_layout=layout
    )
    data = np.arange(240, dtype="i4").reshape(12, 20)
    await array.write(data)
    await array[3:6, 2:9].write(-1)
    data[3:6, 2:9] = -1
    again = await ts.open(url, context=context)
    np.testing.assert_array_equal(await again.read(), data)
    await again.resize(exclusive_max=[4, 20])
    np.testing.assert_array_equal(await again.read(), data[:4])


async def test_a_write_is_seen_through_however_often_it_is_cancelled() -> None:
    base = FaultyStore(MemoryStore())
    store = ZipStore(base, "z")
    gate = base.hold("write", stubborn=True)
    task = asyncio.ensure_future(store.write("a", b"1"))
    await gate.reached()
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0)
        assert not task.done()
    gate.open()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await store.read("a")).value == b"1"


async def test_nobody_waits_for_a_writer_that_is_gone() -> None:
    base = FaultyStore(MemoryStore())
    store = ZipStore(base, "z")
    gate = base.hold("write")
    tasks = [asyncio.ensure_future(store.write("a", b"1"))]
    await gate.reached()
    tasks.append(asyncio.ensure_future(store.write("b", b"2")))
    while len(store._writer._waiting) < 1:
        await asyncio.wait(tasks, timeout=0)
    writer = store._writer._task
    for each in (*tasks, writer):
        each.cancel()
    done, _ = await asyncio.wait([*tasks, writer], timeout=60)
    assert len(done) == 3
    assert all(each.cancelled() for each in done)
