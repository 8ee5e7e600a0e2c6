"""Which futures the current context works for: its own operation's, and those that started it.

So that what can only be done by a loop that is held up is seen to wait for itself: a coroutine of
a user's store is to run on the user's loop, and the thread of that loop blocks on the result of the
operation that wants it.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, TypeAlias
from weakref import ref

from asynctensor.errors import FailedPrecondition

#: A future, and what the operation that started it works for.
Chain: TypeAlias = "tuple[ref[Any], Chain | None]"

_CHAIN: ContextVar[Chain | None] = ContextVar("asynctensor_works_for", default=None)


def work_for(future: Any) -> None:
    """Says that the current context, a new one, does the work of `future`."""
    chain = _CHAIN.get()
    # What is done needs no one's work: what goes on in its context does not make the chain longer.
    while chain is not None and _is_done(chain[0]()):
        chain = chain[1]
    _CHAIN.set((ref(future), chain))


def holds_up(loop: AbstractEventLoop) -> bool:
    """Whether the thread of `loop` is blocked until the current context's work is done."""
    return any(future.blocks(loop) for future in _futures())


def held_up() -> FailedPrecondition:
    """The error of who waits for a loop that waits for it."""
    return FailedPrecondition(
        "result(), or what waits like it, blocks the event loop that is to run a coroutine for it, "
        "which then never ends: await the operation there, or wait for it on another thread "
        "(await asyncio.to_thread(...))"
    )


def _futures() -> Iterator[Any]:
    chain = _CHAIN.get()
    while chain is not None:
        future = chain[0]()
        if future is not None:
            yield future
        chain = chain[1]


def _is_done(future: Any) -> bool:
    return future is None or future.done()
