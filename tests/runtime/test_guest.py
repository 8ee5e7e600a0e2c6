"""User code: where it runs, what comes back, how it ends."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from asynctensor.errors import Aborted, FailedPrecondition, IncompatibleType
from asynctensor.runtime.event_loop import guest_loop, io_loop, on_io_loop, start
from asynctensor.runtime.future import Future
from asynctensor.runtime.guest import Guest
from asynctensor.runtime.guest_pool import SIZE

trace: ContextVar[str] = ContextVar("trace", default="none")


class Kept(Exception):
    pass


def called(guest: Guest, function, *args) -> Future[Any]:
    """The future of the call, made on the I/O loop as all are."""
    return start(guest.call, function, *args)


def collected(guest: Guest, function, *args) -> Future[list[Any]]:
    async def collect():
        return [item async for item in guest.iterate(function, *args)]

    return start(collect)


# -- where --------------------------------------------------------------------------------------


def where() -> tuple[str, bool]:
    return threading.current_thread().name, on_io_loop()


async def where_async() -> tuple[str, bool]:
    return threading.current_thread().name, on_io_loop()


class Callable:
    async def __call__(self) -> tuple[str, bool]:
        return await where_async()


async def test_plain_function_runs_on_a_guest_thread() -> None:
    name, on_io = await called(Guest(), where)
    assert name.startswith("asynctensor-guest-")
    assert not on_io


@pytest.mark.parametrize(
    "function", [where_async, functools.partial(where_async), Callable(), lambda: where_async()]
)
async def test_coroutine_runs_on_the_loop_of_its_registration(function) -> None:
    assert await called(Guest(), function) == (threading.current_thread().name, False)


@pytest.mark.parametrize("function", [where_async, Callable(), lambda: where_async()])
def test_coroutine_without_loop_runs_on_the_guest_loop(function) -> None:
    assert called(Guest(), function).result() == ("asynctensor-guests", False)


async def test_guest_made_on_the_io_loop_gets_the_guest_loop() -> None:
    async def made() -> Guest:
        return Guest()

    assert (await start(made)).loop is None
    assert Guest(io_loop()).loop is None


def test_coroutine_runs_on_the_loop_given() -> None:
    async def main() -> None:
        def register() -> Guest:
            return Guest(loop)

        loop = asyncio.get_running_loop()
        guest = await asyncio.to_thread(register)
        assert guest.loop is loop
        name, _ = await called(guest, where_async)
        assert name == threading.current_thread().name

    asyncio.run(main())


def test_what_is_no_loop_is_refused() -> None:
    with pytest.raises(IncompatibleType, match="event loop"):
        Guest(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_context_of_the_caller(kind: str) -> None:
    async def asked() -> str:
        return trace.get()

    trace.set("mine")
    function = trace.get if kind == "plain" else asked
    assert called(Guest(), function).result() == "mine"


def test_future_of_ours_is_awaited() -> None:
    async def answer() -> int:
        return 3

    assert called(Guest(), lambda: start(answer)).result() == 3


# -- errors and cancellation --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "async", "given away"])
def test_error_arrives_as_itself(kind: str) -> None:
    error = Kept("mine")

    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    function = {"plain": plain, "async": coroutine, "given away": lambda: coroutine()}[kind]
    with pytest.raises(Kept) as caught:
        called(Guest(), function).result()
    assert caught.value is error


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]
)
def test_what_would_end_a_loop_does_not(kind: str, error: BaseException) -> None:
    def plain() -> None:
        raise error

    async def coroutine() -> None:
        raise error

    before = io_loop(), guest_loop()
    with pytest.raises(Aborted):
        called(Guest(), plain if kind == "plain" else coroutine).result()
    assert called(Guest(), where_async).result()[0] == "asynctensor-guests"
    assert (io_loop(), guest_loop()) == before


def test_stop_iteration_of_a_plain_function() -> None:
    with pytest.raises(Aborted, match="StopIteration") as caught:
        called(Guest(), next, iter(())).result()
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_cancellation_reaches_the_coroutine_and_waits_for_it() -> None:
    begun, ended = asyncio.Event(), False

    async def stuck() -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended = True

    task = asyncio.create_task(called(Guest(), stuck))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


def test_cancelled_before_its_loop_ran() -> None:
    loop = asyncio.new_event_loop()
    ran = []

    async def never() -> None:
        ran.append(True)

    async def main() -> None:
        task = asyncio.create_task(called(Guest(loop), never))
        await start(asyncio.sleep, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert ran == []


def test_closed_loop_is_a_typed_error() -> None:
    async def register() -> Guest:
        return Guest()

    guest = asyncio.run(register())
    with pytest.raises(FailedPrecondition, match="closed"):
        called(guest, where_async).result()
    assert called(guest, where).result()[0].startswith("asynctensor-guest-")


def test_loop_closed_under_the_call() -> None:
    loop = asyncio.new_event_loop()
    future = called(Guest(loop), where_async)
    io_loop().call_soon_threadsafe(lambda: io_loop().call_soon(loop.close))
    with pytest.raises(FailedPrecondition, match="closed"):
        future.result(timeout=60)


def test_loop_that_ends_cancels_the_call() -> None:
    begun = threading.Event()

    async def stuck() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def main():
        future = called(Guest(), stuck)
        await asyncio.to_thread(begun.wait)
        return future

    future = asyncio.run(main())
    with pytest.raises(Aborted, match="cancelled by somebody else"):
        future.result(timeout=60)


# -- what users' code may do --------------------------------------------------------------------


def test_plain_functions_may_wait_for_each_other() -> None:
    """Every thread there is waits for a call that has none yet."""
    guest = Guest()
    everybody = threading.Barrier(2 * SIZE)

    def outer(number: int) -> int:
        everybody.wait(timeout=60)
        return int(called(guest, lambda: number).result())

    futures = [called(guest, outer, number) for number in range(2 * SIZE)]
    assert [future.result(timeout=60) for future in futures] == list(range(2 * SIZE))


def test_plain_function_may_run_a_loop() -> None:
    async def answer() -> int:
        return 5

    guest = Guest()
    assert called(guest, lambda: asyncio.run(_awaited(called(guest, answer)))).result() == 5


async def _awaited(future):
    return await future


def test_blocking_the_guest_loop_is_refused() -> None:
    guest = Guest()

    async def blocks() -> None:
        called(guest, where_async).result()

    with pytest.raises(FailedPrecondition, match="await"):
        called(guest, blocks).result()


# -- iterations ---------------------------------------------------------------------------------


def generated(count: int) -> Iterator[int]:
    yield from range(count)


async def generated_async(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def gathered(count: int) -> list[int]:
    return list(range(count))


@pytest.mark.parametrize("count", [0, 1, 1000, 2500])
@pytest.mark.parametrize(
    "function",
    [generated, generated_async, gathered, lambda n: generated_async(n), lambda n: range(n)],
)
def test_iterations_of_all_kinds(function, count: int) -> None:
    assert collected(Guest(), function, count).result() == list(range(count))


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_error_in_an_iteration(kind: str) -> None:
    error = Kept("mine")

    def plain():
        yield 1
        raise error

    async def asynchronous():
        yield 1
        raise error

    with pytest.raises(Kept) as caught:
        collected(Guest(), plain if kind == "plain" else asynchronous).result()
    assert caught.value is error


def test_abandoned_iteration_is_closed_on_its_loop() -> None:
    closed = []

    async def endless():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.current_thread().name)

    async def first():
        items = Guest().iterate(endless)
        found = await anext(items)
        await items.aclose()
        return found

    assert start(first).result() == 1
    assert closed == ["asynctensor-guests"]


def test_no_iterable_is_refused() -> None:
    with pytest.raises(IncompatibleType, match="iterable"):
        collected(Guest(), lambda: 5).result()


# -- exit and fork ------------------------------------------------------------------------------

PRELUDE = """
import asyncio, os, sys, threading
from asynctensor.errors import FailedPrecondition
from asynctensor.runtime.event_loop import guest_loop, run_on, shutdown, start
from asynctensor.runtime.guest import Guest

