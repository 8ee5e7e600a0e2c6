"""`KvStore`: TensorStore's API over any store, compared with TensorStore itself."""

from __future__ import annotations

import asyncio
import copy
import pickle
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tensorstore as ts

from asynctensor.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from asynctensor.kvstore import KvStore
from asynctensor.kvstores.file.store import FileStore
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.transaction.transaction import Transaction


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KvStore:
    if request.param == "memory":
        return KvStore(MemoryStore())
    return KvStore(FileStore(str(tmp_path)))


@pytest.fixture(params=["ours", "theirs"])
def either(request: pytest.FixtureRequest) -> Any:
    """Our store and TensorStore's: what is said of both holds for both."""
    if request.param == "ours":
        return KvStore(MemoryStore())
    return ts.KvStore.open("memory://").result()


def test_synchronous_operators(store: KvStore) -> None:
    store["a/b"] = b"1"
    assert store[b"a/b"] == b"1"
    assert "a/b" in store
    del store["a/b"]
    assert "a/b" not in store
    with pytest.raises(KeyError):
        store["a/b"]
    store["a"] = b"2"
    store["a"] = None
    del store["a"]
    assert "a" not in store
    with pytest.raises(TypeError):
        iter(store)


def test_what_it_says_is_what_tensorstore_says(either: Any) -> None:
    stamp = either.write("k", b"0123456789").result()
    found = either.read("k").result()
    assert (found.state, found.value) == ("value", b"0123456789")
    assert found.stamp.generation == stamp.generation
    missing = either.read("none").result()
    assert (missing.state, missing.value, missing.stamp.generation) == ("missing", b"", b"\x02")
    same = either.read("k", if_not_equal=stamp.generation).result()
    assert (same.state, same.value) == ("unspecified", b"")
    assert either.write("k", b"x", if_equal=b"\x02").result().generation == b""
    assert either.write("new", "text", if_equal=b"\x02").result().generation not in (b"", b"\x02")
    assert either["new"] == b"text"
    assert either.write("new", None).result().generation == b"\x02"
    for byte_range, value in (
        (slice(2, 4), b"23"),
        (slice(None, 3), b"012"),
        (slice(7, None), b"789"),
        (slice(-2, None), b"89"),
        (slice(0, 0), b""),
        (slice(None, None), b"0123456789"),
    ):
        assert either.read("k", byte_range=byte_range).result().value == value
    for bad in (slice(0, 11), slice(11, None), slice(-11, None), slice(3, 2), slice(0, -1)):
        with pytest.raises(ValueError, match=r"byte.range"):
            either.read("k", byte_range=bad).result()
    with pytest.raises(TypeError):
        either.read("k", byte_range=slice(0, 4, 2))
    with pytest.raises(TypeError):
        either.read(3)
    with pytest.raises(TypeError):
        either.write("k", 3)


def test_listing_and_paths_as_tensorstore(either: Any) -> None:
    kind = type(either).KeyRange
    for key in ("a", "b/1", "b/2", "c"):
        either[key] = key.encode()
    assert either.list().result() == [b"a", b"b/1", b"b/2", b"c"]
    assert either.list(kind("b", "c")).result() == [b"b/1", b"b/2"]
    assert either.list(kind("b"), strip_prefix_length=1).result() == [b"/1", b"/2", b""]
    below = either / "b"
    assert below.path == "b"
    assert below.list().result() == [b"/1", b"/2"]
    assert (either / "b/").list().result() == [b"1", b"2"]
    assert (either / "b/")["1"] == b"b/1"
    assert [(either / "b" / "x").path, (either / "b/" / "/x").path, (either + "b" + "x").path] == [
        "b/x", "b//x", "bx",
    ]  # fmt: skip
    assert (either / "b/").url == "memory://b/"
    either.path = "b/"
    assert either.list().result() == [b"1", b"2"]
    (either + "").delete_range(kind("1", "2")).result()
    assert either.list().result() == [b"2"]
    either.delete_range(kind("9", "1")).result()
    either.path = ""
    assert either.list().result() == [b"a", b"b/2", b"c"]
    either[b"\xff"] = b"no unicode"
    assert either[b"\xff"] == b"no unicode"
    assert either.list().result()[-1] == b"\xff"
    assert either.base is None
    assert either.transaction is None


