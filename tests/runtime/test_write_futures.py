from __future__ import annotations

import asyncio

import pytest

from asynctensor.errors import DeadlineExceeded
from asynctensor.runtime.promise import Promise
from asynctensor.runtime.write_futures import WriteFutures


def new() -> tuple[Promise, Promise, WriteFutures]:
    copied, copy = Promise.new()
    committed, commit = Promise.new()
    return copied, committed, WriteFutures(copy, commit)


def test_it_answers_for_the_commit() -> None:
    copied, committed, write = new()
    got = []
    write.add_done_callback(got.append)
    write.add_done_callback(print)
    assert write.remove_done_callback(print) == 1
    copied.set_result(None)
    assert write.copy.done()
    assert not write.done()
    with pytest.raises(DeadlineExceeded):
        write.result(timeout=0)
    committed.set_result(None)
    assert write.done()
    assert write.result() is None
    assert write.exception() is None
    assert not write.cancelled()
    assert got == [write.commit]
    assert repr(write) == "WriteFutures(copy=<Future succeeded>, commit=<Future succeeded>)"


def test_it_fails_with_the_commit() -> None:
    _copied, committed, write = new()
    committed.set_exception(OSError("full"))
    with pytest.raises(OSError, match="full"):
        write.result()
    assert isinstance(write.exception(), OSError)


def test_it_is_awaited_in_every_way(run) -> None:
    async def main() -> None:
        copied, committed, write = new()
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, copied.set_result, None)
        loop.call_later(0.002, committed.set_result, None)
        await write.copy
        task = asyncio.create_task(write)
        async with asyncio.TaskGroup() as group:
            group.create_task(write)
        await asyncio.gather(write, write)
        await asyncio.wait_for(write, 60)
        assert await task is None

    run(main())


def test_cancelling_its_last_waiter_cancels_the_commit(run) -> None:
    async def main() -> None:
        _copied, _committed, write = new()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.create_task(write)
        assert write.cancelled()
        assert not write.cancel()

    run(main())
