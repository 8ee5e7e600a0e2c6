"""Stores that users write: of every kind, through the suite, and what goes wrong."""

from __future__ import annotations

import asyncio
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    AlreadyExists,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    OutOfRange,
    Unimplemented,
)
from asynctensor.extending import (
    NO_VALUE,
    ByteRange,
    Capabilities,
    KeyValueStore,
    register_kvstore,
)
from asynctensor.kvstores.memory.store import MemoryStore
from asynctensor.testing.kvstore_suite import KeyValueStoreSuite


class Kept(Exception):
    pass


class Shelf:
    """Values in memory, with plain functions and conditions."""

    def __init__(self, name: str = "", fail: bool = False) -> None:
        if fail:
            raise Kept("made")
        self.values: dict[str, tuple[bytes, bytes]] = {}
        self.count = 0
        self.lock = threading.Lock()
        self.threads: set[str] = set()

    def read(self, key) -> Any:
        self.threads.add(threading.current_thread().name)
        return self.values.get(key)

    def write(self, key, value, if_equal) -> Any:
        with self.lock:
            found = self.values.get(key)
            if if_equal not in (b"", found[1] if found else NO_VALUE):
                return None
            self.values.pop(key, None)
            self.count += 1
            generation = b"%d" % self.count
            if value is not None:
                self.values[key] = value, generation
            return generation

    def list(self, prefix) -> Any:
        with self.lock:
            return [(k, len(v)) for k, (v, _) in self.values.items() if k.startswith(prefix)]


class AsyncShelf(Shelf):
    async def read(self, key, byte_range: ByteRange) -> Any:
        await asyncio.sleep(0)
        found = super().read(key)
        if found is None:
            return None
        start, stop = byte_range.resolve(len(found[0]))
        return found[0][start:stop], found[1]

    async def write(self, key, value, if_equal) -> Any:
        return super().write(key, value, if_equal)

    async def list(self, prefix) -> Any:
        for entry in super().list(prefix):
            yield entry


class Contract(MemoryStore):
    """The whole contract; what the library would do by itself is left to it."""

    capabilities = Capabilities(
        can_create_if_absent=True, can_compare_and_swap=True, lists_in_order=True
    )

    def __init__(self) -> None:
        super().__init__()


async def opened(cls: type, **members: Any) -> KeyValueStore:
    register_kvstore("mine", scheme="mine")(cls)
    return (await ts.KvStore.open({"driver": "mine", **members})).store


class TestPlainStore(KeyValueStoreSuite):
    @pytest.fixture
    async def store(self) -> KeyValueStore:
        return await opened(Shelf, name="x")


class TestAsyncStore(KeyValueStoreSuite):
    @pytest.fixture
    async def store(self) -> KeyValueStore:
        return await opened(AsyncShelf)


class TestContractStore(KeyValueStoreSuite):
    @pytest.fixture
    async def store(self) -> KeyValueStore:
        return await opened(Contract)


class TestSimplestStore(KeyValueStoreSuite):
    """Values alone: no generation, no condition, no range."""

    @pytest.fixture
    async def store(self) -> KeyValueStore:
        values: dict[str, bytes] = {}

        def write(key, value) -> None:
            values.pop(key, None) if value is None else values.update({key: value})

        register_kvstore("mine", read=values.get, write=write, list=lambda prefix: list(values))
        return (await ts.KvStore.open({"driver": "mine"})).store

    async def test_empty_value_is_a_value(self, store) -> None:
        """Sizes are not told."""

    async def test_list_with_sizes(self, store) -> None:
        """Sizes are not told."""


# -- where, and what arrives --------------------------------------------------------------------


async def test_plain_functions_run_on_guest_threads() -> None:
    store: Any = await opened(Shelf)
    await ts.KvStore(store).read("a")
    made = store._made[0]._read.__self__
    assert made.threads
    assert all(name.startswith("asynctensor-guest-") for name in made.threads)


async def test_coroutines_run_on_the_loop_of_the_registration() -> None:
    loops = []

    class Loops:
        async def read(self, key):
            loops.append(asyncio.get_running_loop())

    await ts.KvStore(await opened(Loops)).read("a")
    assert loops == [asyncio.get_running_loop()]


def test_coroutines_of_a_loop_that_is_closed() -> None:
    async def main() -> ts.KvStore:
        return ts.KvStore(await opened(AsyncShelf))

    store = asyncio.run(main())
    with pytest.raises(FailedPrecondition, match="closed"):
        store.read("a").result()


@pytest.mark.parametrize("where", ["read", "write", "list", "made"])
async def test_error_is_raised_as_it_is(where: str) -> None:
    class Failing(Shelf):
        def read(self, key):
            if where == "read":
                raise Kept(where)
            return super().read(key)

        def write(self, key, value):
            raise Kept(where)

        def list(self, prefix):
            raise Kept(where)

    store = ts.KvStore(await opened(Failing, **({"fail": True} if where == "made" else {})))
    for operation in {
        "read": [lambda: store.read("a")],
        "write": [lambda: store.write("a", b""), lambda: store.write("a", None)],
        "list": [store.list, lambda: store.delete_range(ts.KvStore.KeyRange())],
        "made": [lambda: store.read("a"), store.list],
    }[where]:
        with pytest.raises(Kept, match=where):
            await operation()


