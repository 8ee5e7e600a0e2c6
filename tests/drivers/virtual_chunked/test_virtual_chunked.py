"""Virtual arrays: what their functions are asked, when, where, and what their answers mean."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any, ClassVar

import cloudpickle
import numpy as np
import pytest

import asynctensor as ts
from asynctensor.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    IncompatibleType,
    InvalidArgument,
    OutOfRange,
    Unimplemented,
)
from asynctensor.testing.array_suite import ArraySuite, MakeArray

Stamp = ts.KvStore.TimestampedStorageGeneration
CACHE = {"cache_pool": {"total_bytes_limit": 10**8}}


class Kept(Exception):
    pass


class Versioned:
    """An array in memory, with a generation per chunk, which conditions are checked against."""

    def __init__(self, data: np.ndarray, *, conditional: bool = True) -> None:
        self.data, self.conditional = data, conditional
        self.lock = threading.Lock()
        self.versions: dict[Any, int] = {}
        self.calls: list[tuple[str, Any, bytes]] = []

    def generation(self, domain: ts.IndexDomain) -> bytes:
        return b"v%d" % self.versions.get(domain, 0)

    def read(self, domain, chunk, parameters: ts.VirtualChunkedReadParameters) -> Any:
        with self.lock:
            self.calls.append(("read", domain, parameters.if_not_equal))
            if parameters.if_not_equal == self.generation(domain):
                return Stamp(b"", time.time())
            chunk[...] = self.data[domain.index_exp]
            return Stamp(self.generation(domain), time.time())

    def write(self, domain, chunk, parameters: ts.VirtualChunkedWriteParameters) -> Any:
        with self.lock:
            self.calls.append(("write", domain, parameters.if_equal))
            if parameters.if_equal not in (b"", self.generation(domain)):
                return Stamp(b"", time.time())
            self.data[domain.index_exp] = chunk
            self.versions[domain] = self.versions.get(domain, 0) + 1
            return Stamp(self.generation(domain), time.time())

    def made(self, chunk: tuple[int, ...], **options: Any) -> ts.TensorStore:
        return ts.virtual_chunked(
            self.read,
            self.write,
            dtype=self.data.dtype,
            shape=self.data.shape,
            chunk_layout=ts.ChunkLayout(read_chunk_shape=chunk),
            **options,
        )

    def asked(self) -> list[tuple[str, bytes]]:
        calls, self.calls = self.calls, []
        return [(kind, generation) for kind, _, generation in calls]


# -- the suite ----------------------------------------------------------------------------------


class SuiteOfVirtualArrays(ArraySuite):
    resizable = ()
    asynchronous = False
    options: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def make_array(self) -> MakeArray:
        async def make(*, dtype, shape, fill_value, chunk_layout) -> ts.TensorStore:
            origin = np.full(shape, fill_value, dtype)
            backing = Versioned(origin)

            async def read(*args: Any) -> Any:
                await asyncio.sleep(0)
                return backing.read(*args)

            async def write(*args: Any) -> Any:
                await asyncio.sleep(0)
                return backing.write(*args)

            plain = (backing.read, backing.write)
            return ts.virtual_chunked(
                *((read, write) if self.asynchronous else plain),
                dtype=dtype,
                shape=shape,
                chunk_layout=chunk_layout,
                context=ts.Context(self.options),
            )

        return make


class TestPlain(SuiteOfVirtualArrays):
    pass


class TestPlainCached(SuiteOfVirtualArrays):
    options = CACHE
    seeds = range(1)


class TestAsync(SuiteOfVirtualArrays):
    asynchronous = True
    seeds = range(1)


# -- caching ------------------------------------------------------------------------------------


def test_generation_is_asked_for_again() -> None:
    backing = Versioned(np.arange(12))
    array = backing.made((4,), context=ts.Context(CACHE))
    assert array[:4].read().result().tolist() == [0, 1, 2, 3]
    assert array[1].read().result() == 1
    assert backing.asked() == [("read", b""), ("read", b"v0")]
    backing.data[1], backing.versions[array[:4].domain] = 50, 7
    assert array[1].read().result() == 50
    assert array[2].read().result() == 2
    assert backing.asked() == [("read", b"v0"), ("read", b"v7")]


def test_without_a_cache_every_read_asks() -> None:
    backing = Versioned(np.arange(12))
    array = backing.made((4,))
    for _ in range(2):
        assert array[1].read().result() == 1
    assert backing.asked() == [("read", b"")] * 2


def test_what_never_changes_is_asked_for_once() -> None:
    calls = []

    def read(domain, chunk, parameters) -> None:
        calls.append(domain)
        chunk[...] = 3

    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[9], context=ts.Context(CACHE))
    assert [int(array[k].read().result()) for k in range(3)] == [3, 3, 3]
    assert len(calls) == 1


def test_time_of_a_generation_bounds_its_use() -> None:
    calls = []

    def read(domain, chunk, parameters) -> Any:
        calls.append(parameters.if_not_equal)
        chunk[...] = len(calls)
        return Stamp(b"%d" % len(calls), time.time() + 3600 if len(calls) < 3 else 0)

    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[9], context=ts.Context(CACHE))
    assert [int(array[k].read().result()) for k in range(3)] == [1, 1, 1]
    assert calls == [b""]
    assert array.statistics().cache_hits == 2


def test_written_chunk_is_cached() -> None:
    backing = Versioned(np.arange(12))
    array = backing.made((4,), context=ts.Context(CACHE))
    array[4:8] = 9
    assert array[5].read().result() == 9
    assert backing.asked() == [("write", b""), ("read", b"v1")]


async def test_content_from_before_a_write_is_not_cached() -> None:
    values, begun, go = [1], asyncio.Event(), asyncio.Event()

    async def read(domain, chunk, parameters) -> Any:
        chunk[...] = values[0]
        stamp = Stamp(b"%d" % values[0], time.time() + 3600)
        begun.set()
        await go.wait()
        return stamp

    def write(domain, chunk, parameters) -> Any:
        values[0] = int(chunk[0])
        return Stamp(b"", 0.0) if parameters.if_equal else Stamp(b"new", 0.0)

    context = ts.Context(CACHE)
    array = ts.virtual_chunked(read, write, dtype=ts.uint8, shape=[4], context=context)
    reader = asyncio.create_task(array.read())
    await begun.wait()
    await array.write(2)
    go.set()
    assert (await reader).tolist() == [1] * 4
    assert (await array.read()).tolist() == [2] * 4


def test_reopened_spec_shares_the_cache() -> None:
    calls = []

    def read(domain, chunk, parameters) -> None:
        calls.append(domain)
        chunk[...] = 3

    context = ts.Context(CACHE)
    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[9], context=context)
    again = ts.open(array[2:5].spec(), context=context).result()
    assert again.domain == array[2:5].domain
    assert again.spec() == array[2:5].spec()
    assert (array[2:5].read().result() == again.read().result()).all()
    assert len(calls) == 1


def test_one_call_for_all_readers_of_a_turn() -> None:
    backing = Versioned(np.arange(100))
    array = backing.made((50,))

    async def main() -> list[Any]:
        return await asyncio.gather(*(array[k].read() for k in range(60)))

    assert asyncio.run(main()) == list(range(60))
    assert len(backing.calls) == 2


# -- conditions ---------------------------------------------------------------------------------


def test_partial_write_rests_on_what_was_read() -> None:
    backing = Versioned(np.arange(12))
    array = backing.made((4,))
    array[1] = 50
    assert backing.asked() == [("read", b""), ("write", b"v0")]
    assert backing.data.tolist() == [0, 50, *range(2, 12)]


def test_writers_of_two_contexts_lose_nothing() -> None:
    backing = Versioned(np.zeros(64, int))
    handles = [backing.made((16,), context=ts.Context(CACHE)) for _ in range(3)]

    async def main() -> None:
        numbers = range(64)
        await asyncio.gather(*(handles[k % 3][k].write(k + 1) for k in numbers))

    asyncio.run(main())
    assert backing.data.tolist() == list(range(1, 65))


def test_writer_that_never_succeeds_gives_up() -> None:
    def write(domain, chunk, parameters) -> Any:
        return Stamp(b"", time.time())

    array = ts.virtual_chunked(None, write, dtype=ts.uint8, shape=[4])
    with pytest.raises(Aborted, match="another generation"):
        array.write(1).result()


def test_write_only() -> None:
    written = []

    def write(domain, chunk, parameters) -> None:
        written.append((domain, chunk.tolist()))

    layout = ts.ChunkLayout(chunk_shape=[4])
    array = ts.virtual_chunked(None, write, dtype=ts.uint8, shape=[10], chunk_layout=layout)
    assert array.mode == "w"
    array[8:].write(3).result()
    assert written == [(ts.IndexDomain(inclusive_min=[8], exclusive_max=[10]), [3, 3])]
    with pytest.raises(InvalidArgument, match="chunk-aligned"):
        array[7:].write(3).result()
    with pytest.raises(ValueError, match="reading"):
        array.read()


# -- errors and cancellation --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_error_is_raised_as_it_is(kind: str) -> None:
    error = Kept("mine")

    def plain(*_: Any) -> None:
        raise error

    async def coroutine(*_: Any) -> None:
        raise error

    function = plain if kind == "plain" else coroutine
    array = ts.virtual_chunked(function, function, dtype=ts.uint8, shape=[4])
    for future in (array.read(), array.write(3), array[1].write(3)):
        with pytest.raises(Kept) as caught:
            future.result()
        assert caught.value is error


@pytest.mark.parametrize("answer", [5, b"generation", "x", (b"x", 3.0), Exception])
def test_answers_of_a_wrong_type(answer: Any) -> None:
    array = ts.virtual_chunked(lambda *_: answer, lambda *_: answer, dtype=ts.uint8, shape=[4])
    for future in (array.read(), array.write(3)):
        with pytest.raises(IncompatibleType, match="returned"):
            future.result()


async def test_cancellation_reaches_the_function() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(domain, chunk, parameters) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    array = ts.virtual_chunked(stuck, stuck, dtype=ts.uint8, shape=[4])
    for operation in (array.read, lambda: array.write(3), lambda: array[1].write(3)):
        begun.clear()
        ended.clear()
        task = asyncio.create_task(operation())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


async def test_deadline_reaches_the_function() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def stuck(domain, chunk, parameters) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    array = ts.virtual_chunked(stuck, dtype=ts.uint8, shape=[4])
    while not begun.is_set():  # the time may run out before the function begins
        with pytest.raises(DeadlineExceeded):
            await array.read(timeout=0.1)
    assert ended.is_set()


async def test_cancelled_reader_leaves_the_others_alone() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def read(domain, chunk, parameters) -> None:
        begun.set()
        await go.wait()
        chunk[...] = 4

    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[4])
    tasks = [asyncio.create_task(array[k].read()) for k in range(2)]
    await begun.wait()
    tasks[0].cancel()
    go.set()
    assert await tasks[1] == 4
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]


# -- where --------------------------------------------------------------------------------------


async def test_coroutine_runs_here_and_blocking_here_is_refused() -> None:
    loops = []

    async def read(domain, chunk, parameters) -> None:
        loops.append(asyncio.get_running_loop())
        chunk[...] = 4

    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[4])
    assert (await array.read()).tolist() == [4] * 4
    assert loops == [asyncio.get_running_loop()]
    with pytest.raises(FailedPrecondition, match="await"):
        array.read().result()


def test_closed_loop() -> None:
    async def read(domain, chunk, parameters) -> None:
        chunk[...] = 4

    async def main() -> ts.TensorStore:
        return ts.virtual_chunked(read, dtype=ts.uint8, shape=[4])

    with pytest.raises(FailedPrecondition, match="closed"):
        asyncio.run(main()).read().result()


def test_without_a_loop() -> None:
    async def read(domain, chunk, parameters) -> None:
        chunk[...] = 4

    array = ts.virtual_chunked(read, dtype=ts.uint8, shape=[4])
    assert array.read().result().tolist() == [4] * 4


def nested(depth: int) -> ts.TensorStore:
    """An array whose function reads another one, and so on; blocking, element by element."""
    if depth == 0:
        return Versioned(np.arange(40)).made((1,))
    below = nested(depth - 1)

    def read(domain, chunk, parameters) -> None:
        chunk[...] = below[domain].read().result() + 1

    layout = ts.ChunkLayout(chunk_shape=[1])
    return ts.virtual_chunked(read, dtype=ts.int64, shape=[40], chunk_layout=layout)


def test_functions_that_block_on_other_arrays() -> None:
    assert nested(3).read().result(timeout=60).tolist() == list(range(3, 43))


async def test_functions_that_await_other_arrays(tmp_path) -> None:
    stored = await ts.open(tmp_path, create=True, dtype=ts.int32, shape=[30])
    await stored.write(np.arange(30, dtype=np.int32))

    async def read(domain, chunk, parameters) -> None:
        chunk[...] = await stored[domain].read() + 100

    layout = ts.ChunkLayout(chunk_shape=[7])
    array = ts.virtual_chunked(read, dtype=ts.int32, shape=[30], chunk_layout=layout)
    assert (await array[5:25:3].read()).tolist() == list(range(105, 125, 3))


# -- domains ------------------------------------------------------------------------------------


def test_at_the_end_of_the_line() -> None:
    def read(domain, chunk, parameters) -> None:
        chunk[...] = np.arange(domain[0].inclusive_min, domain[0].exclusive_max)

    layout = ts.ChunkLayout(chunk_shape=[4])
    array = ts.virtual_chunked(read, dtype=ts.int64, rank=1, chunk_layout=layout)
    start = 3 - 2**62
    assert array[start : start + 3].read().result().tolist() == [start, start + 1, start + 2]


@pytest.mark.parametrize("dtype", [ts.string, ts.ustring, ts.json])
def test_elements_that_are_objects(dtype: ts.dtype) -> None:
    value = {"string": b"a", "ustring": "a", "json": [1]}[dtype.name]

    def read(domain, chunk, parameters) -> None:
        for place in np.ndindex(chunk.shape):
            chunk[place] = value

    array = ts.virtual_chunked(read, dtype=dtype, shape=[2, 2])
    assert array.read().result().tolist() == [[value] * 2] * 2


async def test_outside_of_the_domain() -> None:
    array = Versioned(np.arange(12)).made((4,))
    far = ts.IndexTransform(1, [ts.OutputIndexMap(offset=40, input_dimension=0)], input_shape=[3])
    with pytest.raises((OutOfRange, IndexError)):
        await array[far].read()
    with pytest.raises(InvalidArgument, match="finite"):
        await ts.virtual_chunked(lambda *_: None, dtype=ts.uint8, rank=1).read()


# -- specs and pickles --------------------------------------------------------------------------


def ramp(domain, chunk, parameters) -> None:
    chunk[...] = np.arange(domain[0].inclusive_min, domain[0].exclusive_max)


async def ramp_async(domain, chunk, parameters) -> None:
    ramp(domain, chunk, parameters)


def made_of(function: Any) -> ts.TensorStore:
    return ts.virtual_chunked(function, dtype=ts.int64, shape=[9])[2:6]


@pytest.mark.parametrize("function", [ramp, ramp_async])
def test_pickled_function_of_a_module(function) -> None:
    copy = pickle.loads(cloudpickle.dumps(made_of(function)))
    assert copy.read().result().tolist() == [2, 3, 4, 5]
    assert copy.domain == made_of(function).domain
    assert copy.chunk_layout == made_of(function).chunk_layout


def test_pickled_function_without_a_module() -> None:
    offset = 7

    def local(domain, chunk, parameters) -> None:
        chunk[...] = offset

    copy = pickle.loads(cloudpickle.dumps(made_of(local)))
    assert copy.read().result().tolist() == [7] * 4
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(made_of(local))


def test_spec_is_no_json() -> None:
    array = made_of(ramp)
    assert repr(array) == "TensorStore(...)"
    spec = array.spec()
    assert repr(spec) == "Spec(...)"
    assert spec == array.spec()
    assert spec != made_of(ramp).spec()
    with pytest.raises(Unimplemented, match="JSON representation not supported"):
        spec.to_json()
    assert spec.domain == array.domain
    assert spec.dtype == ts.int64
    assert (array.kvstore, array.base, array.fill_value, array.codec) == (None,) * 4
    with pytest.raises(InvalidArgument, match="virtual_chunked"):
        ts.open({"driver": "virtual_chunked", "dtype": "int8", "rank": 1}).result()


async def test_what_it_has_not() -> None:
    array = made_of(ramp)
    with pytest.raises(Unimplemented):
        await array.storage_statistics(query_not_stored=True)
    with pytest.raises((Unimplemented, FailedPrecondition)):
        await array.resize(exclusive_max=[50])
    assert (await array.resolve()).domain == array.domain


# -- transactions -------------------------------------------------------------------------------


async def test_transaction_writes_at_the_commit() -> None:
    backing = Versioned(np.arange(12))
    array = backing.made((4,))
    async with ts.Transaction(atomic=False) as transaction:
        staged = array.with_transaction(transaction)
        await staged[1:6].write(50)
        await staged[2].write(60)
        assert (await staged[:8].read()).tolist() == [0, 50, 60, 50, 50, 50, 6, 7]
        assert (await array[:3].read()).tolist() == [0, 1, 2]
        assert all(kind == "read" for kind, _ in backing.asked())
    assert backing.data.tolist() == [0, 50, 60, 50, 50, 50, *range(6, 12)]
    with pytest.raises(FailedPrecondition, match="not open"):
        await staged.read()


async def test_transaction_that_is_aborted() -> None:
    backing = Versioned(np.arange(12))
    transaction = ts.Transaction(atomic=False)
    await backing.made((4,)).with_transaction(transaction)[1:6].write(50)
    transaction.abort()
    assert backing.data.tolist() == list(range(12))


async def test_transaction_whose_commit_fails() -> None:
    def write(domain, chunk, parameters) -> None:
        raise Kept("mine")

    transaction = ts.Transaction(atomic=False)
    array = ts.virtual_chunked(None, write, dtype=ts.uint8, shape=[4], transaction=transaction)
    await array.write(5)
    with pytest.raises(Aborted) as caught:
        await transaction.commit_async()
    assert isinstance(caught.value.__cause__, Kept)


async def test_atomic_transaction_is_refused_when_something_is_staged() -> None:
    array = Versioned(np.arange(12)).made((4,))
    with pytest.raises(Unimplemented, match="atomic=False"):
        async with ts.Transaction() as transaction:
            assert await array.with_transaction(transaction)[1].read() == 1
            await array.with_transaction(transaction)[1].write(5)
