"""`zip` reads what Python's `zipfile` and TensorStore read, and refuses what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
from hypothesis import given, settings
from hypothesis import strategies as st

import asynctensor as ts
from asynctensor.errors import DataLoss, Error, OutOfRange, ResourceExhausted, Unimplemented
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.kvstores.zip.store import ZipStore
from asynctensor.storage.byte_range import ByteRange
from asynctensor.storage.generation import NO_VALUE, TimestampedStorageGeneration
from asynctensor.storage.key_range import KeyRange
from asynctensor.storage.kvstore import (
    DEFAULT_READ,
    Buffer,
    Capabilities,
    KeyValueStore,
    ListEntry,
    ReadOptions,
    ReadResult,
    Replacement,
)
from asynctensor.testing.kvstore_calls import entries, read
from tests.kvstores.zip_files import METHODS, Made, archive, deflated, entry

VALUES = {
    "a": b"",
    "b/c": b"hello " * 1000,
    "b/d": bytes(range(256)) * 400,
    "é": b"x",
    "../up": b"1",
    "/root": b"2",
    "c:\\x": b"3",
}


class Remote(KeyValueStore):
    """A memory store without a blocking face that counts what is asked of it."""

    driver = "memory"

    def __init__(self, base: MemoryStore, suffix_ranges: bool = True) -> None:
        self._base = base
        self.capabilities = Capabilities(suffix_ranges=suffix_ranges)
        self.asked: list[ByteRange] = []
        #: Done before each read.
        self.before: Any = None

    async def read(self, key: str, options: ReadOptions = DEFAULT_READ) -> ReadResult:
        self.asked.append(options.byte_range)
        await asyncio.sleep(0)
        if self.before is not None:
            self.before()
        return await self._base.read(key, options)

    async def write(
        self, key: str, value: Buffer | None, if_equal: bytes = b""
    ) -> TimestampedStorageGeneration:
        return await self._base.write(key, value, if_equal)

    async def delete_range(self, key_range: KeyRange) -> None:
        await self._base.delete_range(key_range)

    async def list(self, key_range: KeyRange) -> AsyncIterator[ListEntry]:
        async for each in self._base.list(key_range):
            yield each

    def spec_json(self, path: str) -> Any:
        return self._base.spec_json(path)

    def url(self, path: str) -> str:
        return self._base.url(path)


def _put(base: MemoryStore, data: bytes) -> None:
    (stamp,) = base.blocking.replace([Replacement("z", data)])
    assert isinstance(stamp, TimestampedStorageGeneration)


def _stores(data: bytes) -> list[ZipStore]:
    """The same zip file on a local store and on a remote one."""
    base = MemoryStore()
    _put(base, data)
    return [ZipStore(base, "z"), ZipStore(Remote(base), "z"), ZipStore(Remote(base, False), "z")]


async def _listed(store: ZipStore, key_range: KeyRange | None = None) -> list[tuple[str, int]]:
    return [(each.key, each.size) for each in await entries(store, key_range)]


async def _value(store: ZipStore, key: str) -> bytes | None:
    """A value as the asynchronous and, where there is one, the blocking face read it."""
    found = await read(store, key)
    value = found.value if found.state == "value" else None
    face = store.blocking
    if face is not None:
        opened = face.open(key)
        assert face.generation(key) == (NO_VALUE if value is None else found.stamp.generation)
        assert (opened is None) == (value is None)
        if opened is not None and value is not None:
            buffer = bytearray(opened.size)
            opened.read_into(memoryview(buffer), 0)
            assert bytes(buffer) == value
            if len(value) > 2:
                opened.read_into(memoryview(buffer)[:2], 1)
                assert buffer[:2] == value[1:3]
            opened.close()
    return value


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("zip64", [False, True])
async def test_every_method(method: int, zip64: bool) -> None:
    made = [entry(k, v, method, zip64=zip64, extra=b"\0" * 40) for k, v in VALUES.items()]
    data = archive(*made, entry("folder/", b""), zip64=zip64, extensible=b"more", comment=b"?")
    for store in _stores(data):
        for key, value in VALUES.items():
            assert await _value(store, key) == value
            part = await read(store, key, ReadOptions(ByteRange(len(value) // 3, len(value) // 2)))
            assert part.value == value[len(value) // 3 : len(value) // 2]
        for key in ("folder/", "folder", "b", "b/", "b/e", ""):
            assert await _value(store, key) is None
        assert await _listed(store) == sorted((k, len(v)) for k, v in VALUES.items())
        assert await _listed(store, KeyRange.prefix("b/")) == [
            (k, len(VALUES[k])) for k in ("b/c", "b/d")
        ]


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1),
        st.tuples(st.binary(max_size=300), st.sampled_from([0, 8, 12, 14])),
        max_size=5,
    ),
    st.binary(max_size=50),
)
@settings(deadline=None, max_examples=40)
def test_what_zipfile_writes(values: dict[str, tuple[bytes, int]], comment: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.comment = comment
        for key, (value, method) in values.items():
            file.writestr(key, value, method)
    base = MemoryStore()
    _put(base, buffer.getvalue())
    store = ZipStore(base, "z")
    found = {key: asyncio.run(_value(store, key)) for key in values}
    assert found == {key: value for key, (value, _) in values.items()}


@pytest.mark.parametrize("method", ["store", "deflate", "zstd", "xz"])
def test_what_tensorstore_writes(method: str, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/a.zip"
    theirs = tensorstore.KvStore.open(
        {"driver": "zip", "base": url, "compression": method}
    ).result()
    values = {k: v for k, v in VALUES.items() if k not in ("../up", "/root")}
    for key, value in values.items():
        theirs[key] = value
    mine = ts.KvStore.open(f"{url}|zip:").result()
    assert {key: mine[key] for key in values} == values
    assert sorted(mine.list().result()) == sorted(theirs.list().result())


@pytest.mark.parametrize("method", [0, 8, 12, 93, 95])
def test_tensorstore_reads_the_same(method: int, tmp_path: Path) -> None:
    names = ["b/c", "b/d", "é", "c:\\x"]
    (tmp_path / "a.zip").write_bytes(archive(*(entry(k, VALUES[k], method) for k in names)))
    stores = [m.KvStore.open(f"file://{tmp_path}/a.zip|zip:b/").result() for m in (ts, tensorstore)]
    mine, theirs = stores
    assert mine.spec().to_json() == theirs.spec().to_json()
    assert (mine.url, mine.path) == (theirs.url, theirs.path)
    assert mine.base.url == theirs.base.url
    assert mine.list().result() == theirs.list().result()
    assert mine.list(strip_prefix_length=1).result() == theirs.list(strip_prefix_length=1).result()
    for key in ("c", "d", "q"):
        ours, other = mine.read(key).result(), theirs.read(key).result()
        assert (ours.state, ours.value) == (other.state, other.value)
    for bounds in (slice(3, 9), slice(-4, None), slice(5, None), slice(0, 0)):
        assert mine.read("c", byte_range=bounds).result().value == (
            theirs.read("c", byte_range=bounds).result().value
        )
    with pytest.raises(OutOfRange):
        mine.read("c", byte_range=slice(1, 10**6)).result()


def _patched(data: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    at = data.index(mark) + offset
    return data[:at] + new + data[at + len(new) :]


_PLAIN = archive(entry("a", b"hello " * 50, 8), entry("b", b"world" * 9))
_BAD: dict[str, tuple[bytes, type[Error]]] = {
    "nothing": (b"", DataLoss),
    "no zip file": (b"abc" * 100, DataLoss),
    "cut off": (_PLAIN[:-1], DataLoss),
    "goes on": (_PLAIN + b"x", DataLoss),
    "something before": (b"x" + _PLAIN, DataLoss),
    "only the end": (_PLAIN[-22:], DataLoss),
    "fewer entries": (archive(entry("a", b"1"), entry("b", b"2"), count=1), DataLoss),
    "more entries": (archive(entry("a", b"1"), count=2), DataLoss),
    "absurd count": (archive(entry("a", b"1"), count=65534), DataLoss),
    "absurd count 64": (archive(entry("a", b"1"), count=2**60, zip64=True), DataLoss),
    "absurd directory": (archive(entry("a", b"1"), directory_size=2**31), ResourceExhausted),
    "huge directory": (archive(entry("a", b"1"), directory_size=2**62, zip64=True), DataLoss),
    "long directory": (archive(entry("a", b"1"), directory_size=2**20), DataLoss),
    "directory elsewhere": (archive(entry("a", b"1"), directory_offset=5), DataLoss),
    "several disks": (archive(entry("a", b"1"), disk=1), Unimplemented),
    "several disks 64": (archive(entry("a", b"1"), disk=1, zip64=True), Unimplemented),
    "entry on another disk": (_patched(_PLAIN, b"PK\1\2", 34, b"\1"), Unimplemented),
    "signature": (_patched(_PLAIN, b"PK\1\2", 3, b"\3"), DataLoss),
    "name too long": (_patched(_PLAIN, b"PK\1\2", 28, b"\xff\xff"), DataLoss),
    "twice": (archive(entry("a", b"1"), entry("a", b"2")), DataLoss),
    "overlap": (archive(entry("a", b"1" * 100), entry("b", b"2", offset=20)), DataLoss),
    "one for two": (archive(entry("a", b"1" * 100), entry("b", b"2", offset=0)), DataLoss),
    "behind the directory": (archive(entry("a", b"1"), entry("b", b"2", offset=10**6)), DataLoss),
    "longer than the file": (archive(entry("a", b"1", stored_size=2**30)), DataLoss),
    "no zip64 field": (archive(entry("a", b"1", offset=0xFFFFFFFF)), DataLoss),
}  # fmt: skip


@pytest.mark.parametrize("name", _BAD)
async def test_wrong_files_are_refused(name: str) -> None:
    data, error = _BAD[name]
    for store in _stores(data):
        with pytest.raises(error):
            await entries(store)
        with pytest.raises(error) as caught:
            await read(store, "a")
        assert caught.value.key == "z"
        face = store.blocking
        if face is not None:
            with pytest.raises(error):
                face.open("a")


_BAD_ENTRIES: dict[str, tuple[Made, type[Error]]] = {
    "encrypted": (entry("a", b"hello", flags=1), Unimplemented),
    "strongly encrypted": (entry("a", b"hello", 8, flags=1 << 6), Unimplemented),
    "unknown method": (replace(entry("a", b"hello"), method=97), Unimplemented),
    "stored in two sizes": (entry("a", b"hello", size=6), DataLoss),
    "checksum": (entry("a", b"hello", crc=7), DataLoss),
    **{
        f"{what} {method}": (entry("a", b"hello" * 100, method, **changes), DataLoss)
        for method in METHODS
        if method
        for what, changes in {
            "checksum": {"crc": 1},
            "longer than claimed": {"size": 499},
            "shorter than claimed": {"size": 501},
            "much longer": {"size": 1},
            "empty": {"stored": b""},
            "noise": {"stored": b"\xfe\x01\x02" * 40},
            "cut off": {"stored": METHODS[method](b"hello" * 100)[:-9]},
        }.items()
    },
    "bomb": (entry("a", bytes(2**20), 8, size=2**40, zip64=True), ResourceExhausted),
    "lying bomb": (entry("a", bytes(2**26), 8, size=100), DataLoss),
    "lzma properties": (entry("a", b"x", 14, stored=b"\x09\x04\x05\0\xff\0\0\0\0abc"), DataLoss),
    "lzma dictionary": (
        entry("a", b"x" * 99, 14, stored=b"\x09\x04\x05\0]\xff\xff\xff\xff" + b"\0" * 20),
        DataLoss,
    ),
    "after the end": (entry("a", b"hello", 8, stored=deflated(b"hello") + b"junk"), DataLoss),
}  # fmt: skip


@pytest.mark.parametrize("name", _BAD_ENTRIES)
async def test_wrong_entries_are_refused(name: str) -> None:
    made, error = _BAD_ENTRIES[name]
    for store in _stores(archive(entry("0", b"fine"), made, entry("b", b"fine", 8))):
        assert await _value(store, "0") == await _value(store, "b") == b"fine"
        with pytest.raises(error) as caught:
            await read(store, "a")
        assert caught.value.key == "a"
        face = store.blocking
        if face is not None:
            opened = face.open("a")
            assert opened is not None
            with pytest.raises(error):
                opened.read_into(memoryview(bytearray(min(opened.size, 2**20))), 0)
            opened.close()


@pytest.mark.parametrize(
    ("offset", "new"),
    [(3, b"\5"), (8, b"\x09"), (6, b"\1"), (30, b"b"), (26, b"\2"), (28, b"\xff")],
)
async def test_headers_that_contradict_the_directory(offset: int, new: bytes) -> None:
    for store in _stores(_patched(_PLAIN, b"PK\3\4", offset, new)):
        with pytest.raises(DataLoss):
            await _value(store, "a")
        assert await _value(store, "b") == b"world" * 9


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_damage_is_an_error_or_harmless(data: st.DataObject) -> None:
    good = archive(entry("a", b"hello " * 9, 8), entry("b", b"12", zip64=True), zip64=True)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    for store in _stores(bytes(bad)):
        for key, value in (("a", b"hello " * 9), ("b", b"12")):
            with contextlib.suppress(Error):
                assert asyncio.run(_value(store, key)) in (value, None)


async def test_a_missing_file_is_empty() -> None:
    base = MemoryStore()
    for store in (ZipStore(base, "z"), ZipStore(Remote(base), "z")):
        assert await entries(store) == []
        assert await _value(store, "a") is None


async def test_conditions() -> None:
    for store in _stores(_PLAIN):
        generation = (await read(store, "a")).stamp.generation
        for options, state in [
            (ReadOptions(if_equal=generation), "value"),
            (ReadOptions(if_equal=b"other"), "unspecified"),
            (ReadOptions(if_not_equal=generation), "unspecified"),
            (ReadOptions(if_not_equal=b"other"), "value"),
            (ReadOptions(ByteRange(0, 0)), "value"),
        ]:
            found = await store.read("a", options)
            assert (found.state, found.stamp.generation) == (state, generation)
        assert (await store.read("q", ReadOptions(if_equal=b"x"))).state == "unspecified"


async def test_another_file_in_its_place_is_seen() -> None:
    base = MemoryStore()
    remote = Remote(base)
    stores = [ZipStore(base, "z"), ZipStore(remote, "z")]
    for number in range(3):
        names = [str(k) for k in range(number + 1)]
        _put(base, archive(*(entry(k, k.encode() * (number + 1)) for k in names)))
        for store in stores:
            assert [await _value(store, k) for k in names] == [
                k.encode() * (number + 1) for k in names
            ]
            assert await _listed(store) == [(k, number + 1) for k in names]
            assert await _value(store, str(number + 1)) is None


async def test_a_file_replaced_while_it_is_read() -> None:
    base = MemoryStore()
    remote = Remote(base)
    many = [entry(f"{k:06}", b"") for k in range(2000)]
    versions = [archive(entry("a", str(k).encode()), *many[: 2000 - k]) for k in range(4)]
    _put(base, versions.pop())

    def replaced() -> None:
        if versions:
            _put(base, versions.pop())

    remote.before = replaced
    assert await _value(ZipStore(remote, "z"), "a") == b"0"


async def test_few_requests() -> None:
    base = MemoryStore()
    large = bytes(range(256)) * 1000
    _put(base, archive(entry("a", b"1" * 100), entry("large", large, extra=b"\0" * 40)))
    remote = Remote(base)
    store = ZipStore(remote, "z")
    await read(store, "a")
    assert len(remote.asked) == 2
    await read(store, "a")
    assert len(remote.asked) == 3
    del remote.asked[:]
    part = await read(store, "large", ReadOptions(ByteRange(200_000, 200_010)))
    assert part.value == large[200_000:200_010]
    assert [a.exclusive_max - a.inclusive_min < 500 for a in remote.asked if a.exclusive_max] == [
        True, True,
    ]  # fmt: skip
    del remote.asked[:]
    await read(store, "large", ReadOptions(ByteRange(1000, 1010)))
    assert len(remote.asked) == 1
    del remote.asked[:]
    await asyncio.gather(*(read(ZipStore(remote, "z", held=store._held), "q") for _ in range(5)))
    assert len(remote.asked) <= 2


async def test_a_large_directory_takes_a_second_request() -> None:
    base = MemoryStore()
    names = [f"{k:04}" + "x" * 60 for k in range(2000)]
    _put(base, archive(*(entry(k, k.encode()) for k in names), comment=b"c" * 65535))
    for remote in (Remote(base), Remote(base, False)):
        store = ZipStore(remote, "z")
        assert await _value(store, names[777]) == names[777].encode()
        assert len(await entries(store)) == 2000


async def test_one_directory_for_all_who_share_a_cache_pool() -> None:
    context = ts.Context()
    (await ts.KvStore.open("memory://", context=context))["z"] = _PLAIN
    stores = [await ts.KvStore.open("memory://z|zip:", context=context) for _ in range(2)]
    stores[0]["a"]
    one, two = (each.store for each in stores)
    assert isinstance(one, ZipStore)
    assert isinstance(two, ZipStore)
    assert one._held is two._held
    assert one.identity == two.identity
    other = await ts.KvStore.open("memory://z|zip:", context=ts.Context())
    assert isinstance(other.store, ZipStore)
    assert other.store._held is not one._held


def test_pickles_read_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(_PLAIN)
    store = ts.KvStore.open(f"file://{tmp_path}/a.zip|zip:").result()
    assert store["b"] == pickle.loads(pickle.dumps(store))["b"]


def test_a_zip_file_in_a_zip_file(tmp_path: Path) -> None:
    inner = archive(entry("x/a", b"deep", 8))
    (tmp_path / "a.zip").write_bytes(archive(entry("in.zip", inner), entry("packed.zip", inner, 8)))
    for name in ("in.zip", "packed.zip"):
        url = f"file://{tmp_path}/a.zip|zip:{name}|zip:x/"
        store = ts.KvStore.open(url).result()
        assert store.url == url
        assert store["a"] == b"deep"
        assert store.base.base.url == f"file://{tmp_path}/a.zip"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("sharded", [False, True])
def test_arrays_in_zip_files(method: int, sharded: bool, tmp_path: Path) -> None:
    data = np.arange(40 * 50, dtype="int32").reshape(40, 50)
    layout = {"read_chunk": {"shape": [5, 10]}, "write_chunk": {"shape": [20, 20]}}
    source = tmp_path / "source"
    plain = {"chunk": {"shape": [20, 20]}}
    array = ts.open(
        f"file://{source}/|zarr3:", create=True, dtype="int32", shape=data.shape,
        chunk_layout=ts.ChunkLayout(layout if sharded else plain),
    ).result()  # fmt: skip
    array[...] = data
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        for path in source.rglob("*"):
            if path.is_file():
                file.write(path, f"group/a/{path.relative_to(source)}")
    url = f"file://{tmp_path}/a.zip|zip:group/a/|zarr3:"
    mine, theirs = ts.open(url).result(), tensorstore.open(url).result()
    assert mine.spec().kvstore.to_json() == theirs.spec().kvstore.to_json()
    assert mine.url == theirs.url
    assert (mine.read().result() == data).all()
    assert (mine[3:17, 12:44].read().result() == data[3:17, 12:44]).all()
    mine[0, 0].write(3).result()
    data[0, 0] = 3
    again = tensorstore.open(url).result()
    assert (again.read().result() == data).all()
    # The same over a base without a blocking face.
    context = ts.Context()
    kvstore = ts.KvStore.open("memory://a.zip|zip:", context=context).result()
    remote = Remote(MemoryStore())
    _put(remote._base, (tmp_path / "a.zip").read_bytes())
    from asynctensor.testing.open_over import open_over

    over = open_over(ZipStore(remote, "z"), "group/a/").result()
    assert (over[3:17, 12:44].read().result() == data[3:17, 12:44]).all()
    del kvstore


def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    metadata = ts.open(
        "memory://|zarr3:", create=True, dtype="uint8", shape=[10], context=(c := ts.Context())
    ).result()
    del metadata
    document = ts.KvStore.open("memory://", context=c).result()["zarr.json"]
    made = [entry("zarr.json", document), entry("c/0", bytes(2**20), 8)]
    (tmp_path / "a.zip").write_bytes(archive(*made))
    array = ts.open(f"file://{tmp_path}/a.zip|zip:|zarr3:").result()
    with pytest.raises(DataLoss):
        array.read().result()


@pytest.mark.parametrize(
    "spec",
    [
        {"driver": "zip"},
        {"driver": "zip", "base": 3},
        {"driver": "zip", "base": {"driver": "foo"}},
        {"driver": "zip", "base": "memory://a", "foo": 1},
        {"driver": "memory", "base": "memory://a"},
        "zip:foo",
        "memory://a|zip:?b",
        "memory://a|zip:b#c",
        "memory://a|memory:",
        "memory://a|zarr3:",
        "memory://a|foo:",
    ],
)
def test_wrong_specs(spec: Any) -> None:
    for module in (ts, tensorstore):
        with pytest.raises(ValueError):
            module.KvStore.Spec(spec)


def test_peers_never_warn() -> None:
    """Python's `zipfile` finds nothing to warn of in the files made here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for zip64 in (False, True):
            data = archive(*(entry(k, b"1", zip64=zip64) for k in "ab"), zip64=zip64)
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                assert file.testzip() is None
    assert struct.calcsize("<4s5H3I2H") == 30
