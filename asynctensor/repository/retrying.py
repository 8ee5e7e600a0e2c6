"""Running a transaction again until nobody else is in its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asynctensor.errors import Aborted, CommitUnknown, Error, InvalidArgument
from asynctensor.runtime.entropy import random_bytes
from asynctensor.transaction.transaction import Transaction

T = TypeVar("T")
#: Seconds before a transaction is run again: at most so many, doubled each time up to a bound.
_SHORTEST_WAIT = 0.002
_LONGEST_WAIT = 0.5


async def retried(
    function: Callable[[Transaction], Awaitable[T]],
    begin: Callable[[], Transaction],
    attempts: int,
) -> T:
    """What `function` gives in the first transaction that is committed.

    A commit whose answer was lost is looked up: it counts if it stands, and is run again only once
    it never can.

    Args:
        function: Called with a fresh transaction each time.
        begin: Makes one.
        attempts: How often at most.

    Raises:
        Aborted: Somebody else was in the way each time.
        CommitUnknown: The store did not say whether it was committed, and does not answer.
        InvalidArgument: `attempts` is not at least 1.
    """
    if attempts < 1:
        raise InvalidArgument(f"attempts is at least 1, not {attempts}")
    for attempt in range(attempts):
        try:
            async with begin() as txn:
                result = await function(txn)
                if not txn.aborted:
                    await _decided(txn)
        except Aborted:
            if attempt == attempts - 1:
                raise
        else:
            return result
        # Those who were in each other's way come back at different times.
        longest = min(_LONGEST_WAIT, _SHORTEST_WAIT * 2**attempt)
        await asyncio.sleep(longest * int.from_bytes(random_bytes(4), "big") / 2**32)
    raise AssertionError


async def _decided(txn: Transaction) -> None:
    """Commits; returns if that stands, though the answer was lost.

    Raises:
        Aborted: It does not, and never will.
        CommitUnknown: The store does not say.
    """
    try:
        await txn.commit_async()
    except CommitUnknown as unknown:
        if unknown.resolve is None:
            raise
        try:
            outcome = await unknown.resolve()
        except Error:
            raise unknown from None
        if outcome == "aborted":
            raise Aborted(
                "the store did not answer the commit, which was aborted then; run it again",
                operation="commit",
            ) from unknown
        if outcome != "committed":
            raise
        txn._commit_id = unknown.commit_id
