"""What is told of the last failure when time runs out."""

from __future__ import annotations

import asyncio
import gc
from contextvars import Context, copy_context

import pytest

from asynctensor.errors import DeadlineExceeded, Error, Unavailable
from asynctensor.kvstores._http.attempts import Attempts
from asynctensor.kvstores._http.errors import NoAnswer, Problem
from asynctensor.kvstores._http.message import Request
from asynctensor.runtime.event_loop import start
from asynctensor.runtime.last_trouble import WATCHED, at_work_on, found, watched
from asynctensor.scheduler.retry import RetryPolicy


def tried(failure: Error, number: int, what: object) -> None:
    trouble = found(WATCHED.get())
    if trouble is not None:
        trouble.tried(failure, number, what)


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def test_the_last_failure_is_named_and_chained() -> None:
    failure = Unavailable("the server is busy", key="k", store="s", operation="read")

    async def work() -> None:
        tried(Unavailable("it was away"), 1, "first")
        # As tasks of its own do.
        copy_context().run(tried, failure, 2, "second")
        await for_ever()

    for seconds in (0.01, 0.1, 1.0, 10.0, 60.0):
        with pytest.raises(DeadlineExceeded) as caught:
            start(work, timeout=seconds).result()
        error = caught.value
        if error.__cause__ is failure:
            break
        # A busy machine has let the time run out before the work began.
    assert "after attempt 2 at 'second' had failed: the server is busy" in str(error)
    assert error.__cause__ is failure
    assert (error.key, error.store, error.operation) == ("k", "s", "read")


def test_nothing_is_made_up_where_nothing_failed() -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        start(for_ever, timeout=0.01).result()
    assert "attempt" not in str(caught.value)
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_what_the_work_is_about_is_told() -> None:
    async def work() -> None:
        at_work_on("k", "s", "write")
        await for_ever()

    for seconds in (0.01, 0.1, 1.0, 10.0, 60.0):
        with pytest.raises(DeadlineExceeded) as caught:
            start(work, timeout=seconds).result()
        error = caught.value
        if error.key is not None:
            break
        # A busy machine has let the time run out before the work began.
    assert (error.key, error.store, error.operation) == ("k", "s", "write")
    # Without a limit, there is nobody to be told.
    start(work).cancel()


def test_failures_of_other_work_are_not_told() -> None:
    async def other() -> None:
        tried(Unavailable("of the other"), 1, "other")

    start(other, timeout=60).result()
    with pytest.raises(DeadlineExceeded) as caught:
        start(for_ever, timeout=0.01).result()
    assert "of the other" not in str(caught.value)


def test_whoever_inherits_the_context_holds_on_to_nothing() -> None:
    kept: list[Context] = []

    async def work() -> None:
        # As a connection does that is made meanwhile.
        kept.append(copy_context())
        tried(Unavailable("the server is busy"), 1, "it")

    start(work, timeout=60).result()
    gc.collect()
    assert kept[0].run(lambda: found(WATCHED.get())) is None


def test_whoever_asks_a_server_again_tells_of_it() -> None:
    async def asked() -> tuple[object, str]:
        trouble = watched()
        attempts = Attempts(
            Request("GET", "http://host/a/b?signature=secret"),
            RetryPolicy(max_retries=3, initial_delay=1, max_delay=1),
            lambda answer: Problem(),
        )
        attempts.begin()
        failure = NoAnswer.unsent("no connection came about")
        attempts.judged(failure)
        assert trouble.failure is failure
        return failure, trouble.attempt

    assert start(asked).result()[1] == "1 at <GET http://host/a/b>"