async def test_cancellation_reaches_the_function() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    class Stuck:
        async def read(self, key):
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    store = await opened(Stuck)
    task = asyncio.create_task(ts.KvStore(store).read("a"))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize("answer", [5, "text", (b"", 3), (b"a", b"b", b"c"), object()])
async def test_answers_of_a_wrong_type(answer: Any) -> None:
    register_kvstore(
        "mine", read=lambda key: answer, write=lambda key, value: answer, list=lambda p: [answer]
    )
    store = await ts.KvStore.open({"driver": "mine"})
    for operation in (lambda: store.read("a"), lambda: store.write("a", b""), store.list):
        if answer == "text" and operation == store.list:
            continue
        with pytest.raises(IncompatibleType, match="must return"):
            await operation()


async def test_answers_that_break_the_contract() -> None:
    def ranged(key, byte_range):
        return b"12345", b"g"

    register_kvstore("mine", read=ranged)
    store = await ts.KvStore.open({"driver": "mine"})
    with pytest.raises(InvalidArgument, match="5 bytes"):
        await store.read("a", byte_range=slice(0, 3))
    register_kvstore("other", read=lambda key, byte_range: b"123")
    store = await ts.KvStore.open({"driver": "other"})
    with pytest.raises(IncompatibleType, match="generation"):
        await store.read("a", byte_range=slice(0, 3))
    register_kvstore("third", read=lambda key: (b"", NO_VALUE))
    with pytest.raises(InvalidArgument, match="return None"):
        await (await ts.KvStore.open({"driver": "third"})).read("a")


async def test_what_a_store_lacks() -> None:
    register_kvstore("mine", read=lambda key: b"12")
    store = await ts.KvStore.open({"driver": "mine"})
    assert store.store.capabilities.readable
    assert not store.store.capabilities.writable
    for operation in (lambda: store.write("a", b""), store.list):
        with pytest.raises(Unimplemented):
            await operation()
    with pytest.raises(OutOfRange):
        await store.read("a", byte_range=slice(0, 3))


# -- specs --------------------------------------------------------------------------------------


async def test_array_in_it() -> None:
    register_kvstore("mine", scheme="mine")(Shelf)
    spec = {"driver": "zarr3", "kvstore": {"driver": "mine", "name": "x", "path": "a/"}}
    array = await ts.open(spec, create=True, dtype="int32", shape=[40, 40])
    await asyncio.gather(*(array[k].write(k) for k in range(40)))
    again = await ts.open(spec)
    assert (await again.read() == np.arange(40)[:, None]).all()
    assert array.spec().to_json()["kvstore"] == {"driver": "mine", "name": "x", "path": "a/"}
    copy = pickle.loads(pickle.dumps(array))
    assert (await copy[3].read() == 3).all()
    other = await ts.KvStore.open({"driver": "mine", "name": "y"})
    assert await other.list() == []


async def test_url() -> None:
    register_kvstore("mine", scheme="my")(Shelf)
    store = await ts.KvStore.open("my://a/b%20c/")
    await store.write("k", b"1")
    assert (store.url, store.path) == ("my://a/b%20c/", "a/b c/")
    root = await ts.KvStore.open({"driver": "mine"})
    assert await root.list() == [b"a/b c/k"]
    named = await ts.KvStore.open({"driver": "mine", "name": "x"})
    with pytest.raises(Unimplemented, match="no URL"):
        _ = named.store.url("")


async def test_spec_that_is_wrong() -> None:
    register_kvstore("mine", scheme="mine")(Shelf)
    wrong = [
        ({"driver": "mine", "name": 3}, 'member "name": Expected string'),
        ({"driver": "mine", "nam": "x"}, 'extra members: "nam"'),
        ({"driver": "mime"}, "did you mean 'mine'"),
        ("mime://x", "did you mean 'mine'"),
    ]
    for spec, message in wrong:
        with pytest.raises(InvalidArgument, match=message):
            await ts.KvStore.open(spec)


# -- registration -------------------------------------------------------------------------------


def test_names_that_are_taken() -> None:
    register_kvstore("mine", scheme="my")(Shelf)
    for name, scheme, replace in [
        ("mine", None, False),
        ("file", None, True),
        ("other", "my", False),
        ("other", "zarr3", False),
        ("mine", "file", True),
    ]:
        with pytest.raises(AlreadyExists):
            register_kvstore(name, scheme=scheme, replace=replace)(Shelf)
    register_kvstore("mine", scheme="new", replace=True)(AsyncShelf)
    with pytest.raises(InvalidArgument, match="unsupported URL scheme"):
        ts.KvStore.open("my://").result()
    assert ts.KvStore.open("new://").result().list().result() == []