def test_values_are_those_of_tensorstore() -> None:
    for theirs, ours in ((ts.KvStore, KvStore),):
        for make in (
            lambda kind: kind.KeyRange("a", b"b"),
            lambda kind: kind.KeyRange(),
            lambda kind: kind.TimestampedStorageGeneration(b"g", 1.5),
            lambda kind: kind.TimestampedStorageGeneration(),
            lambda kind: kind.ReadResult(),
            lambda kind: kind.ReadResult("value", b"v"),
        ):
            one, two = make(ours), make(theirs)
            assert repr(one) == repr(two)
            assert one == make(ours) == copy.copy(one) == copy.deepcopy(one)
            assert pickle.loads(pickle.dumps(one)) == one
            assert one != 3
            with pytest.raises(TypeError):
                hash(one)
    key_range = KvStore.KeyRange("a", "b")
    key_range.inclusive_min, key_range.exclusive_max = "c", b"b"
    assert (key_range.inclusive_min, key_range.exclusive_max, key_range.empty) == (b"c", b"b", True)


def test_file_paths_are_paths_of_specs(tmp_path: Path) -> None:
    store = KvStore(FileStore(f"{tmp_path}/x/"))
    assert store.path == f"{tmp_path}/x/"
    assert store.url == f"file://{tmp_path}/x/"
    store["k"] = b"1"
    store.path = f"{tmp_path}/"
    assert store["x/k"] == b"1"
    assert (store / "x/").path == f"{tmp_path}/x/"
    assert store.spec().to_json() == {"driver": "file", "path": f"{tmp_path}/"}
    # What stands beside the directory, as a prefix without a slash means it.
    side = KvStore(*FileStore("").at(f"{tmp_path}/x"))
    assert side.list().result() == [b"/k"]
    (side + "y")["k"] = b"2"
    assert (tmp_path / "xyk").read_bytes() == b"2"


async def test_every_operation_is_awaitable(store: KvStore) -> None:
    await store.write("a", b"1")
    found, keys = await asyncio.gather(store.read("a"), store.list())
    assert (found.value, keys) == (b"1", [b"a"])
    await store.delete_range(KvStore.KeyRange())
    assert await store.list() == []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.write(f"k{i}", b"1")) for i in range(5)]
    assert all(task.result().generation for task in tasks)


def test_memory_answers_before_the_future_is_returned() -> None:
    store = KvStore(MemoryStore())
    assert store.write("k", b"1").done()
    assert store.read("k").done()
    with pytest.raises(ValueError, match="OUT_OF_RANGE"):
        store.read("k", byte_range=slice(0, 9)).result()


def test_deadlines_on_everything(store: KvStore) -> None:
    past = time.time() - 1
    target = KvStore(MemoryStore())
    for future in (
        store.read("k", deadline=past),
        store.write("k", b"1", deadline=past),
        store.list(deadline=past),
        store.delete_range(KvStore.KeyRange(), timeout=0),
        store.experimental_copy_range_to(target, timeout=0),
    ):
        with pytest.raises(DeadlineExceeded):
            future.result()
    assert store.read("k", timeout=60).result().state == "missing"