begun = threading.Event()
async def answer():
    return threading.current_thread().name
async def stuck():
    begun.set()
    try:
        await asyncio.sleep(3600)
    finally:
        print("unwound", flush=True)
guest = Guest()
"""

PROGRAMS = {
    "a coroutine is going on": ("future = start(guest.call, stuck); begun.wait()", "unwound\n"),
    "an iteration is going on": (
        """
async def endless():
    try:
        while True:
            yield 1
    finally:
        print("closed", flush=True)
async def first():
    global items
    items = guest.iterate(endless)
    return await anext(items)
print(start(first).result())
""",
        "1\nclosed\n",
    ),
    "a plain function is stuck": (
        """
def wait():
    begun.set()
    threading.Event().wait()
future = start(guest.call, wait); begun.wait()
""",
        "",
    ),
    "ended and begun again": (
        """
print(start(guest.call, answer).result())
loop = guest_loop()
shutdown()
print(loop.is_closed())
print(start(guest.call, answer).result())
""",
        "asynctensor-guests\nTrue\nasynctensor-guests\n",
    ),
    "in a forked child": (
        """
print(start(guest.call, answer).result(), flush=True)
pid = os.fork()
if pid == 0:
    print("child", start(guest.call, answer).result(), flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(start(guest.call, answer).result())
""",
        "asynctensor-guests\nchild asynctensor-guests\nasynctensor-guests\n",
    ),
    "a loop that stayed in the parent": (
        """
async def main():
    own = Guest()
    pid = os.fork()
    if pid == 0:
        try:
            start(own.call, answer).result()
        except FailedPrecondition as error:
            print("child:", "parent process" in str(error), flush=True)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print(await start(own.call, answer))
asyncio.run(main())
""",
        "child: True\nMainThread\n",
    ),
    "a service's own loop": (
        """
async def main():
    run_on(asyncio.get_running_loop())
    print(await start(Guest().call, answer))
asyncio.run(main())
""",
        "MainThread\n",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(program, name: str) -> None:
    source, expected = PROGRAMS[name]
    assert program(PRELUDE + source) == expected
