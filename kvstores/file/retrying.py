"""Doing again what a disk or a file server failed to do, for a reason that may pass.

That is every error that the operating system gives and that no remedy is known for (``EIO``, a
stale handle, a time-out of a file server): `Unavailable`. A read, a delete and a write without a
condition may be done twice. A write with a condition may not, as the second one could refuse what
the first has made; it is repeated only where the key still has the very value that was asked for,
so that the first has certainly done nothing. A listing begins again, and leaves out what it gave
before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from asynctensor.errors import Unavailable
from asynctensor.runtime.entropy import uniform
from asynctensor.scheduler.retry import RetryPolicy
from asynctensor.storage.kvstore import ListEntry

T = TypeVar("T")


async def _always() -> bool:
    return True


async def retried(
    policy: RetryPolicy,
    step: Callable[[], Awaitable[T]],
    may_repeat: Callable[[], Awaitable[bool]] = _always,
) -> T:
    """What `step` gives, done again while it is `Unavailable` and `policy` allows.

    Args:
        policy: How often, and after which waits.
        step: What to do.
        may_repeat: Tells after a failure whether it has done nothing, or may be done twice.

    Raises:
        Unavailable: No attempt succeeded, or it is not known whether the last one did.
        Error: As `step` does.
    """
    attempt, delay = 0, 0.0
    while True:
        attempt += 1
        try:
            return await step()
        except Unavailable as error:
            after = policy.delay(attempt, delay, None, float("inf"), uniform)
            if after is None or not await may_repeat():
                raise _told(error, attempt) from error.__cause__
        delay = after
        await asyncio.sleep(delay)


async def relisted(
    policy: RetryPolicy, begin: Callable[[], AsyncGenerator[ListEntry, None]]
) -> AsyncGenerator[ListEntry, None]:
    """The entries that `begin` gives, each key once, begun again while `policy` allows.

    Attempts that bring new keys do not count. Where it may begin again, all keys are kept until the
    end.

    Args:
        policy: How often, and after which waits.
        begin: Begins a listing.

    Raises:
        Unavailable: No attempt came to its end.
        Error: As the listing does.
    """
    seen: set[str] = set()
    attempt, delay = 0, 0.0
    while True:
        before = len(seen)
        try:
            async with aclosing(begin()) as entries:
                async for entry in entries:
                    if entry.key in seen:
                        continue
                    if policy.max_retries:
                        seen.add(entry.key)
                    yield entry
            return
        except Unavailable as error:
            attempt = attempt + 1 if len(seen) == before else 1
            after = policy.delay(attempt, delay, None, float("inf"), uniform)
            if after is None:
                raise _told(error, attempt) from error.__cause__
        delay = after
        await asyncio.sleep(delay)


def _told(error: Unavailable, attempts: int) -> Unavailable:
    if attempts > 1:
        error.message = f"{error.message} ({attempts} attempts)"
        error.args = (error.message,)
    return error