async def test_nothing_is_cached_across_registrations() -> None:
    context = ts.Context({"cache_pool": {"total_bytes_limit": 10**6}})
    spec = {"driver": "zarr3", "kvstore": {"driver": "mine", "path": "a/"}}
    arrays = []
    for number, cls in enumerate([Shelf, AsyncShelf]):
        register_kvstore("mine", replace=number > 0)(cls)
        array = await ts.open(
            spec, create=True, dtype="int32", shape=[4], context=context, recheck_cached_data=False
        )
        await array.write(number)
        arrays.append(array)
        assert (await array.read() == number).all()
    again = await ts.open(spec, context=context, recheck_cached_data=False)
    assert (await again.read() == 1).all()
    assert (await arrays[0].read() == 0).all()
    one, two = (each.kvstore.store.identity for each in arrays)
    assert one != two


def test_what_is_no_store() -> None:
    class Nothing: ...

    class Path:
        def __init__(self, path: str) -> None: ...

        def read(self, key): ...

    with pytest.raises(InvalidArgument, match="no function"):
        register_kvstore("mine")(Nothing)
    with pytest.raises(IncompatibleType, match="class"):
        register_kvstore("mine")(lambda: None)  # type: ignore[type-var]
    with pytest.raises(InvalidArgument, match="rename"):
        register_kvstore("mine")(Path)
    with pytest.raises(IncompatibleType, match="loop"):
        register_kvstore("mine", loop=3)(Shelf)  # type: ignore[arg-type]


class Reversed:
    """What is below, backwards."""

    def __init__(self, base: ts.KvStore, suffix: str = "") -> None:
        self.base, self.suffix = base, suffix

    async def read(self, key: str) -> Any:
        found = await self.base.read(key + self.suffix)
        if found.state != "value":
            return None
        return found.value[::-1], found.stamp.generation

    async def write(self, key: str, value: bytes | None, if_equal: bytes) -> bytes | None:
        stored = None if value is None else value[::-1]
        stamp = await self.base.write(key + self.suffix, stored, if_equal=if_equal or None)
        return stamp.generation or None

    async def list(self, prefix: str) -> Any:
        found = []
        for key in sorted([key.decode() for key in await self.base.list()]):
            value = await self.base.read(key)
            if key.startswith(prefix) and value.state == "value":
                found.append((key.removesuffix(self.suffix), len(value.value)))
        return found


@pytest.mark.parametrize("below", ["memory://x/", "file"])
async def test_a_store_upon_another(below: str, tmp_path: Path) -> None:
    register_kvstore("reversed", scheme="reversed")(Reversed)
    base = f"file://{tmp_path}/x/" if below == "file" else below
    context = ts.Context()
    spec = {"driver": "reversed", "base": base, "suffix": ".r", "path": "p/"}
    store = await ts.KvStore.open(spec, context=context)
    await store.write("a", b"12")
    plain = await ts.KvStore.open(base, context=context)
    assert (await plain.read("p/a.r")).value == b"21"
    assert (await store.read("a")).value == b"12"
    assert await store.list() == [b"a"]
    assert store.spec().to_json()["base"] == plain.spec().to_json()
    assert store.base.spec().to_json() == plain.spec().to_json()
    array = await ts.open(
        {"driver": "zarr3", "kvstore": spec},
        context=context,
        create=True,
        dtype=ts.int8,
        shape=[10],
    )
    await array[3:5].write(7)
    again = await ts.open(array.spec(), context=context)
    assert (await again.read()).sum() == 14
    other = await ts.KvStore.open({**spec, "base": f"{base}y/"}, context=context)
    assert (await other.read("a")).state == "missing"
    assert other.store.identity != store.store.identity
    if below == "file":
        # It is opened where it is loaded, and its functions run on this loop.
        with pytest.raises(FailedPrecondition, match="await the operation there"):
            pickle.loads(pickle.dumps(array))
        copied = await asyncio.to_thread(pickle.loads, pickle.dumps(array))
        assert (await copied.read()).sum() == 14


async def test_a_store_upon_another_in_urls(tmp_path: Path) -> None:
    register_kvstore("reversed", scheme="reversed")(Reversed)
    url = f"file://{tmp_path}/x/|reversed:p/"
    array = await ts.open(f"{url}|zarr3:", create=True, dtype=ts.int8, shape=[4])
    await array.write(5)
    assert array.url == f"{url}|zarr3:"
    assert (tmp_path / "x/p/zarr.json").read_bytes().startswith(b"}")
    with pytest.raises(InvalidArgument, match="not a root kvstore"):
        await ts.KvStore.open("reversed://p/")
    with pytest.raises(InvalidArgument, match="base"):
        await ts.KvStore.open({"driver": "reversed"})


class TestReversed(KeyValueStoreSuite):
    pickles_share = False

    @pytest.fixture
    async def store(self) -> Any:
        register_kvstore("reversed", scheme="reversed")(Reversed)
        return (await ts.KvStore.open({"driver": "reversed", "base": "memory://"})).store