class Endless(MemoryStore):
    """A store that does not answer."""

    async def read(self, key: str, options: Any = None) -> Any:
        await asyncio.get_running_loop().create_future()

    async def write(self, key: str, value: Any, if_equal: bytes = b"") -> Any:
        await asyncio.get_running_loop().create_future()

    async def delete_range(self, key_range: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def list(self, key_range: Any) -> AsyncIterator[Any]:
        yield await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize(
    ("operation", "begin"),
    [
        ("read", lambda store, limit: store.read("k", timeout=limit)),
        ("write", lambda store, limit: store.write("k", b"1", timeout=limit)),
        ("delete", lambda store, limit: store.write("k", None, timeout=limit)),
        ("list", lambda store, limit: store.list(timeout=limit)),
        ("delete", lambda store, limit: store.delete_range(KvStore.KeyRange(), timeout=limit)),
    ],
)
def test_an_error_of_time_says_where_it_was(operation: str, begin: Any) -> None:
    store = KvStore(Endless(), "a/")
    for seconds in (0.01, 0.1, 1.0, 10.0, 60.0):
        with pytest.raises(DeadlineExceeded) as caught:
            begin(store, seconds).result()
        error = caught.value
        if error.key is not None:
            break
        # A busy machine has let the time run out before the work began.
    assert error.key in ("a/k", "a/")
    assert (error.store, error.operation) == ("memory://", operation)


def test_an_error_of_time_shows_no_signature() -> None:
    store = KvStore.open({"driver": "http", "base_url": "http://127.0.0.1:9/?sig=hidden"}).result()
    with pytest.raises(DeadlineExceeded) as caught:
        store.read("k", timeout=0.01).result()
    assert "hidden" not in f"{caught.value!r} {caught.value} {caught.value.store}"


def test_caller_may_change_the_buffer_at_once(tmp_path: Path) -> None:
    store = KvStore(FileStore(str(tmp_path)))
    buffer = bytearray(b"before")
    future = store.write("k", buffer)
    buffer[:] = b"after!"
    future.result()
    assert store["k"] == b"before"


def test_copy_of_a_range(store: KvStore) -> None:
    for key in ("s/a", "s/b", "s/c", "other"):
        store[key] = key.encode()
    target = KvStore(MemoryStore()) / "t/"
    whole = KvStore.KeyRange("b")
    (store / "s/").experimental_copy_range_to(target, whole).result()
    assert sorted(target.list().result()) == [b"b", b"c"]
    assert target["b"] == b"s/b"
    (store / "s/").experimental_copy_range_to(store / "u/").result()
    assert sorted((store / "u/").list().result()) == [b"a", b"b", b"c"]


def test_copies_are_independent(store: KvStore) -> None:
    for other in (store.copy(), copy.copy(store)):
        other.path += "x/"
        assert store.path + "x/" == other.path
        assert "k" not in other


def test_transactions_are_bound(store: KvStore) -> None:
    txn = Transaction(atomic=False)
    bound = store.with_transaction(txn)
    assert (store.transaction, bound.transaction) == (None, txn)
    bound["k"] = b"staged"
    assert bound["k"] == b"staged"
    assert bound.list().result() == [b"k"]
    assert "k" not in store
    with pytest.raises(FailedPrecondition):
        pickle.dumps(bound)
    txn.commit_sync()
    assert store["k"] == b"staged"


def test_pickle(store: KvStore, tmp_path: Path) -> None:
    store["d/k"] = b"1"
    loaded = pickle.loads(pickle.dumps(store / "d/"))
    assert (loaded.path, loaded.key_prefix) == ((store / "d/").path, "d/")
    if isinstance(store.store, FileStore):
        assert loaded["k"] == b"1"


def test_errors_name_the_key(tmp_path: Path) -> None:
    store = KvStore(FileStore(str(tmp_path)))
    with pytest.raises(InvalidArgument) as caught:
        store.read("../x").result()
    assert caught.value.key == "../x"


def test_repr_is_the_spec(tmp_path: Path) -> None:
    assert repr(KvStore(MemoryStore(), "a/")) == "KvStore({'driver': 'memory', 'path': 'a/'})"
    long = repr(KvStore(FileStore("/" + "x" * 90)))
    assert long.splitlines()[0] == "KvStore({"
