"""`find` and `last_changed`: questions about data, answered from listings and documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import asynctensor as ts
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.storage.kvstore import KeyValueStore, ListEntry
from asynctensor.testing.faulty_store import FaultyStore

ZSTD = {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "zstd"}]}}


async def fill(where: Any) -> None:
    """A folder with hierarchies of three formats, an array by itself, and other things."""
    kvstore = (
        where if isinstance(where, ts.KvStore) else ts.KvStore.open(f"file://{where}/").result()
    )
    three = await ts.create_group(kvstore / "deep/er/three/", attributes={"lab": "x"})
    image = await three.create_array(
        "s/image", dtype="uint16", shape=[20, 30], chunks=[5, 5], shards=[10, 10],
        codec=ts.CodecSpec({"driver": "zarr3", "codecs": [ZSTD]}),
        attributes={"lab": "y", "n": 1},
    )  # fmt: skip
    await image.write(np.ones((20, 30), "u2"))
    two = await ts.create_group(kvstore / "two/", zarr_format=2)
    old = await two.create_array("a/old", dtype="float32", shape=[7], attributes={"lab": "x"})
    await old.write(1)
    five = await ts.create_group(kvstore / "five.n5/", driver="n5")
    await five.create_array("raw", dtype="uint8", shape=[3, 3, 3])
    spec = {"driver": "zarr3", "kvstore": (kvstore / "alone/").spec().to_json()}
    if not isinstance(where, ts.KvStore):
        await ts.open(spec, create=True, dtype="uint16", shape=[4])
    await kvstore.write("notes/readme.txt", b"hello")
    await kvstore.write("notes/zarr.json.bak", b"{")


ALL = [
    "", "five.n5", "two", "deep/er/three", "five.n5/raw", "two/a", "deep/er/three/s", "two/a/old",
    "deep/er/three/s/image",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["memory", "file", "remote", "unordered"])
async def test_all(kind: str, tmp_path: Path) -> None:
    memory = MemoryStore()
    stores: dict[str, Any] = {
        "memory": memory,
        "remote": FaultyStore(memory),
        "unordered": FaultyStore(memory, lists_in_order=False),
    }
    where = tmp_path if kind == "file" else ts.KvStore(stores[kind], "top/")
    await fill(where)
    found = await ts.find(where)
    names = [each.path for each in found]
    assert sorted(names) == sorted([*ALL[1:], *(["alone"] if kind == "file" else [])])
    assert [n.count("/") for n in names] == sorted(n.count("/") for n in names)
    by = {each.path: each for each in found}
    image = by["deep/er/three/s/image"]
    assert (image.kind, image.driver, image.shape, image.dtype) == (
        "array", "zarr3", (20, 30), "uint16",
    )  # fmt: skip
    assert (image.chunk_shape, image.shard_shape) == ((5, 5), (10, 10))
    assert image.codecs == ("sharding_indexed", "bytes", "zstd")
    opened = await image.open()
    assert isinstance(opened, ts.TensorStore)
    assert (await opened[3, 4].read()) == 1
    group = await by["two"].open()
    assert isinstance(group, ts.Group)
    assert await group.keys() == ["a"]
    if kind == "file":
        assert image.url == f"file://{tmp_path}/deep/er/three/s/image/|zarr3:"
        assert (await ts.open(image.url)).shape == (20, 30)
        assert (await ts.open(by["two/a/old"].url)).shape == (7,)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"kind": "array"}, ["alone", "five.n5/raw", "two/a/old", "deep/er/three/s/image"]),
        ({"kind": "group", "format": "zarr2"}, ["two", "two/a"]),
        ({"format": "n5"}, ["five.n5", "five.n5/raw"]),
        ({"dtype": "uint16"}, ["alone", "deep/er/three/s/image"]),
        ({"dtype": ts.float32}, ["two/a/old"]),
        ({"dtype": np.dtype("f4")}, ["two/a/old"]),
        ({"rank": 3}, ["five.n5/raw"]),
        ({"shape": [None, 30]}, ["deep/er/three/s/image"]),
        ({"shape": [4], "rank": 1}, ["alone"]),
        ({"codec": "zstd"}, ["deep/er/three/s/image"]),
        ({"codec": "blosc"}, ["two/a/old", "five.n5/raw"]),
        ({"attributes": {"lab": "x"}}, ["deep/er/three", "two/a/old"]),
        ({"attributes": ["n"]}, ["deep/er/three/s/image"]),
        ({"attributes": {"n": 1, "lab": ...}}, ["deep/er/three/s/image"]),
        ({"attributes": {"n": True}}, []),
        ({"dtype": "no such type"}, []),
    ],
)
async def test_criteria(given: dict[str, Any], wanted: list[str], tmp_path: Path) -> None:
    await fill(tmp_path)
    found = [each.path async for each in ts.find(tmp_path, **given)]
    assert sorted(found) == sorted(wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "file"},
        {"rank": 2, "shape": [1]},
        {"format": "zarr5"},
        {"damaged": "keep"},
        {"attributes": [1]},
        {"dtype": 5},
    ],
)
def test_wrong_criteria(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ts.Error):
        ts.find(tmp_path, **given)


async def test_what_zarr_python_wrote(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        root = zarr.create_group(tmp_path / str(zarr_format), zarr_format=zarr_format)  # type: ignore[arg-type]
        root.create_array("g/strings", shape=(2,), dtype="U3")
        root.create_array("x", shape=(2,), dtype=">i4")
    found = {each.path: each.dtype for each in await ts.find(tmp_path, kind="array")}
    assert found == {
        "2/g/strings": "<U3", "2/x": "int32", "3/x": "int32", "3/g/strings": "fixed_length_utf32",
    }  # fmt: skip


async def test_chunks_are_not_looked_at() -> None:
    faulty = FaultyStore(MemoryStore())
    root = await ts.create_group(ts.KvStore(faulty))
    array = await root.create_array("a", dtype="uint8", shape=[300], chunks=[1])
    await array.write(np.ones(300, "u1"))
    faulty.requests.clear()
    assert len(await ts.find(ts.KvStore(faulty))) == 2
    assert len(faulty.requests) < 20


async def test_damaged_documents(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path)
    await root.create_group("good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "zarr.json").write_text("{")
    with pytest.raises(ts.Error, match="JSON") as error:
        await ts.find(tmp_path)
    assert error.value.kind == "DATA_LOSS"
    assert "bad" in str(error.value)
    assert [f.path for f in await ts.find(tmp_path, damaged="skip")] == ["", "good"]


async def test_in_a_transaction() -> None:
    kvstore = ts.KvStore(MemoryStore())
    transaction = ts.Transaction()
    await (await ts.create_group(kvstore, transaction=transaction)).create_group("a")
    assert [f.path for f in await ts.find(kvstore, transaction=transaction)] == ["", "a"]
    assert await ts.find(kvstore) == []
    transaction.abort()


# -- last_changed -----------------------------------------------------------------------------


async def test_files(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path)
    array = await root.create_array("a", dtype="uint8", shape=[100], chunks=[1])
    await array.write(np.ones(100, "u1"))
    files = {i: tmp_path / "a/c" / str(i) for i in range(100)}
    for i, file in files.items():
        os.utime(file, (1000 + i, 1000 + i))
    os.utime(tmp_path / "a" / "zarr.json", (1500, 1500))
    os.utime(tmp_path / "zarr.json", (10, 10))
    some = await ts.last_changed(array[20:40])
    assert (some.time, some.key, some.values) == (1039.0, "a/c/39", 20)
    assert (await ts.last_changed(array)).time == 1099.0
    # Many chunks are found by listing.
    assert (await ts.last_changed(array[:80])).time == 1079.0
    below = await ts.last_changed(tmp_path)
    assert (below.time, below.key, below.values) == (1500.0, "a/zarr.json", 102)
    assert below.datetime is not None
    assert below.datetime.isoformat() == "1970-01-01T00:25:00+00:00"
    assert (
        "'a/zarr.json' was written last, at 1970-01-01 00:25:00.000+00:00 by the clock of"
        in str(below)
    )


async def test_memory() -> None:
    kvstore = ts.KvStore(MemoryStore())
    array = await (await ts.create_group(kvstore)).create_array("a", dtype="uint8", shape=[4])
    nothing = await ts.last_changed(array)
    assert (nothing.time, nothing.key, nothing.datetime) == (None, None, None)
    assert "nothing is stored" in str(nothing)
    await array.write(1)
    first = await ts.last_changed(array)
    await array.write(2)
    second = await ts.last_changed(array)
    assert first.time is not None
    assert second.time is not None
    assert first.time <= second.time
    assert (await ts.last_changed(kvstore)).key == "a/c/0"


class Timeless(MemoryStore):
    async def list(self, key_range: Any) -> Any:
        async for entry in super().list(key_range):
            yield ListEntry(entry.key, entry.size)


async def test_a_store_that_knows_no_times() -> None:
    store: KeyValueStore = Timeless()
    root = await ts.create_group(ts.KvStore(store))
    assert root.path == ""
    with pytest.raises(ts.Error, match="does not tell when") as error:
        await ts.last_changed(ts.KvStore(store))
    assert error.value.kind == "UNIMPLEMENTED"


async def test_of_one_attribute_only_a_history_knows() -> None:
    group = await ts.create_group(ts.KvStore(MemoryStore()), attributes={"a": 1})
    assert (await ts.last_changed(group)).format == "zarr3"
    with pytest.raises(ts.Error, match="keeps no history") as error:
        await ts.last_changed(group, attribute="a")
    assert error.value.kind == "UNIMPLEMENTED"
    with pytest.raises(ts.Error, match="are str, not int: 5"):
        await ts.last_changed(group, attribute=5)  # type: ignore[arg-type]


async def test_what_is_not_stored() -> None:
    with pytest.raises(ts.Error) as error:
        await ts.last_changed(ts.array([1, 2]))
    assert error.value.kind == "UNIMPLEMENTED"


async def test_stored_entries(tmp_path: Path) -> None:
    root = await ts.create_group(tmp_path)
    array = await root.create_array("a", dtype="uint8", shape=[10], chunks=[2])
    await array[2:6].write(1)
    found = await array.stored_entries()
    assert sorted((e.key, e.size) for e in found) == [("a/c/1", 2), ("a/c/2", 2)]
    assert [e.key async for e in array[4].stored_entries()] == ["a/c/2"]
    assert await array[9:9].stored_entries() == []
