"""File systems of fsspec as kvstores: the public suite, and what is particular to them."""

from __future__ import annotations

import asyncio
import pickle
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import asynctensor as at
from asynctensor.errors import (
    Aborted,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    Unimplemented,
)
from asynctensor.integrations.fsspec import AsynctensorFileSystem, kvstore
from asynctensor.integrations.fsspec_calls import FilesystemCalls
from asynctensor.integrations.fsspec_store import FsspecStore
from asynctensor.runtime.event_loop import start
from asynctensor.storage.generation import NO_VALUE
from asynctensor.storage.kvstore import KeyValueStore, ReadOptions
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder in the memory that all of fsspec's share."""
    name = f"/{uuid.uuid4().hex}"
    yield name
    if MemoryFileSystem().exists(name):
        MemoryFileSystem().rm(name, recursive=True)


class TestSynchronousFileSystem(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, folder: str) -> KeyValueStore:
        return FsspecStore(FilesystemCalls(fsspec.filesystem("memory")), f"{folder}/")


class TestLocalFiles(KeyValueStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> KeyValueStore:
        return FsspecStore(FilesystemCalls(fsspec.filesystem("file")), f"{tmp_path}/")


class TestAsynchronousFileSystem(KeyValueStoreSuite):
    """One of our own, which so passes, too."""

    @pytest.fixture
    def store(self) -> KeyValueStore:
        filesystem = AsynctensorFileSystem({"driver": "memory"}, context=at.Context())
        return FsspecStore(FilesystemCalls(filesystem), "a/")

    async def test_pickle(self, store: KeyValueStore) -> None:
        """What is in memory does not travel."""


async def test_an_array_in_it_by_object_and_by_spec(folder: str) -> None:
    opened = kvstore(fsspec.filesystem("memory"), f"{folder}/a")
    array = await at.open(
        {"driver": "zarr3"}, kvstore=opened, create=True, dtype=at.uint16, shape=[10, 10]
    )
    await array[2:5].write(7)
    spec = {"driver": "fsspec", "protocol": "memory", "path": f"{folder}/a/"}
    again = await at.open({"driver": "zarr3", "kvstore": spec})
    assert int((await again.read()).sum()) == 210
    assert MemoryFileSystem().exists(f"{folder}/a/zarr.json")
    loaded = pickle.loads(pickle.dumps(again))
    assert np.array_equal(await loaded.read(), await again.read())
    assert (await at.KvStore.open(spec)).spec().to_json() == spec
    named = opened.spec().to_json()
    assert spec | {"opened": named["opened"]} == named


async def test_the_object_itself_is_used_wherever_it_goes() -> None:
    filesystem = AsynctensorFileSystem({"driver": "memory"}, context=at.Context())
    opened = kvstore(filesystem, "a")
    array = await at.open(
        {"driver": "zarr3"}, kvstore=opened, create=True, dtype=at.uint16, shape=[10, 10]
    )
    await array[2:5].write(7)
    assert filesystem.find("") == ["a/c/0/0", "a/zarr.json"]
    assert int((await pickle.loads(pickle.dumps(array)).read()).sum()) == 210


async def test_a_repository_on_local_files(tmp_path: Path) -> None:
    where = {"driver": "fsspec", "protocol": "file", "path": f"{tmp_path}/"}
    repo = await at.Repository.open(where, create=True)
    for i in range(3):
        async with repo.transaction(message=f"{i}") as txn:
            await repo.kvstore().with_transaction(txn).write("k", b"%d" % i)
    assert [each.message async for each in repo.log()][:3] == ["2", "1", "0"]
    late = repo.transaction()
    assert (await repo.kvstore().with_transaction(late).read("k")).value == b"2"
    await repo.kvstore().with_transaction(late).write("k", b"late")
    async with repo.transaction(message="first") as txn:
        await repo.kvstore().with_transaction(txn).write("k", b"first")
    with pytest.raises(Aborted):
        await late.commit_async()


async def test_an_asynchronous_file_system_on_the_loop_that_runs() -> None:
    filesystem = AsynctensorFileSystem(
        {"driver": "memory"}, context=at.Context(), asynchronous=True
    )
    seen = []
    cat = filesystem._cat_file

    async def watched(path: str, **part: int) -> bytes:
        seen.append(asyncio.get_running_loop())
        return await cat(path, **part)

    filesystem._cat_file = watched
    opened = kvstore(filesystem, "a")
    await opened.write("k", b"1")
    assert (await opened.read("k")).value == b"1"
    assert seen == [asyncio.get_running_loop()]


async def test_a_cancelled_write_has_happened_when_that_is_told() -> None:
    filesystem = AsynctensorFileSystem(
        {"driver": "memory"}, context=at.Context(), asynchronous=True
    )
    begun, go_on = asyncio.Event(), asyncio.Event()
    pipe = filesystem._pipe_file

    async def slow(*args: Any, **options: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await pipe(*args, **options)

    filesystem._pipe_file = slow
    store = FsspecStore(FilesystemCalls(filesystem), "a/")
    task = asyncio.ensure_future(start(store.write, "k", b"1"))
    await begun.wait()
    task.cancel()
    for _ in range(10):
        # There and back: whatever the cancellation does, it has done.
        await start(asyncio.sleep, 0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await filesystem._cat_file("a/k") == b"1"


async def test_no_bytes_newer_than_their_version(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes between the description and the bytes."""
    store = FsspecStore(FilesystemCalls(fsspec.filesystem("memory")), f"{folder}/")
    first = await start(store.write, "k", b"first")
    other = MemoryFileSystem()
    cat = MemoryFileSystem.cat_file
    for value, condition in ((b"other", b""), (b"longer than before", b""), (b"third", b"equal")):
        await start(store.write, "k", b"first")
        before = await start(store.read, "k")

        def overwritten(self: Any, path: str, value: bytes = value, **part: int) -> bytes:
            monkeypatch.setattr(MemoryFileSystem, "cat_file", cat)
            other.pipe_file(path, value)
            return cat(self, path, **part)

        monkeypatch.setattr(MemoryFileSystem, "cat_file", overwritten)
        asked = ReadOptions(if_equal=before.stamp.generation) if condition else ReadOptions()
        found = await start(store.read, "k", asked)
        now = await start(store.read, "k")
        assert now.value == value
        if condition:
            # Never the new bytes under the condition that they are the old ones.
            assert found.state == "unspecified"
        elif found.stamp.generation == now.stamp.generation:
            assert found.value == value
        else:
            assert (len(found.value), found.stamp) == (5, found.stamp)
    assert first.generation


@pytest.mark.parametrize("key", ["", "a//b", "/a", "a/", "..", "a/../b", ".", "a\0"])
async def test_keys_that_name_nothing(folder: str, key: str) -> None:
    opened = kvstore(fsspec.filesystem("memory"), folder)
    for call in (opened.read(key), opened.write(key, b"")):
        with pytest.raises(InvalidArgument, match="can name no file"):
            await call


async def test_conditions_that_nobody_keeps_are_refused(folder: str, tmp_path: Path) -> None:
    memory = kvstore(fsspec.filesystem("memory"), folder)
    with pytest.raises(Unimplemented, match="cannot check the condition"):
        await memory.write("k", b"1", if_equal=NO_VALUE)
    local = kvstore(fsspec.filesystem("file"), str(tmp_path))
    first = await local.write("k", b"1", if_equal=NO_VALUE)
    with pytest.raises(Unimplemented, match="cannot check the condition"):
        await local.write("k", b"2", if_equal=first.generation)
    with pytest.raises(Unimplemented):
        await at.Repository.open(memory.spec(), create=True)


async def test_unfinished_values_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "k.asynctensor-0123456789abcdef").write_bytes(b"cut")
    local = kvstore(fsspec.filesystem("file"), str(tmp_path))
    await local.write("a/k", b"1")
    assert await local.list() == [b"a/k"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["k"]
    with pytest.raises(InvalidArgument, match="values that are being written"):
        await local.read("k.asynctensor-0123456789abcdef")


async def test_a_folder_in_the_way(tmp_path: Path) -> None:
    local = kvstore(fsspec.filesystem("file"), str(tmp_path))
    await local.write("a/b/c", b"1")
    with pytest.raises(FailedPrecondition, match="not empty"):
        await local.write("a", b"2")
    await local.write("a/b/c", None)
    await local.write("a", b"2")
    assert await local.list() == [b"a"]


def test_secrets_are_not_told() -> None:
    filesystem = MemoryFileSystem(
        token="very secret", nested={"secret": "very secret", "a": 1}, b=2
    )
    opened = kvstore(filesystem, "/a")
    json = opened.spec().to_json()
    assert len(json.pop("opened")) == 32
    assert json == {
        "driver": "fsspec", "protocol": "memory", "storage_options": {"b": 2}, "path": "/a/",
    }  # fmt: skip
    shown = [repr(opened), repr(opened.store), pickle.dumps(opened).decode("latin-1")]
    assert not [text for text in shown if "very secret" in text]


def test_that_there_is_no_secret_is_told() -> None:
    """gcsfs has a name for that where others have their secret."""
    opened = kvstore(MemoryFileSystem(token="anon", key="anon"), "/a")
    assert opened.spec().to_json()["storage_options"] == {"token": "anon"}


async def test_wrong_specs() -> None:
    for spec, message in (
        ({}, '"protocol": Expected the name of a file system'),
        ({"protocol": 5}, "Expected string"),
        ({"protocol": "nonsense"}, "fsspec has no file system 'nonsense'"),
        ({"protocol": "memory", "storage_options": 5}, "Expected object"),
        ({"protocol": "memory", "options": {}}, "options"),
        ({"protocol": "asynctensor"}, "say which kvstore"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            await at.KvStore.open({"driver": "fsspec", **spec})
    with pytest.raises(IncompatibleType, match="expected a file system of fsspec"):
        kvstore(5)  # type: ignore[arg-type]
